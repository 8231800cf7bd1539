// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/check.hpp"

#include "tests/unit/config/texts.hpp"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>

// The files that are shipped in conf/.
namespace mpt::config {
namespace {

using test::texts;
using testing::IsEmpty;

std::string contents(const std::filesystem::path &path)
{
    std::ifstream file(path, std::ios::binary);
    EXPECT_TRUE(file) << path;
    return {std::istreambuf_iterator<char>(file), {}};
}

struct Host {
    InterfaceConfig interface;
    ConnectionConfig connection;
    ConnectionConfig model; // conf.template
};

Host read_host(const std::string &name, const std::string &file)
{
    const std::filesystem::path dir = std::filesystem::path(MPT_CONF_DIR) / name;
    const auto interface = parse_interface("interface.conf", contents(dir / "interface.conf"));
    const auto connection = parse_connection(file, contents(dir / "connections" / file));
    const auto model = parse_template("conf.template", contents(dir / "connections" / "conf.template"));
    EXPECT_THAT(texts(interface.problems), IsEmpty());
    EXPECT_THAT(texts(connection.problems), IsEmpty());
    EXPECT_THAT(texts(model.problems), IsEmpty());
    return {interface.value.value(), connection.value.value(), model.value.value()};
}

TEST(Samples, ReadWithoutAProblem)
{
    for (const Host &host : {read_host("host-a", "to-host-b.conf"), read_host("host-b", "to-host-a.conf")}) {
        EXPECT_THAT(texts(check_connections(host.interface, {&host.connection, 1})), IsEmpty());
        EXPECT_THAT(texts(check_connections(host.interface, {&host.model, 1})), IsEmpty());
        EXPECT_FALSE(host.interface.accept_remote);
        EXPECT_FALSE(host.model.has_key()) << "a key that everybody knows opens the host";
        EXPECT_TRUE(host.connection.is_complete());
    }
}

// Figure 3 of the users' guide.
TEST(Samples, FitTogether)
{
    const Host a = read_host("host-a", "to-host-b.conf");
    const Host b = read_host("host-b", "to-host-a.conf");
    EXPECT_EQ(a.interface.tunnels[0].ipv4_addr, *base::Prefix::parse("10.0.0.2/24"));
    EXPECT_EQ(a.interface.tunnels[0].ipv6_addr, *base::Prefix::parse("fec0::2/64"));
    EXPECT_EQ(b.interface.tunnels[0].ipv4_addr, *base::Prefix::parse("10.0.0.3/24"));
    EXPECT_EQ(b.interface.tunnels[0].ipv6_addr, *base::Prefix::parse("fec0::3/64"));
    EXPECT_EQ(a.interface.tunnels[0].mtu, b.interface.tunnels[0].mtu);
    EXPECT_EQ(a.connection.ip_local, b.connection.ip_remote);
    EXPECT_EQ(a.connection.ip_remote, b.connection.ip_local);
    EXPECT_EQ(a.connection.local_port, b.connection.remote_port);
    EXPECT_EQ(a.connection.remote_port, b.connection.local_port);
    EXPECT_EQ(a.connection.remote_cmd_port, b.interface.cmdport_local);
    EXPECT_EQ(b.connection.remote_cmd_port, a.interface.cmdport_local);
    ASSERT_EQ(a.connection.paths.size(), 2U);
    ASSERT_EQ(b.connection.paths.size(), 2U);
    for (std::size_t n = 0; n < 2; ++n) {
        EXPECT_EQ(a.connection.paths[n].remote_ipaddr, b.connection.paths[n].public_ipaddr);
        EXPECT_EQ(b.connection.paths[n].remote_ipaddr, a.connection.paths[n].public_ipaddr);
        EXPECT_EQ(a.connection.paths[n].interface_name, "eth" + std::to_string(n + 1));
        EXPECT_EQ(a.connection.paths[n].interface_name, b.connection.paths[n].interface_name);
        EXPECT_EQ(a.model.paths[n].private_ipaddr, a.connection.paths[n].private_ipaddr);
        EXPECT_EQ(b.model.paths[n].private_ipaddr, b.connection.paths[n].private_ipaddr);
    }
}

TEST(Samples, AreKeptByEdit)
{
    const std::string text = contents(std::filesystem::path(MPT_CONF_DIR) / "host-a/connections/to-host-b.conf");
    ConnectionConfig config = *parse_connection("to-host-b.conf", text).value;
    EXPECT_EQ(edit(text, config).value(), std::string_view(text));
    config.paths[1].weight_out = 7;
    const std::string_view second = std::string_view(text).substr(text.find("[path_1]"));
    EXPECT_EQ(std::string(edit(text, config).value()),
              text.substr(0, text.size() - second.size()) + test::with(second, "weight_out = 1", "weight_out = 7"));
}

} // namespace
} // namespace mpt::config
