// SPDX-License-Identifier: GPL-3.0-or-later
// Reads what the kernel says about the network (rtnetlink(7)): octets in, values out. Nothing here owns a socket.
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"
#include "daemon/base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace mpt::net {

struct Link {
    std::uint32_t index = 0;
    std::string name;
    std::string kind; // as `ip -d link` says it: "tun", "veth", "bridge"; empty for hardware and the loopback
    std::uint32_t mtu = 0;
    std::uint32_t min_mtu = 0;
    std::uint32_t max_mtu = 0; // 0: no upper limit
    bool up = false;           // set up by the administrator
    bool running = false;      // up and operational: not waiting for carrier or for 802.1X (RFC 2863)
    bool carrier = false;      // up and the lower layer is there

    friend bool operator==(const Link &, const Link &) = default;
};

struct InterfaceAddress {
    base::Prefix prefix; // the interface's own address
    base::Address peer;  // the other end's, on a point-to-point interface that names it; else the own one
    bool tentative = false;
    bool dad_failed = false; // somebody else has it (RFC 4862 section 5.4)

    // True if a socket can be bound to it now. An optimistic address (RFC 4429) is not tentative here.
    bool usable() const noexcept { return !tentative && !dad_failed; }

    friend bool operator==(const InterfaceAddress &, const InterfaceAddress &) = default;
};

// A unicast route with one next hop.
struct RouteEntry {
    base::Prefix destination;
    std::uint32_t index = 0; // of the interface
    std::optional<base::Address> gateway;
    std::optional<base::Address> source;
    std::uint32_t table = 0;
    std::uint32_t metric = 0;
    std::uint8_t protocol = 0;

    friend bool operator==(const RouteEntry &, const RouteEntry &) = default;
};

// A rule that sends packets to a routing table, by their source address at most.
struct Rule {
    base::IpVersion version = base::IpVersion::kV4;
    std::uint32_t priority = 0;          // lower ones are asked first
    std::optional<base::Prefix> source;  // none: all packets
    std::uint32_t table = 0;             // that is looked up
    std::optional<std::uint32_t> longer; // only routes of the table with a longer prefix count
    std::uint8_t protocol = 0;           // who made it

    // As `ip rule` writes it.
    std::string to_string() const;

    friend auto operator<=>(const Rule &, const Rule &) = default;
};

struct LinkEvent {
    Link link;
    bool removed = false;
};

struct AddressEvent {
    std::uint32_t index = 0; // of the interface
    InterfaceAddress address;
    bool removed = false;
};

struct RouteEvent {
    RouteEntry route;
    bool removed = false;
    std::vector<RouteEntry> others = {}; // of a route with several next hops: the same by each but the first
};

struct RuleEvent {
    Rule rule;
    bool removed = false;
};

// Whether the kernel forwards what comes in by an interface.
struct ForwardingEvent {
    base::IpVersion version = base::IpVersion::kV4;
    std::uint32_t index = 0; // of the interface; 0: all of them
    bool on = false;
};

using Event = std::variant<LinkEvent, AddressEvent, RouteEvent, RuleEvent, ForwardingEvent>;

// One netlink message. `body` is what follows the header; it points into the datagram.
struct Message {
    std::uint16_t type = 0;
    std::uint16_t flags = 0;
    std::uint32_t sequence = 0;
    std::uint32_t port = 0;
    base::ConstOctets body;
};

// How a request ended (NLMSG_ERROR, NLMSG_DONE).
struct Status {
    int error = 0;      // 0 or an errno value
    std::string reason; // the kernel's own words, often empty
};

// The answer to one request, as far as it has come in.
struct Reply {
    std::vector<Event> events;
    bool interrupted = false;     // something changed while it was put together: what is in it may be incomplete
    std::optional<Status> status; // the end of the answer
};

// The messages of a datagram, in their order. kSystem if the lengths do not add up.
base::Result<std::vector<Message>> split(base::ConstOctets datagram);

// kSystem if the message is no status or malformed.
base::Result<Status> decode_status(const Message &message);

// What a message says; nothing if it is about something else: another type, an address family other than IPv4 and
// IPv6, a link as a bridge sees its ports, a wireless event, a route that is not unicast, a
// rule that does or asks for more than Rule can say, another setting of an interface than its forwarding.
// kSystem if it is malformed: a header or attribute cut short, of a wrong length, or a value that cannot be.
base::Result<std::optional<Event>> decode(const Message &message);

// Adds what a datagram says in answer to the request with that sequence number of the socket with that port. Anything
// else in it, such as the late answer to a request that was given up, is skipped. kSystem if it is malformed.
base::Result<void> gather(base::ConstOctets datagram, std::uint32_t sequence, std::uint32_t port, Reply &reply);

} // namespace mpt::net
