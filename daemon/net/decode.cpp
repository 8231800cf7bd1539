// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/net/decode.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>

namespace mpt::net {

namespace {

using base::Address;
using base::ConstOctets;
using base::Result;

constexpr std::size_t aligned(std::size_t length) noexcept
{
    static_assert(NLMSG_ALIGNTO == 4 && RTA_ALIGNTO == 4);
    return (length + 3) & ~std::size_t{3};
}

// A structure of the kernel's, in the machine's byte order, from the front of `octets`, which then starts after it.
template <typename T> std::optional<T> take(ConstOctets &octets) noexcept
{
    T value{};
    if (octets.size() < sizeof value)
        return std::nullopt;
    std::memcpy(&value, octets.data(), sizeof value);
    octets = octets.subspan(std::min(aligned(sizeof value), octets.size()));
    return value;
}

// The decoders below return false for what is malformed.

bool read(ConstOctets payload, std::uint32_t &value) noexcept
{
    if (payload.size() != sizeof value)
        return false;
    std::memcpy(&value, payload.data(), sizeof value);
    return true;
}

bool read(ConstOctets payload, std::uint8_t &value) noexcept
{
    if (payload.size() != sizeof value)
        return false;
    value = std::to_integer<std::uint8_t>(payload[0]);
    return true;
}

bool read(ConstOctets payload, std::string &text)
{
    const auto end = std::find(payload.begin(), payload.end(), std::byte{0});
    if (end == payload.end() || end + 1 != payload.end())
        return false;
    text.assign(reinterpret_cast<const char *>(payload.data()), payload.size() - 1);
    return true;
}

bool read(ConstOctets payload, int family, std::optional<Address> &address) noexcept
{
    if (family == AF_INET && payload.size() == 4)
        address = Address::from_octets(payload.first<4>());
    else if (family == AF_INET6 && payload.size() == 16)
        address = Address::from_octets(payload.first<16>());
    else
        return false;
    return true;
}

// Calls visit(type, payload), which returns false for a malformed payload, for each attribute.
template <typename Visit> bool for_each_attribute(ConstOctets octets, Visit visit)
{
    while (!octets.empty()) {
        if (octets.size() < sizeof(rtattr))
            return false;
        rtattr header{};
        std::memcpy(&header, octets.data(), sizeof header);
        if (header.rta_len < sizeof header || header.rta_len > octets.size())
            return false;
        if (!visit(header.rta_type & NLA_TYPE_MASK, octets.subspan(sizeof header, header.rta_len - sizeof header)))
            return false;
        octets = octets.subspan(std::min(aligned(header.rta_len), octets.size()));
    }
    return true;
}

bool is_valid_name(const std::string &name) noexcept
{
    return !name.empty() && name.size() < IFNAMSIZ;
}

// In the decoders `event` stays empty if the message is not about what we want to know.

bool decode_link(ConstOctets body, bool removed, std::optional<Event> &event)
{
    const auto header = take<ifinfomsg>(body);
    if (!header || header->ifi_index <= 0)
        return false;
    // A bridge tells of a port that joins and leaves it with RTM_NEWLINK and RTM_DELLINK of its own family: the link
    // itself neither comes nor goes.
    if (header->ifi_family != AF_UNSPEC)
        return true;

    Link link;
    link.index = static_cast<std::uint32_t>(header->ifi_index);
    link.up = (header->ifi_flags & IFF_UP) != 0;
    link.running = (header->ifi_flags & IFF_RUNNING) != 0;
    link.carrier = (header->ifi_flags & IFF_LOWER_UP) != 0;
    bool whole = false;
    const bool ok = for_each_attribute(body, [&](int type, ConstOctets payload) {
        switch (type) {
        case IFLA_IFNAME:
            return read(payload, link.name);
        case IFLA_MTU:
            whole = true;
            return read(payload, link.mtu);
        case IFLA_MIN_MTU:
            return read(payload, link.min_mtu);
        case IFLA_MAX_MTU:
            return read(payload, link.max_mtu);
        case IFLA_LINKINFO:
            return for_each_attribute(payload, [&](int inner_type, ConstOctets inner) {
                return inner_type != IFLA_INFO_KIND || read(inner, link.kind);
            });
        default:
            return true;
        }
    });
    if (!ok || !is_valid_name(link.name))
        return false;
    // Wireless events are RTM_NEWLINK too, with little more than the name (net/wireless/wext-core.c).
    if (whole)
        event = LinkEvent{std::move(link), removed};
    return true;
}

bool decode_address(ConstOctets body, bool removed, std::optional<Event> &event)
{
    const auto header = take<ifaddrmsg>(body);
    if (!header)
        return false;
    if (header->ifa_family != AF_INET && header->ifa_family != AF_INET6)
        return true;

    std::optional<Address> local;
    std::optional<Address> address;
    std::uint32_t flags = header->ifa_flags;
    const bool ok = for_each_attribute(body, [&](int type, ConstOctets payload) {
        switch (type) {
        case IFA_LOCAL:
            return read(payload, header->ifa_family, local);
        case IFA_ADDRESS:
            return read(payload, header->ifa_family, address);
        case IFA_FLAGS: // all 32 of them; the header holds the first eight
            return read(payload, flags);
        default:
            return true;
        }
    });
    if (!ok || header->ifa_index == 0)
        return false;
    // IFA_ADDRESS is the peer's if there is an IFA_LOCAL and another one (linux/if_addr.h).
    if (!local)
        local = address;
    if (!local) // 0.0.0.0
        return true;
    const base::IpVersion version = header->ifa_family == AF_INET ? base::IpVersion::kV4 : base::IpVersion::kV6;
    if (local->version() != version) // an IPv4-mapped IPv6 address would be taken for the IPv4 one
        return true;
    if (header->ifa_prefixlen > local->bits())
        return false;

    InterfaceAddress result;
    result.prefix = {*local, header->ifa_prefixlen};
    result.peer = address.value_or(*local);
    result.tentative = (flags & IFA_F_TENTATIVE) != 0 && (flags & IFA_F_OPTIMISTIC) == 0;
    result.dad_failed = (flags & IFA_F_DADFAILED) != 0;
    event = AddressEvent{header->ifa_index, result, removed};
    return true;
}

// The next hops of a route that has several (RTA_MULTIPATH), each with its interface and gateway.
bool read_next_hops(ConstOctets octets, int family, const RouteEntry &route, std::vector<RouteEntry> &hops)
{
    while (!octets.empty()) {
        rtnexthop header{};
        if (octets.size() < sizeof header)
            return false;
        std::memcpy(&header, octets.data(), sizeof header);
        if (header.rtnh_len < sizeof header || header.rtnh_len > octets.size() || header.rtnh_ifindex <= 0)
            return false;
        RouteEntry hop = route;
        hop.index = static_cast<std::uint32_t>(header.rtnh_ifindex);
        const ConstOctets attributes = octets.subspan(sizeof header, header.rtnh_len - sizeof header);
        if (!for_each_attribute(attributes, [&](int type, ConstOctets payload) {
                return type != RTA_GATEWAY || read(payload, family, hop.gateway);
            }))
            return false;
        hops.push_back(hop);
        octets = octets.subspan(std::min(aligned(header.rtnh_len), octets.size()));
    }
    return true;
}

bool decode_route(ConstOctets body, bool removed, std::optional<Event> &event)
{
    const auto header = take<rtmsg>(body);
    if (!header)
        return false;
    if ((header->rtm_family != AF_INET && header->rtm_family != AF_INET6) || header->rtm_type != RTN_UNICAST ||
        (header->rtm_flags & RTM_F_CLONED) != 0)
        return true;

    const bool v4 = header->rtm_family == AF_INET;
    RouteEntry route;
    route.table = header->rtm_table;
    route.protocol = header->rtm_protocol;
    std::optional<Address> destination;
    bool single_hop = false;
    ConstOctets next_hops;
    const bool ok = for_each_attribute(body, [&](int type, ConstOctets payload) {
        switch (type) {
        case RTA_DST:
            return read(payload, header->rtm_family, destination);
        case RTA_OIF:
            single_hop = true;
            return read(payload, route.index);
        case RTA_GATEWAY:
            return read(payload, header->rtm_family, route.gateway);
        case RTA_MULTIPATH:
            next_hops = payload;
            return true;
        case RTA_PREFSRC:
            return read(payload, header->rtm_family, route.source);
        case RTA_TABLE:
            return read(payload, route.table);
        case RTA_PRIORITY:
            return read(payload, route.metric);
        default:
            return true;
        }
    });
    if (!ok || header->rtm_dst_len > (v4 ? 32 : 128))
        return false;
    if (!destination)
        destination = v4 ? Address() : Address::from_octets(std::array<std::byte, 16>{});
    if (destination->is_v4() != v4)
        return true;
    route.destination = {*destination, header->rtm_dst_len};
    RouteEvent result{route, removed};
    if (!single_hop) {
        if (!read_next_hops(next_hops, header->rtm_family, route, result.others))
            return false;
        if (result.others.empty())
            return true;
        result.route = result.others.front();
        result.others.erase(result.others.begin());
    }
    event = std::move(result);
    return true;
}

bool decode_rule(ConstOctets body, bool removed, std::optional<Event> &event)
{
    const auto header = take<fib_rule_hdr>(body);
    if (!header)
        return false;
    if (header->family != AF_INET && header->family != AF_INET6)
        return true;

    const bool v4 = header->family == AF_INET;
    Rule rule;
    rule.version = v4 ? base::IpVersion::kV4 : base::IpVersion::kV6;
    rule.table = header->table;
    std::optional<Address> source;
    std::uint32_t suppressed = UINT32_MAX; // -1: none
    bool plain = header->action == FR_ACT_TO_TBL && header->dst_len == 0 && header->tos == 0 &&
                 (header->flags & FIB_RULE_INVERT) == 0;
    const bool ok = for_each_attribute(body, [&](int type, ConstOctets payload) {
        switch (type) {
        case FRA_SRC:
            return read(payload, header->family, source);
        case FRA_PRIORITY:
            return read(payload, rule.priority);
        case FRA_TABLE:
            return read(payload, rule.table);
        case FRA_SUPPRESS_PREFIXLEN:
            return read(payload, suppressed);
        case FRA_PROTOCOL:
            return read(payload, rule.protocol);
        case FRA_PAD:
            return true;
        default:
            plain = false;
            return true;
        }
    });
    if (!ok || header->src_len > (v4 ? 32 : 128) || (header->src_len != 0) != source.has_value())
        return false;
    if (!plain || (source && source->is_v4() != v4))
        return true;
    if (source)
        rule.source = base::Prefix{*source, header->src_len};
    if (suppressed != UINT32_MAX)
        rule.longer = suppressed;
    event = RuleEvent{rule, removed};
    return true;
}

bool decode_netconf(ConstOctets body, std::optional<Event> &event)
{
    const auto header = take<netconfmsg>(body);
    if (!header)
        return false;
    if (header->ncm_family != AF_INET && header->ncm_family != AF_INET6)
        return true;
    std::uint32_t index = 0;
    std::optional<std::uint32_t> forwarding;
    const bool ok = for_each_attribute(body, [&](int type, ConstOctets payload) {
        switch (type) {
        case NETCONFA_IFINDEX:
            return read(payload, index);
        case NETCONFA_FORWARDING:
            return read(payload, forwarding.emplace());
        default:
            return true;
        }
    });
    if (!ok || index == 0)
        return false;
    const auto as_signed = static_cast<std::int32_t>(index);
    if (!forwarding || as_signed == NETCONFA_IFINDEX_DEFAULT)
        return true;
    event = ForwardingEvent{header->ncm_family == AF_INET ? base::IpVersion::kV4 : base::IpVersion::kV6,
                            as_signed == NETCONFA_IFINDEX_ALL ? 0 : index, *forwarding != 0};
    return true;
}

base::Failure malformed(const Message &message)
{
    return base::fail(base::ErrorCode::kSystem,
                      fmt::format("a message of the kernel about the network (type {}, {} octets) is malformed; "
                                  "please report it with the kernel's version",
                                  message.type, message.body.size()));
}

} // namespace

std::string Rule::to_string() const
{
    std::string text = fmt::format("{}: from {} lookup {}", priority, source ? source->to_string() : "all", table);
    if (longer)
        text += fmt::format(" suppress_prefixlength {}", *longer);
    return text;
}

Result<std::vector<Message>> split(ConstOctets datagram)
{
    std::vector<Message> messages;
    while (!datagram.empty()) {
        nlmsghdr header{};
        if (datagram.size() >= sizeof header)
            std::memcpy(&header, datagram.data(), sizeof header);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > datagram.size())
            return base::fail(base::ErrorCode::kSystem,
                              fmt::format("a datagram of the kernel about the network ends within a message ({} octets "
                                          "left, {} announced); please report it with the kernel's version",
                                          datagram.size(), header.nlmsg_len));
        messages.push_back({header.nlmsg_type, header.nlmsg_flags, header.nlmsg_seq, header.nlmsg_pid,
                            datagram.subspan(sizeof header, header.nlmsg_len - sizeof header)});
        datagram = datagram.subspan(std::min(aligned(header.nlmsg_len), datagram.size()));
    }
    return messages;
}

Result<Status> decode_status(const Message &message)
{
    ConstOctets body = message.body;
    const auto error = take<std::int32_t>(body);
    if ((message.type != NLMSG_ERROR && message.type != NLMSG_DONE) || !error || *error > 0 || *error < -4095)
        return malformed(message);
    Status status;
    status.error = -*error;

    // An error repeats the request, its header only if it is capped; the attributes come after that.
    if (message.type == NLMSG_ERROR) {
        const auto request = take<nlmsghdr>(body);
        if (!request || request->nlmsg_len < sizeof *request)
            return malformed(message);
        if ((message.flags & NLM_F_CAPPED) == 0) {
            const std::size_t repeated = request->nlmsg_len - sizeof *request;
            if (repeated > body.size())
                return malformed(message);
            body = body.subspan(std::min(aligned(repeated), body.size()));
        }
    }
    if ((message.flags & NLM_F_ACK_TLVS) != 0 && !for_each_attribute(body, [&](int type, ConstOctets payload) {
            return type != NLMSGERR_ATTR_MSG || read(payload, status.reason);
        }))
        return malformed(message);
    return status;
}

Result<std::optional<Event>> decode(const Message &message)
{
    std::optional<Event> event;
    bool ok = true;
    switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        ok = decode_link(message.body, message.type == RTM_DELLINK, event);
        break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        ok = decode_address(message.body, message.type == RTM_DELADDR, event);
        break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        ok = decode_route(message.body, message.type == RTM_DELROUTE, event);
        break;
    case RTM_NEWRULE:
    case RTM_DELRULE:
        ok = decode_rule(message.body, message.type == RTM_DELRULE, event);
        break;
    case RTM_NEWNETCONF:
        ok = decode_netconf(message.body, event);
        break;
    default:
        break;
    }
    if (!ok)
        return malformed(message);
    return event;
}

Result<void> gather(ConstOctets datagram, std::uint32_t sequence, std::uint32_t port, Reply &reply)
{
    const auto messages = split(datagram);
    if (!messages)
        return base::Failure(messages.error());
    for (const Message &message : *messages) {
        if (message.sequence != sequence || message.port != port)
            continue;
        reply.interrupted = reply.interrupted || (message.flags & NLM_F_DUMP_INTR) != 0;
        if (message.type == NLMSG_ERROR || message.type == NLMSG_DONE) {
            auto status = decode_status(message);
            if (!status)
                return base::Failure(status.error());
            reply.status = std::move(*status);
            return {};
        }
        auto event = decode(message);
        if (!event)
            return base::Failure(event.error());
        if (*event)
            reply.events.push_back(std::move(**event));
    }
    return {};
}

} // namespace mpt::net
