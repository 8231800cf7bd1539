// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/net/decode.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/net/message_builder.hpp"

#include <gtest/gtest.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>

namespace mpt::net {
namespace {

using base::Address;
using base::ConstOctets;
using base::Prefix;
using mpt::test::address;

base::Result<std::optional<Event>> decode_one(ConstOctets datagram)
{
    const auto messages = split(datagram).value();
    EXPECT_EQ(messages.size(), 1U);
    return decode(messages.at(0));
}

base::Result<std::optional<Event>> decode_one(MessageBuilder &builder)
{
    return decode_one(builder.octets());
}

ifinfomsg link_header(unsigned flags)
{
    ifinfomsg header{};
    header.ifi_index = 5;
    header.ifi_flags = flags;
    return header;
}

MessageBuilder link_message(std::uint16_t type = RTM_NEWLINK, unsigned flags = IFF_UP)
{
    MessageBuilder builder(type, link_header(flags));
    builder.put(IFLA_IFNAME, "eth1").put(IFLA_MTU, 1500U);
    return builder;
}

MessageBuilder address_message(std::uint8_t family, std::uint8_t length, std::uint8_t flags = 0,
                               std::uint16_t type = RTM_NEWADDR)
{
    ifaddrmsg header{};
    header.ifa_family = family;
    header.ifa_prefixlen = length;
    header.ifa_flags = flags;
    header.ifa_index = 5;
    return MessageBuilder(type, header);
}

MessageBuilder route_message(std::uint8_t family, std::uint8_t length)
{
    rtmsg header{};
    header.rtm_family = family;
    header.rtm_dst_len = length;
    header.rtm_table = RT_TABLE_MAIN;
    header.rtm_protocol = 212;
    header.rtm_type = RTN_UNICAST;
    return MessageBuilder(RTM_NEWROUTE, header);
}

InterfaceAddress decoded_address(MessageBuilder &builder)
{
    return std::get<AddressEvent>(decode_one(builder).value().value()).address;
}

TEST(Decode, ReadsALink)
{
    auto builder = link_message(RTM_NEWLINK, IFF_UP | IFF_RUNNING | IFF_LOWER_UP);
    builder.put(IFLA_MIN_MTU, 68U).put(IFLA_MAX_MTU, 65535U).put(IFLA_TXQLEN, 1000U);
    std::vector<std::byte> kind;
    MessageBuilder nested(0, std::uint32_t{0});
    nested.put(IFLA_INFO_KIND, "veth");
    kind.assign(nested.octets().begin() + 20, nested.octets().end());
    builder.put(IFLA_LINKINFO | NLA_F_NESTED, kind);
    const auto event = std::get<LinkEvent>(decode_one(builder).value().value());
    EXPECT_FALSE(event.removed);
    const Link expected{.index = 5,
                        .name = "eth1",
                        .kind = "veth",
                        .mtu = 1500,
                        .min_mtu = 68,
                        .max_mtu = 65535,
                        .up = true,
                        .running = true,
                        .carrier = true};
    EXPECT_EQ(event.link, expected);
}

TEST(Decode, TellsUpRunningAndCarrierApart)
{
    const auto decoded = [](unsigned flags) {
        auto builder = link_message(RTM_NEWLINK, flags);
        return std::get<LinkEvent>(decode_one(builder).value().value()).link;
    };
    EXPECT_TRUE(decoded(IFF_UP).up);
    EXPECT_FALSE(decoded(IFF_UP).running);
    EXPECT_FALSE(decoded(IFF_UP).carrier);
    EXPECT_TRUE(decoded(IFF_RUNNING).running);
    EXPECT_TRUE(decoded(IFF_LOWER_UP).carrier);
    EXPECT_FALSE(decoded(IFF_LOWER_UP | IFF_RUNNING).up);
}

TEST(Decode, ReadsARemovedLink)
{
    auto builder = link_message(RTM_DELLINK);
    EXPECT_TRUE(std::get<LinkEvent>(decode_one(builder).value().value()).removed);
}

TEST(Decode, ALinkLeavingABridgeIsNoRemoval)
{
    ifinfomsg header = link_header(IFF_UP);
    header.ifi_family = AF_BRIDGE;
    MessageBuilder builder(RTM_DELLINK, header);
    builder.put(IFLA_IFNAME, "eth1").put(IFLA_MTU, 1500U);
    EXPECT_EQ(decode_one(builder).value(), std::nullopt);
}

TEST(Decode, AWirelessEventSaysNothing)
{
    MessageBuilder builder(RTM_NEWLINK, link_header(IFF_UP));
    builder.put(IFLA_IFNAME, "wlan0").put(IFLA_WIRELESS, 0U);
    EXPECT_EQ(decode_one(builder).value(), std::nullopt);
}

TEST(Decode, RefusesAMalformedLink)
{
    const auto refused = [](MessageBuilder &builder) { return !decode_one(builder); };
    {
        MessageBuilder builder(RTM_NEWLINK, link_header(0));
        builder.put(IFLA_MTU, 1500U); // no name
        EXPECT_TRUE(refused(builder));
    }
    for (const char *name : {"", "sixteen-octets-x"}) {
        MessageBuilder builder(RTM_NEWLINK, link_header(0));
        builder.put(IFLA_IFNAME, name).put(IFLA_MTU, 1500U);
        EXPECT_TRUE(refused(builder)) << name;
    }
    for (const int index : {0, -1}) {
        ifinfomsg header{};
        header.ifi_index = index;
        MessageBuilder builder(RTM_NEWLINK, header);
        builder.put(IFLA_IFNAME, "eth1").put(IFLA_MTU, 1500U);
        EXPECT_TRUE(refused(builder)) << index;
    }
    const std::string_view unterminated = "eth1";
    const std::string_view split_name("a\0b\0", 4);
    for (const std::string_view name : {unterminated, split_name}) {
        MessageBuilder builder(RTM_NEWLINK, link_header(0));
        builder.put(IFLA_MTU, 1500U).put(IFLA_IFNAME, std::as_bytes(std::span(name)));
        EXPECT_TRUE(refused(builder)) << name;
    }
    for (const std::size_t size : {0U, 2U, 3U, 5U, 8U}) {
        auto builder = link_message();
        builder.put(IFLA_MAX_MTU, std::vector<std::byte>(size));
        EXPECT_TRUE(refused(builder)) << size;
    }
    for (const unsigned length : {0U, 1U, 3U, 9U, 0xffffU}) { // of 8 that are there
        auto builder = link_message();
        builder.put(IFLA_TXQLEN, 1000U);
        std::vector<std::byte> octets = builder.octets();
        const auto field = static_cast<std::uint16_t>(length);
        std::memcpy(octets.data() + octets.size() - 8, &field, sizeof field);
        EXPECT_FALSE(decode_one(octets)) << length;
    }
    {
        auto builder = link_message(); // a nested attribute that is longer than its parent
        const nlattr inner{.nla_len = 100, .nla_type = IFLA_INFO_KIND};
        builder.put(IFLA_LINKINFO, std::as_bytes(std::span(&inner, 1)));
        EXPECT_TRUE(refused(builder));
    }
}

TEST(Decode, AnyCutOfALinkIsRefusedOrDoesNotReadOn)
{
    auto builder = link_message();
    const std::vector<std::byte> whole = builder.octets();
    for (std::size_t size = sizeof(nlmsghdr); size < whole.size(); ++size) {
        // A copy of that size, so that the sanitizers see a read beyond it.
        std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        const auto length = static_cast<std::uint32_t>(size);
        std::memcpy(cut.data(), &length, sizeof length);
        const auto event = decode_one(cut);
        EXPECT_TRUE(!event || !*event) << size;
    }
}

TEST(Decode, ReadsAddresses)
{
    auto v4 = address_message(AF_INET, 24);
    v4.put(IFA_ADDRESS, address("10.0.0.2").octets()).put(IFA_LOCAL, address("10.0.0.2").octets());
    EXPECT_EQ(decoded_address(v4), (InterfaceAddress{{address("10.0.0.2"), 24}, address("10.0.0.2")}));
    EXPECT_EQ(std::get<AddressEvent>(decode_one(v4).value().value()).index, 5U);
    EXPECT_FALSE(std::get<AddressEvent>(decode_one(v4).value().value()).removed);

    auto v6 = address_message(AF_INET6, 64, 0, RTM_DELADDR);
    v6.put(IFA_ADDRESS, address("fd00::2").octets());
    EXPECT_EQ(decoded_address(v6), (InterfaceAddress{{address("fd00::2"), 64}, address("fd00::2")}));
    EXPECT_TRUE(std::get<AddressEvent>(decode_one(v6).value().value()).removed);
}

// linux/if_addr.h: with a peer IFA_LOCAL is the own address, and IFA_ADDRESS the peer's.
TEST(Decode, ThePeersAddressIsNotOurs)
{
    auto builder = address_message(AF_INET, 32);
    builder.put(IFA_ADDRESS, address("10.0.0.9").octets()).put(IFA_LOCAL, address("10.0.0.2").octets());
    EXPECT_EQ(decoded_address(builder), (InterfaceAddress{{address("10.0.0.2"), 32}, address("10.0.0.9")}));
}

TEST(Decode, KnowsWhenAnAddressCanBeUsed)
{
    const auto decoded = [](std::uint32_t flags) {
        auto builder = address_message(AF_INET6, 64);
        builder.put(IFA_ADDRESS, address("fd00::2").octets()).put(IFA_FLAGS, flags);
        return decoded_address(builder);
    };
    EXPECT_TRUE(decoded(IFA_F_PERMANENT).usable());
    EXPECT_TRUE(decoded(IFA_F_DEPRECATED | IFA_F_MANAGETEMPADDR).usable());
    EXPECT_TRUE(decoded(IFA_F_TENTATIVE).tentative);
    EXPECT_FALSE(decoded(IFA_F_TENTATIVE).usable());
    EXPECT_TRUE(decoded(IFA_F_TENTATIVE | IFA_F_OPTIMISTIC).usable());
    EXPECT_TRUE(decoded(IFA_F_DADFAILED).dad_failed);
    EXPECT_FALSE(decoded(IFA_F_DADFAILED).usable());
    // The flags of the header are the lower eight of the attribute, which wins.
    auto builder = address_message(AF_INET6, 64, IFA_F_TENTATIVE);
    builder.put(IFA_ADDRESS, address("fd00::2").octets());
    EXPECT_TRUE(decoded_address(builder).tentative);
    builder.put(IFA_FLAGS, std::uint32_t{IFA_F_PERMANENT});
    EXPECT_FALSE(decoded_address(builder).tentative);
}

TEST(Decode, RefusesMalformedAddresses)
{
    auto too_long = address_message(AF_INET, 33);
    too_long.put(IFA_LOCAL, address("10.0.0.2").octets());
    EXPECT_FALSE(decode_one(too_long));
    auto wrong_size = address_message(AF_INET, 24);
    wrong_size.put(IFA_LOCAL, address("fd00::2").octets());
    EXPECT_FALSE(decode_one(wrong_size));
    auto short_v6 = address_message(AF_INET6, 64);
    short_v6.put(IFA_ADDRESS, address("10.0.0.2").octets());
    EXPECT_FALSE(decode_one(short_v6));
    MessageBuilder no_index(
        RTM_NEWADDR,
        ifaddrmsg{.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_flags = 0, .ifa_scope = 0, .ifa_index = 0});
    no_index.put(IFA_LOCAL, address("10.0.0.2").octets());
    EXPECT_FALSE(decode_one(no_index));
}

TEST(Decode, IgnoresAddressesThatItCannotTell)
{
    auto other_family = address_message(AF_PHONET, 0);
    EXPECT_EQ(decode_one(other_family).value(), std::nullopt);
    auto zero = address_message(AF_INET, 0); // the kernel leaves the attributes of 0.0.0.0 out
    EXPECT_EQ(decode_one(zero).value(), std::nullopt);
    // ::ffff:10.0.0.2 is not 10.0.0.2.
    auto mapped = address_message(AF_INET6, 128);
    mapped.put(IFA_ADDRESS, address("10.0.0.2").mapped());
    EXPECT_EQ(decode_one(mapped).value(), std::nullopt);
}

TEST(Decode, ReadsRoutes)
{
    auto v4 = route_message(AF_INET, 16);
    v4.put(RTA_TABLE, 1000U)
        .put(RTA_DST, address("10.20.0.0").octets())
        .put(RTA_PRIORITY, 77U)
        .put(RTA_PREFSRC, address("10.9.0.2").octets())
        .put(RTA_GATEWAY, address("10.9.0.1").octets())
        .put(RTA_OIF, 5U);
    const RouteEntry expected{.destination = Prefix::parse("10.20.0.0/16").value(),
                              .index = 5,
                              .gateway = address("10.9.0.1"),
                              .source = address("10.9.0.2"),
                              .table = 1000,
                              .metric = 77,
                              .protocol = 212};
    EXPECT_EQ(std::get<RouteEvent>(decode_one(v4).value().value()).route, expected);

    auto default_v6 = route_message(AF_INET6, 0);
    default_v6.put(RTA_OIF, 5U);
    const RouteEntry bare{.destination = Prefix::parse("::/0").value(),
                          .index = 5,
                          .gateway = {},
                          .source = {},
                          .table = RT_TABLE_MAIN,
                          .metric = 0,
                          .protocol = 212};
    EXPECT_EQ(std::get<RouteEvent>(decode_one(default_v6).value().value()).route, bare);

    auto multipath = route_message(AF_INET, 0);
    EXPECT_EQ(decode_one(multipath).value(), std::nullopt);
    auto too_long = route_message(AF_INET, 33);
    too_long.put(RTA_DST, address("10.20.0.0").octets()).put(RTA_OIF, 5U);
    EXPECT_FALSE(decode_one(too_long));
}

TEST(Decode, ReadsRoutesWithSeveralNextHops)
{
    const auto hops = [](std::uint16_t first_length) {
        std::vector<std::byte> octets;
        const auto append = [&](const void *from, std::size_t size) {
            const auto *first = static_cast<const std::byte *>(from);
            octets.insert(octets.end(), first, first + size);
        };
        for (const int index : {5, 6}) {
            const auto gateway = address(index == 5 ? "10.9.0.1" : "10.8.0.1");
            const rtnexthop hop{index == 5 ? first_length : std::uint16_t{16}, 0, 0, index};
            const rtattr attribute{8, RTA_GATEWAY};
            append(&hop, sizeof hop);
            append(&attribute, sizeof attribute);
            append(gateway.octets().data(), 4);
        }
        return octets;
    };
    auto both = route_message(AF_INET, 0);
    both.put(RTA_PRIORITY, 7U).put(RTA_MULTIPATH, hops(16));
    const auto event = std::get<RouteEvent>(decode_one(both).value().value());
    ASSERT_EQ(event.others.size(), 1U);
    EXPECT_EQ(event.route.index, 5U);
    EXPECT_EQ(event.route.gateway, address("10.9.0.1"));
    EXPECT_EQ(event.others[0].index, 6U);
    EXPECT_EQ(event.others[0].gateway, address("10.8.0.1"));
    EXPECT_EQ(event.others[0].metric, 7U);
    EXPECT_EQ(event.others[0].destination, event.route.destination);
    for (const int length : {0, 7, 9, 33, 65535}) {
        auto broken = route_message(AF_INET, 0);
        broken.put(RTA_MULTIPATH, hops(static_cast<std::uint16_t>(length)));
        EXPECT_FALSE(decode_one(broken)) << length;
    }
}

TEST(Decode, ReadsRules)
{
    fib_rule_hdr header{};
    header.family = AF_INET;
    header.src_len = 32;
    header.action = FR_ACT_TO_TBL;
    const std::uint8_t protocol = 212;
    const auto fill = [&](MessageBuilder &message) -> MessageBuilder & {
        return message.put(FRA_TABLE, 21200U)
            .put(FRA_PRIORITY, 212U)
            .put(FRA_SUPPRESS_PREFIXLEN, 0U)
            .put(FRA_PROTOCOL, std::as_bytes(std::span(&protocol, 1)));
    };
    MessageBuilder plain(RTM_NEWRULE, header);
    fill(plain).put(FRA_SRC, address("10.1.0.2").octets());
    const Rule expected{base::IpVersion::kV4, 212, Prefix::parse("10.1.0.2/32").value(), 21200, 0U, 212};
    EXPECT_EQ(std::get<RuleEvent>(decode_one(plain).value().value()).rule, expected);
    EXPECT_EQ(expected.to_string(), "212: from 10.1.0.2/32 lookup 21200 suppress_prefixlength 0");

    // What it looks at besides, Rule cannot say: nobody may take it for ours.
    MessageBuilder marked(RTM_NEWRULE, header);
    fill(marked).put(FRA_SRC, address("10.1.0.2").octets()).put(FRA_FWMARK, 1U);
    EXPECT_EQ(decode_one(marked).value(), std::nullopt);
    fib_rule_hdr other = header;
    other.flags = FIB_RULE_INVERT;
    MessageBuilder inverted(RTM_NEWRULE, other);
    fill(inverted).put(FRA_SRC, address("10.1.0.2").octets());
    EXPECT_EQ(decode_one(inverted).value(), std::nullopt);
    other.flags = 0;
    other.action = FR_ACT_UNREACHABLE;
    MessageBuilder unreachable(RTM_NEWRULE, other);
    fill(unreachable).put(FRA_SRC, address("10.1.0.2").octets());
    EXPECT_EQ(decode_one(unreachable).value(), std::nullopt);

    // A source that is announced must be there, and as long as that.
    MessageBuilder without_source(RTM_NEWRULE, header);
    EXPECT_FALSE(decode_one(fill(without_source)));
    header.src_len = 33;
    MessageBuilder too_long(RTM_NEWRULE, header);
    EXPECT_FALSE(decode_one(fill(too_long).put(FRA_SRC, address("10.1.0.2").octets())));

    header.src_len = 0;
    MessageBuilder all(RTM_NEWRULE, header);
    fill(all);
    EXPECT_EQ(std::get<RuleEvent>(decode_one(all).value().value()).rule.source, std::nullopt);
}

TEST(Decode, ReadsForwarding)
{
    const netconfmsg header{AF_INET};
    MessageBuilder one(RTM_NEWNETCONF, header);
    one.put(NETCONFA_IFINDEX, 5U).put(NETCONFA_FORWARDING, 1U).put(NETCONFA_RP_FILTER, 2U);
    const auto event = std::get<ForwardingEvent>(decode_one(one).value().value());
    EXPECT_EQ(event.version, base::IpVersion::kV4);
    EXPECT_EQ(event.index, 5U);
    EXPECT_TRUE(event.on);
    MessageBuilder all(RTM_NEWNETCONF, netconfmsg{AF_INET6});
    all.put(NETCONFA_IFINDEX, static_cast<std::uint32_t>(NETCONFA_IFINDEX_ALL)).put(NETCONFA_FORWARDING, 0U);
    EXPECT_EQ(std::get<ForwardingEvent>(decode_one(all).value().value()).index, 0U);
    MessageBuilder other(RTM_NEWNETCONF, header);
    other.put(NETCONFA_IFINDEX, 5U).put(NETCONFA_RP_FILTER, 2U);
    EXPECT_EQ(decode_one(other).value(), std::nullopt);
    MessageBuilder of_new_ones(RTM_NEWNETCONF, header);
    of_new_ones.put(NETCONFA_IFINDEX, static_cast<std::uint32_t>(NETCONFA_IFINDEX_DEFAULT))
        .put(NETCONFA_FORWARDING, 1U);
    EXPECT_EQ(decode_one(of_new_ones).value(), std::nullopt);
    MessageBuilder nowhere(RTM_NEWNETCONF, header);
    nowhere.put(NETCONFA_FORWARDING, 1U);
    EXPECT_FALSE(decode_one(nowhere));
}

TEST(Decode, IgnoresOtherTypes)
{
    MessageBuilder builder(RTM_NEWNEIGH, std::uint32_t{0});
    EXPECT_EQ(decode_one(builder).value(), std::nullopt);
}

TEST(Split, ReadsTheMessagesOfADatagram)
{
    auto first = link_message();
    auto second = address_message(AF_INET, 24);
    second.put(IFA_LABEL, "v"); // ends two octets before a multiple of 4
    std::vector<std::byte> datagram = first.octets();
    const std::size_t size = datagram.size();
    datagram.insert(datagram.end(), second.octets().begin(), second.octets().end());
    ASSERT_NE(datagram.size() % 4, 0U);
    for (int padded = 0; padded < 2; ++padded) {
        const auto messages = split(datagram);
        ASSERT_TRUE(messages) << messages.error().text;
        ASSERT_EQ(messages->size(), 2U);
        EXPECT_EQ((*messages)[0].type, RTM_NEWLINK);
        EXPECT_EQ((*messages)[0].body.size(), size - sizeof(nlmsghdr));
        EXPECT_EQ((*messages)[0].sequence, 7U);
        EXPECT_EQ((*messages)[0].port, 9U);
        EXPECT_EQ((*messages)[1].type, RTM_NEWADDR);
        datagram.resize((datagram.size() + 3) & ~std::size_t{3});
    }
    EXPECT_TRUE(split({}).value().empty());
}

TEST(Split, RefusesLengthsThatDoNotAddUp)
{
    auto builder = link_message();
    std::vector<std::byte> datagram = builder.octets();
    const auto refused = [&](std::uint32_t length) {
        std::memcpy(datagram.data(), &length, sizeof length);
        return !split(datagram);
    };
    const auto size = static_cast<std::uint32_t>(datagram.size());
    EXPECT_FALSE(refused(size));
    EXPECT_FALSE(refused(size - 1)); // the last octet is padding
    for (const std::uint32_t length : {0U, 1U, 15U, size + 1, size + 4, 0x7fffffffU, 0xffffffffU, size - 4})
        EXPECT_TRUE(refused(length)) << length;
    for (std::size_t cut = 1; cut < sizeof(nlmsghdr); ++cut)
        EXPECT_FALSE(split(ConstOctets(datagram).first(cut))) << cut;
}

TEST(DecodeStatus, ReadsAcknowledgementsAndErrors)
{
    struct {
        std::int32_t error;
        nlmsghdr request;
    } body{};
    body.request.nlmsg_len = sizeof body.request + 8; // of which only the header is repeated, if it is capped
    const auto status_of = [&](MessageBuilder builder) { return decode_status(split(builder.octets()).value().at(0)); };

    EXPECT_EQ(status_of(MessageBuilder(NLMSG_ERROR, body, NLM_F_CAPPED))->error, 0);
    body.error = -ENODEV;
    EXPECT_EQ(status_of(MessageBuilder(NLMSG_ERROR, body, NLM_F_CAPPED))->error, ENODEV);
    MessageBuilder reason(NLMSG_ERROR, body, NLM_F_CAPPED | NLM_F_ACK_TLVS);
    reason.put(NLMSGERR_ATTR_OFFS, 20U).put(NLMSGERR_ATTR_MSG, "No such thing");
    EXPECT_EQ(status_of(reason)->reason, "No such thing");

    // Not capped: the request's own eight octets come before the attributes.
    EXPECT_FALSE(status_of(MessageBuilder(NLMSG_ERROR, body)));
    struct {
        decltype(body) capped;
        std::array<std::byte, 8> rest;
    } full{body, {}};
    MessageBuilder full_reason(NLMSG_ERROR, full, NLM_F_ACK_TLVS);
    full_reason.put(NLMSGERR_ATTR_MSG, "No such thing");
    EXPECT_EQ(status_of(full_reason)->reason, "No such thing");

    EXPECT_EQ(status_of(MessageBuilder(NLMSG_DONE, std::int32_t{0}))->error, 0);
    EXPECT_EQ(status_of(MessageBuilder(NLMSG_DONE, std::int32_t{-EINVAL}))->error, EINVAL);
}

TEST(DecodeStatus, RefusesWhatIsMalformed)
{
    const auto refused = [](MessageBuilder builder) { return !decode_status(split(builder.octets()).value().at(0)); };
    EXPECT_TRUE(refused(MessageBuilder(NLMSG_DONE, std::uint16_t{0})));
    EXPECT_TRUE(refused(MessageBuilder(NLMSG_DONE, std::int32_t{1})));
    EXPECT_TRUE(refused(MessageBuilder(NLMSG_DONE, std::numeric_limits<std::int32_t>::min())));
    EXPECT_TRUE(refused(MessageBuilder(NLMSG_ERROR, std::int32_t{-EINVAL}, NLM_F_CAPPED)));
    EXPECT_TRUE(refused(MessageBuilder(RTM_NEWLINK, std::int32_t{0})));
    MessageBuilder unterminated(NLMSG_DONE, std::int32_t{-EINVAL}, NLM_F_ACK_TLVS);
    unterminated.put(NLMSGERR_ATTR_MSG, std::vector<std::byte>(3, std::byte{'x'}));
    EXPECT_TRUE(refused(unterminated));
}

std::vector<std::byte> datagram(std::initializer_list<MessageBuilder> messages)
{
    std::vector<std::byte> octets;
    for (MessageBuilder message : messages)
        octets.insert(octets.end(), message.octets().begin(), message.octets().end());
    return octets;
}

// The builder's messages have sequence number 7 and port 9.
TEST(Gather, EndsWithTheStatus)
{
    const MessageBuilder done(NLMSG_DONE, std::int32_t{0});
    Reply reply;
    EXPECT_TRUE(gather(datagram({link_message(), MessageBuilder(RTM_NEWNEIGH, std::uint32_t{0})}), 7, 9, reply));
    EXPECT_FALSE(reply.status);
    EXPECT_TRUE(gather(datagram({link_message(), done, link_message()}), 7, 9, reply));
    ASSERT_TRUE(reply.status);
    EXPECT_EQ(reply.status->error, 0);
    EXPECT_EQ(reply.events.size(), 2U);
    EXPECT_FALSE(reply.interrupted);
}

TEST(Gather, SkipsTheAnswersToOtherRequests)
{
    const MessageBuilder done(NLMSG_DONE, std::int32_t{-EINVAL}, NLM_F_DUMP_INTR);
    Reply reply;
    EXPECT_TRUE(gather(datagram({link_message(), done}), 8, 9, reply));
    EXPECT_TRUE(gather(datagram({link_message(), done}), 7, 8, reply));
    EXPECT_FALSE(reply.status);
    EXPECT_FALSE(reply.interrupted);
    EXPECT_TRUE(reply.events.empty());
}

// The kernel marks the pieces of a dump after the change, and at least the last message.
TEST(Gather, KnowsThatADumpWasInterrupted)
{
    Reply reply;
    EXPECT_TRUE(gather(datagram({MessageBuilder(RTM_NEWLINK, link_header(0), NLM_F_MULTI | NLM_F_DUMP_INTR)
                                     .put(IFLA_IFNAME, "eth1")
                                     .put(IFLA_MTU, 1500U)}),
                       7, 9, reply));
    EXPECT_TRUE(gather(datagram({MessageBuilder(NLMSG_DONE, std::int32_t{0}, NLM_F_MULTI)}), 7, 9, reply));
    EXPECT_TRUE(reply.status);
    EXPECT_TRUE(reply.interrupted);
}

TEST(Gather, RefusesWhatIsMalformed)
{
    for (const auto &octets : {datagram({MessageBuilder(NLMSG_DONE, std::uint16_t{0})}),
                               datagram({MessageBuilder(RTM_NEWLINK, std::uint32_t{0})}), std::vector<std::byte>(8)}) {
        Reply reply;
        EXPECT_FALSE(gather(octets, 7, 9, reply));
        EXPECT_FALSE(reply.status);
    }
}

} // namespace
} // namespace mpt::net
