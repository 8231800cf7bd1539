// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/send_batch.hpp"

#include "daemon/proto/gre.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <span>

namespace mpt::plane {

void SendBatch::start(Path &path) noexcept
{
    path_ = &path;
    refused_size_ = 0;
    datagram_count_ = 0;
    message_count_ = 0;
    next_message_ = 0;
    soft_errors_ = 0;
}

void SendBatch::add(base::ConstOctets header, base::ConstOctets payload, std::uint8_t traffic_class) noexcept
{
    const std::size_t size = header.size() + payload.size();
    if (size > kMaxDatagram) {
        path_->counters.drops.add(Drop::kSendError);
        return;
    }
    if (!append(size, traffic_class))
        begin(size, traffic_class);
    iovec *part = &parts_[2 * datagram_count_++];
    part[0] = iovec{const_cast<std::byte *>(header.data()), header.size()};
    part[1] = iovec{const_cast<std::byte *>(payload.data()), payload.size()};
}

// Puts one more datagram in the last message, if the kernel can split the two apart again.
bool SendBatch::append(std::size_t size, std::uint8_t traffic_class) noexcept
{
    if (message_count_ == 0)
        return false;
    Message &message = messages_[message_count_ - 1];
    const bool closed = message.octets % message.segment != 0; // by a shorter one
    if (closed || size > message.segment || message.count == kMaxSegments || message.octets + size > kMaxOctets ||
        message.segment > path_->socket->largest_segment() || traffic_class != message.traffic_class)
        return false;
    ++message.count;
    message.octets += size;
    mmsghdr &header = headers_[message_count_ - 1];
    header.msg_hdr.msg_iovlen += 2;
    if (message.count == 2)
        add_control(SOL_UDP, UDP_SEGMENT, message.segment);
    return true;
}

// To the last message.
template <typename T> void SendBatch::add_control(int level, int type, T value) noexcept
{
    msghdr &header = headers_[message_count_ - 1].msg_hdr;
    Control &control = controls_[message_count_ - 1];
    cmsghdr option{};
    option.cmsg_level = level;
    option.cmsg_type = type;
    option.cmsg_len = CMSG_LEN(sizeof value);
    std::byte *at = control.octets.data() + header.msg_controllen;
    std::memcpy(at, &option, sizeof option);
    std::memcpy(at + CMSG_LEN(0), &value, sizeof value);
    header.msg_control = &control;
    header.msg_controllen += CMSG_SPACE(sizeof value);
}

void SendBatch::begin(std::size_t size, std::uint8_t traffic_class) noexcept
{
    messages_[message_count_] = Message{
        size, static_cast<std::uint32_t>(datagram_count_), 1, static_cast<std::uint16_t>(size), traffic_class, false};
    mmsghdr &header = headers_[message_count_];
    header = mmsghdr{};
    header.msg_hdr.msg_iov = &parts_[2 * datagram_count_];
    header.msg_hdr.msg_iovlen = 2;
    if (path_->remote != nullptr) {
        header.msg_hdr.msg_name = const_cast<sockaddr *>(&path_->remote->any);
        header.msg_hdr.msg_namelen = path_->remote->length;
    }
    ++message_count_;
    const bool v4 = path_->socket->is_v4();
    if (traffic_class != 0)
        add_control(v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, int{traffic_class});
}

SendBatch::Outcome SendBatch::flush(base::Instant now) noexcept
{
    while (next_message_ < message_count_) {
        Message &message = messages_[next_message_];
        const Outcome outcome = message.singly ? send_singly(message) : send_messages();
        if (outcome == Outcome::kBlocked) {
            if (now >= path_->congested_until)
                return Outcome::kBlocked;
            give_up(now);
        }
    }
    return Outcome::kDone;
}

SendBatch::Outcome SendBatch::send_messages() noexcept
{
    const int count = sendmmsg(path_->socket->fd(), &headers_[next_message_],
                               static_cast<unsigned>(message_count_ - next_message_), MSG_DONTWAIT);
    if (count < 0)
        return survive(errno, messages_[next_message_]) ? Outcome::kDone : Outcome::kBlocked;
    for (int i = 0; i < count; ++i) {
        Message &message = messages_[next_message_];
        sent(message, message.count);
    }
    return Outcome::kDone;
}

SendBatch::Outcome SendBatch::send_singly(Message &message) noexcept
{
    msghdr header = headers_[next_message_].msg_hdr;
    header.msg_iov = &parts_[2 * message.first];
    header.msg_iovlen = 2;
    header.msg_controllen = message.traffic_class != 0 ? CMSG_SPACE(sizeof(int)) : 0; // without UDP_SEGMENT
    if (sendmsg(path_->socket->fd(), &header, MSG_DONTWAIT) < 0)
        return survive(errno, message) ? Outcome::kDone : Outcome::kBlocked;
    sent(message, 1);
    return Outcome::kDone;
}

void SendBatch::sent(Message &message, std::uint16_t count) noexcept
{
    std::size_t octets = 0;
    for (std::uint32_t i = message.first; i < message.first + count; ++i)
        octets += parts_[2 * i].iov_len + parts_[2 * i + 1].iov_len;
    path_->counters.packets_out.add(count);
    path_->counters.octets_out.add(octets - count * proto::kGreSequencedSize);
    soft_errors_ = 0;
    message.first += count;
    message.count = static_cast<std::uint16_t>(message.count - count);
    if (message.count == 0)
        ++next_message_;
}

bool SendBatch::survive(int error, Message &message) noexcept
{
    const bool segmented = message.count > 1 && !message.singly;
    switch (error) {
    case EAGAIN:
        return false;
    case EINTR:
        return true;
    case EMSGSIZE: // larger than the path's MTU
        // On a connected socket this may be what an ICMP message said of an earlier datagram: try again.
        if (path_->remote == nullptr && ++soft_errors_ == 1)
            return true;
        [[fallthrough]]; // alone it may be fragmented
    case EINVAL:
    case EIO: // the interface has no checksum offload, so the kernel does not split for it
        if (segmented) {
            path_->socket->refuse_segments(error == EIO ? 0 : message.segment);
            message.singly = true;
            return true;
        }
        break;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        if (path_->remote == nullptr && ++soft_errors_ <= 2) // likewise
            return true;
        break;
    default:
        break;
    }
    const std::uint16_t dropped = message.singly ? 1 : message.count;
    path_->counters.drops.add(error == EMSGSIZE ? Drop::kTooBig : Drop::kSendError, dropped);
    if (error == EMSGSIZE && refused_size_ == 0)
        note_refused(message.first);
    soft_errors_ = 0;
    message.first += dropped;
    message.count = static_cast<std::uint16_t>(message.count - dropped);
    if (message.count == 0)
        ++next_message_;
    return true;
}

void SendBatch::note_refused(std::uint32_t datagram) noexcept
{
    std::size_t skip = proto::kGreSequencedSize;
    for (const iovec &part : std::span(parts_).subspan(2 * std::size_t{datagram}, 2)) {
        const std::size_t size = std::min(part.iov_len - skip, refused_.size() - refused_size_);
        std::memcpy(refused_.data() + refused_size_, static_cast<const std::byte *>(part.iov_base) + skip, size);
        refused_size_ += size;
        skip = 0;
    }
}

void SendBatch::give_up(base::Instant now) noexcept
{
    path_->congested_until = now + kCongested;
    drop_rest();
}

void SendBatch::drop_rest() noexcept
{
    for (; next_message_ < message_count_; ++next_message_)
        path_->counters.drops.add(Drop::kSendBuffer, messages_[next_message_].count);
}

} // namespace mpt::plane
