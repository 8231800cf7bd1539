// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/base/time.hpp"
#include "daemon/plane/connection.hpp"
#include "daemon/proto/icmp.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <sys/socket.h>
#include <sys/uio.h>

namespace mpt::plane {

// Datagrams on their way out by one path: gathered while the tunnel is read, then sent together. Datagrams of equal
// size (the last may be shorter) become one message that the kernel splits (UDP_SEGMENT), where it can.
class SendBatch {
public:
    void start(Path &path) noexcept;
    Path &path() const noexcept { return *path_; }

    bool full() const noexcept { return datagram_count_ == kMaxDatagrams || message_count_ == kMaxMessages; }
    // True if not much more fits.
    bool nearly_full() const noexcept
    {
        return datagram_count_ > kMaxDatagrams / 2 || message_count_ > kMaxMessages / 2;
    }
    // Adds a datagram of two parts, which must stay until it is sent; its IP header gets the traffic class. Not to a
    // full batch.
    void add(base::ConstOctets header, base::ConstOctets payload, std::uint8_t traffic_class) noexcept;

    enum class Outcome {
        kDone,    // everything is sent, or dropped and counted
        kBlocked, // the send buffer is full: the rest waits for another flush
    };
    Outcome flush(base::Instant now) noexcept;
    // Gives up what waits, and from now on what the send buffer does not take, until it has room for a while.
    void give_up(base::Instant now) noexcept;
    // Gives up what waits.
    void drop_rest() noexcept;
    // The first octets of an inner packet that was too large for the path since start(), of which an ICMP error quotes
    // no more; empty if there was none.
    base::ConstOctets refused() const noexcept { return base::ConstOctets(refused_).first(refused_size_); }

private:
    // GRO takes 64 datagrams as one, and so did UDP_SEGMENT at first.
    static constexpr std::size_t kMaxSegments = 64;
    static constexpr std::size_t kMaxMessages = 64;
    static constexpr std::size_t kMaxDatagrams = 512;
    // The most octets of a message: what fits in an IPv4 datagram, less room for options.
    static constexpr std::size_t kMaxOctets = 65000;
    // The most octets of a datagram (RFC 768 over IPv4).
    static constexpr std::size_t kMaxDatagram = 65507;
    // A path that made the tunnel stand still too long drops what its send buffer does not take, until the buffer has
    // not been full for so long.
    static constexpr base::Duration kCongested = std::chrono::seconds(1);

    struct Message {
        std::size_t octets;
        std::uint32_t first; // datagram
        std::uint16_t count;
        std::uint16_t segment; // octets of each datagram but the last
        std::uint8_t traffic_class;
        bool singly; // the kernel refuses to split it
    };
    struct Control {
        // The traffic class, unless it is 0, and then the size of a segment, if there are several.
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(std::uint16_t))> octets;
    };

    bool append(std::size_t size, std::uint8_t traffic_class) noexcept;
    void begin(std::size_t size, std::uint8_t traffic_class) noexcept;
    template <typename T> void add_control(int level, int type, T value) noexcept;
    Outcome send_messages() noexcept;
    Outcome send_singly(Message &message) noexcept;
    // What became of the first `count` datagrams of a message.
    void sent(Message &message, std::uint16_t count) noexcept;
    // What to do about an error at a message: false if it must wait.
    bool survive(int error, Message &message) noexcept;
    void note_refused(std::uint32_t datagram) noexcept;

    Path *path_ = nullptr;
    std::size_t datagram_count_ = 0;
    std::size_t message_count_ = 0;
    std::size_t next_message_ = 0; // the first that is not sent
    unsigned soft_errors_ = 0;     // errors in a row that were about earlier datagrams
    std::array<Message, kMaxMessages> messages_;
    std::array<iovec, 2 * kMaxDatagrams> parts_;
    std::array<mmsghdr, kMaxMessages> headers_;
    std::array<Control, kMaxMessages> controls_;
    std::array<std::byte, proto::kMaxIcmpError> refused_;
    std::size_t refused_size_ = 0;
};

} // namespace mpt::plane
