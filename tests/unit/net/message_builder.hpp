// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"

#include <cstdint>
#include <linux/netlink.h>
#include <string_view>
#include <vector>

namespace mpt::net {

// Makes netlink messages as the kernel does: lengths that do not count the padding, everything at multiples of 4.
class MessageBuilder {
public:
    template <typename Header> MessageBuilder(std::uint16_t type, const Header &header, std::uint16_t flags = 0)
    {
        const nlmsghdr message{
            .nlmsg_len = 0, .nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = 7, .nlmsg_pid = 9};
        append(&message, sizeof message);
        append(&header, sizeof header);
    }

    MessageBuilder &put(std::uint16_t type, base::ConstOctets payload)
    {
        const nlattr attribute{.nla_len = static_cast<std::uint16_t>(sizeof(nlattr) + payload.size()),
                               .nla_type = type};
        append(&attribute, sizeof attribute);
        append(payload.data(), payload.size());
        return *this;
    }

    MessageBuilder &put(std::uint16_t type, std::uint32_t value)
    {
        return put(type, std::as_bytes(std::span(&value, 1)));
    }

    // With a NUL at its end.
    MessageBuilder &put(std::uint16_t type, const char *text)
    {
        const std::string_view view(text);
        return put(type, std::as_bytes(std::span(text, view.size() + 1)));
    }

    // The message; its length and padding are put right first.
    const std::vector<std::byte> &octets()
    {
        const auto length = static_cast<std::uint32_t>(octets_.size());
        std::memcpy(octets_.data(), &length, sizeof length);
        return octets_;
    }

private:
    void append(const void *from, std::size_t size)
    {
        octets_.resize((octets_.size() + 3) & ~std::size_t{3});
        const auto *first = static_cast<const std::byte *>(from);
        octets_.insert(octets_.end(), first, first + size);
    }

    std::vector<std::byte> octets_;
};

} // namespace mpt::net
