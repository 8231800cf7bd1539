// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/check.hpp"

#include "tests/unit/config/texts.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mpt::config {
namespace {

using test::kGuideInterface;
using test::kRecordedCreate;
using test::texts;
using test::with;
using testing::ElementsAre;
using testing::IsEmpty;

InterfaceConfig interface(std::string_view text = kGuideInterface)
{
    return parse_interface("interface.conf", text).value.value();
}

ConnectionConfig connection(std::string_view file, std::string_view text)
{
    const Parsed<ConnectionConfig> parsed = parse_connection(file, text);
    if (!parsed.value)
        throw std::logic_error(texts(parsed.problems).front());
    return *parsed.value;
}

// Number n to other peers than the recorded one: nothing in common but the local addresses and ports.
std::string other(int n)
{
    std::string text = with(kRecordedCreate, "MPT_A", fmt::format("other{}", n));
    text = with(text, "= 10.0.0.3", fmt::format("= 10.0.0.{}", 10 + n));
    text = with(text, "= 10.1.1.3", fmt::format("= 10.1.1.{}", 10 + n));
    return with(text, "= 10.2.2.3", fmt::format("= 10.2.2.{}", 10 + n));
}

std::vector<std::string> check(const std::vector<ConnectionConfig> &connections,
                               const InterfaceConfig &with_interface = interface())
{
    return texts(check_connections(with_interface, connections));
}

const ConnectionConfig kFirst = connection("a.conf", kRecordedCreate);

TEST(Check, TakesConnectionsThatShareTunnelAndPort)
{
    EXPECT_THAT(check({}), IsEmpty());
    EXPECT_THAT(check({kFirst, connection("b.conf", other(1)), connection("c.conf", other(2))}), IsEmpty());
}

TEST(Check, TakesSeveralTunnelsOfBothVersions)
{
    const InterfaceConfig two = interface(with(kGuideInterface, "tunnel_num = 1", "tunnel_num = 2") +
                                          "[tun_1]\nname = tun1\nmtu = 1400\nipv4_addr = 10.0.1.2/24\n");
    std::string v6 = with(with(other(1), "ip_ver           = 4", "ip_ver = 6"), "10.0.0.2", "fec0::2");
    v6 = with(v6, "10.0.0.11", "fec0::11");
    const ConnectionConfig second = connection("c.conf", with(other(2), "10.0.0.2", "10.0.1.2"));
    EXPECT_THAT(check({kFirst, connection("b.conf", v6), second}, two), IsEmpty());
    EXPECT_THAT(check({second}),
                ElementsAre("c.conf:7: ip_local = 10.0.1.2: must be the address of a tunnel in interface.conf"));
}

TEST(Check, NamesAreUnique)
{
    EXPECT_THAT(check({connection("b.conf", with(other(1), "other1", "MPT_A")), kFirst}),
                ElementsAre("b.conf:4: name = MPT_A: is the name of the connection in a.conf too"))
        << "the first in the order of the files stays";
}

TEST(Check, ABrokenConnectionExcludesNoOther)
{
    const ConnectionConfig second =
        connection("b.conf", with(with(other(1), "other1", "MPT_A"), "10.0.0.11", "10.0.0.3"));
    // c has the name of b's peer pair, but b is left out itself.
    const ConnectionConfig third = connection("c.conf", with(other(2), "other2", "only"));
    ConnectionConfig fourth = third;
    fourth.file = "bb.conf";
    fourth.ip_local = *base::Address::parse("10.9.9.9");
    EXPECT_THAT(
        check({kFirst, second, third, fourth}),
        ElementsAre("b.conf:4: name = MPT_A: is the name of the connection in a.conf too",
                    "b.conf:10: ip_remote = 10.0.0.3: the connection in a.conf is between the same tunnel addresses",
                    "bb.conf:7: ip_local = 10.9.9.9: must be the address of a tunnel in interface.conf"));
}

TEST(Check, TunnelAddressesBelongToTheirEnds)
{
    EXPECT_THAT(check({connection("b.conf", with(other(1), "10.0.0.2", "10.0.0.4"))}),
                ElementsAre("b.conf:7: ip_local = 10.0.0.4: must be the address of a tunnel in interface.conf"));
    const InterfaceConfig two = interface(with(kGuideInterface, "tunnel_num = 1", "tunnel_num = 2") +
                                          "[tun_1]\nname = tun1\nmtu = 1400\nipv4_addr = 10.0.1.2/24\n");
    EXPECT_THAT(
        check({connection("b.conf", with(other(1), "10.0.0.11", "10.0.1.2"))}, two),
        ElementsAre("b.conf:10: ip_remote = 10.0.1.2: must be an address of the peer: it is that of tunnel tun1 here"));
}

TEST(Check, PathsDifferInAddressesOrPorts)
{
    const std::string same = with(other(1), "10.1.1.11", "10.1.1.3");
    EXPECT_THAT(check({kFirst, connection("b.conf", same)}),
                ElementsAre("b.conf:28: remote_ipaddr = 10.1.1.3: [path_0] in a.conf has the same local and remote "
                            "addresses and ports"));
    EXPECT_THAT(check({kFirst, connection("b.conf", with(same, "remote_port      = 23456", "remote_port = 23457"))}),
                IsEmpty());
    EXPECT_THAT(check({kFirst, connection("b.conf", with(same, "local_port       = 23456", "local_port = 23457"))}),
                IsEmpty());
    EXPECT_THAT(
        check({kFirst, connection("b.conf", with(same, "private_ipaddr   = 10.1.1.2", "private_ipaddr = 10.1.1.9"))}),
        IsEmpty());

    std::string twice(kRecordedCreate);
    for (const char *address : {"= 10.2.2.2", "= 10.2.2.2", "= 10.2.2.2", "= 10.2.2.3"})
        twice = with(twice, address, std::string("= 10.1.1.") + address[9]);
    EXPECT_THAT(
        check({connection("b.conf", twice)}),
        ElementsAre("b.conf:41: remote_ipaddr = 10.1.1.3: [path_0] has the same local and remote addresses and ports"));
}

TEST(Check, PeersThatMayBeAnywhereShareAPort)
{
    const auto anywhere = [](std::string text) {
        for (const char *peer : {"10.1.1.3", "10.1.1.11", "10.2.2.3", "10.2.2.11"})
            if (const std::string line = std::string("remote_ipaddr    = ") + peer; text.find(line) != text.npos)
                text = with(text, line, "remote_ipaddr = 0.0.0.0\nkeepalive_msec = 1000");
        return with(text, "auth_type        = 0", "auth_type = 3\nauth_key = " + std::string(64, 'a'));
    };
    EXPECT_THAT(
        check({connection("a.conf", anywhere(std::string(kRecordedCreate))), connection("b.conf", anywhere(other(1)))}),
        IsEmpty());
}

TEST(Check, AutomaticAddressesDifferByInterface)
{
    std::string text(kRecordedCreate);
    for (const char *address : {"= 10.1.1.2", "= 10.1.1.2", "= 10.1.1.2", "= 10.2.2.2", "= 10.2.2.2", "= 10.2.2.2"})
        text = with(text, address, "= 0.0.0.0");
    text = with(text, "= 10.2.2.3", "= 10.1.1.3");
    EXPECT_THAT(check({connection("b.conf", text)}), IsEmpty());
    EXPECT_THAT(
        check({connection("b.conf", with(text, "eth2", "eth1"))}),
        ElementsAre("b.conf:41: remote_ipaddr = 10.1.1.3: [path_0] has the same local and remote addresses and ports"));
}

TEST(Check, PathsDoNotLeadIntoATunnel)
{
    EXPECT_THAT(
        check({connection("b.conf", with(kRecordedCreate, "= eth2", "= tun0"))}),
        ElementsAre(
            "b.conf:36: interface_name = tun0: must be a physical interface: this one is a tunnel in interface.conf"));
    EXPECT_THAT(
        check({connection("b.conf", with(kRecordedCreate, "= 10.2.2.3", "= 10.0.0.3"))}),
        ElementsAre(
            "b.conf:41: remote_ipaddr = 10.0.0.3: must be an address of a physical interface, not of a tunnel"));
    EXPECT_THAT(
        check(
            {connection("b.conf", with(kRecordedCreate, "private_ipaddr   = 10.2.2.2", "private_ipaddr = 10.0.0.2"))}),
        ElementsAre(
            "b.conf:38: private_ipaddr = 10.0.0.2: must be an address of a physical interface, not of a tunnel"));
    EXPECT_THAT(
        check({connection("b.conf", with(test::without(kRecordedCreate, "private_ipaddr"),
                                         "public_ipaddr    = 10.1.1.2", "public_ipaddr = 10.0.0.2"))}),
        ElementsAre(
            "b.conf:25: public_ipaddr = 10.0.0.2: must be an address of a physical interface, not of a tunnel"));
}

TEST(Check, PortsDoNotCollideWithTheControlPort)
{
    EXPECT_THAT(check({connection("b.conf", with(kRecordedCreate, "local_port       = 23456", "local_port = 60456"))}),
                ElementsAre("b.conf:8: local_port = 60456: must differ from cmdport_local in interface.conf"));
    EXPECT_THAT(
        check({connection("b.conf", with(kRecordedCreate, "local_cmd_port   = 60456", "local_cmd_port = 60457"))}),
        ElementsAre(
            "warning: b.conf:9: local_cmd_port = 60457: is not used: cmdport_local in interface.conf is 60456"));
}

std::string with_networks(std::string text, std::initializer_list<std::pair<const char *, const char *>> networks)
{
    text = with(text, "network_count    = 0", fmt::format("network_count = {}", networks.size()));
    std::size_t n = 0;
    for (const auto &[source, destination] : networks)
        text += fmt::format("[net_{}]\nip_ver = 4\nsrc_addr = {}\ndst_addr = {}\n", n++, source, destination);
    return text;
}

TEST(Check, NetworksDiffer)
{
    const ConnectionConfig site =
        connection("a.conf", with_networks(std::string(kRecordedCreate), {{"11.1.1.0/24", "21.1.1.0/24"}}));
    EXPECT_THAT(
        check({site, connection("b.conf", with_networks(other(1), {{"11.1.1.0/24", "22.1.1.0/24"},
                                                                   {"11.1.1.0/24", "21.1.1.0/24"}}))}),
        ElementsAre("b.conf:56: dst_addr = 21.1.1.0/24: [net_0] in a.conf has the same source and destination"));
    EXPECT_THAT(check({connection("b.conf", with_networks(other(1), {{"11.1.1.0/24", "21.1.1.0/24"},
                                                                     {"11.1.1.0/24", "21.1.1.0/24"}}))}),
                ElementsAre("b.conf:56: dst_addr = 21.1.1.0/24: [net_0] has the same source and destination"));
    EXPECT_THAT(check({site, connection("b.conf", with_networks(other(1), {{"11.1.1.0/24", "0.0.0.0/0"},
                                                                           {"12.1.1.0/24", "21.1.1.0/24"}}))}),
                IsEmpty())
        << "a default route beside a site, and one destination from two sources";
}

TEST(Check, ANetworkIsNotTheTunnelOfAnotherConnection)
{
    std::string network = with(other(1), "network_count    = 0", "network_count = 1");
    network += "[net_0]\nip_ver = 4\nsrc_addr = 10.0.0.2/32\ndst_addr = 10.0.0.3/32\n";
    const auto is_told = [](const char *file, const char *by) {
        return testing::AllOf(testing::HasSubstr(file), testing::HasSubstr(by),
                              testing::HasSubstr("has the same source and destination"));
    };
    EXPECT_THAT(check({kFirst, connection("b.conf", network)}), ElementsAre(is_told("b.conf", "the tunnel of a.conf")));
    EXPECT_THAT(check({connection("0.conf", network), kFirst}), ElementsAre(is_told("a.conf", "[net_0] in 0.conf")));
}

TEST(Check, NetworksDoNotCoverATunnelAddress)
{
    EXPECT_THAT(
        check({connection("b.conf", with_networks(other(1), {{"11.1.1.0/24", "10.0.0.0/8"}}))}),
        ElementsAre(
            "b.conf:52: dst_addr = 10.0.0.0/8: must not cover 10.0.0.2, the address of tunnel tun0 in interface.conf"));
    EXPECT_THAT(check({connection(
                    "b.conf", with_networks(other(1), {{"10.0.0.2/32", "0.0.0.0/0"}, {"0.0.0.0/0", "10.0.0.11/32"}}))}),
                IsEmpty())
        << "a default route from the tunnel's own address (guide 2.6.3.3), and the network of a created connection";
}

TEST(Check, TakesATemplateAndWhatWaitsForCreate)
{
    std::string text(kRecordedCreate);
    for (const char *key : {"ip_remote", "remote_port", "remote_cmd_port", "remote_ipaddr"})
        text = test::without(text, key);
    EXPECT_THAT(check({connection("a.conf", text),
                       connection("b.conf", with(with(text, "MPT_A", "b"), "10.2.2.3", "10.2.2.4"))}),
                IsEmpty());
    const ConnectionConfig model = parse_template("conf.template", test::without(text, "remote_ipaddr")).value.value();
    EXPECT_THAT(check({model}), IsEmpty());
    EXPECT_FALSE(check({parse_template("conf.template", with(text, "10.0.0.2", "10.0.0.9")).value.value()}).empty());
}

TEST(Check, AThousandConnections)
{
    std::vector<ConnectionConfig> connections(1000, kFirst);
    for (std::size_t n = 0; n < connections.size(); ++n) {
        connections[n].file = fmt::format("{:04}.conf", n);
        connections[n].name = fmt::format("c{}", n);
        connections[n].ip_remote = *base::Address::parse(fmt::format("10.0.{}.{}", 1 + n / 250, 1 + n % 250));
        connections[n].paths[0].remote_ipaddr = *base::Address::parse(fmt::format("10.3.{}.{}", n / 250, n % 250));
        connections[n].paths[1].remote_ipaddr = *base::Address::parse(fmt::format("10.4.{}.{}", n / 250, n % 250));
    }
    EXPECT_THAT(check(connections), IsEmpty());
    connections[999].name = "c0";
    EXPECT_THAT(check(connections),
                ElementsAre("0999.conf:4: name = c0: is the name of the connection in 0000.conf too"));
}

} // namespace
} // namespace mpt::config
