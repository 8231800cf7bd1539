// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/connection.hpp"
#include "daemon/config/interface.hpp"

#include "tests/unit/config/texts.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>

// What is written reads as what it was written from, for many made-up configurations.
namespace mpt::config {
namespace {

using test::texts;
using testing::IsEmpty;

constexpr int kRounds = 500;

class Generator {
public:
    explicit Generator(unsigned seed) : random_(seed) {}

    // Often an edge.
    unsigned number(unsigned min, unsigned max)
    {
        switch (std::uniform_int_distribution<unsigned>(0, 5)(random_)) {
        case 0:
            return min;
        case 1:
            return max;
        default:
            return std::uniform_int_distribution<unsigned>(min, max)(random_);
        }
    }

    template <typename T> T number_as(unsigned min, unsigned max) { return static_cast<T>(number(min, max)); }

    bool chance(unsigned percent) { return std::uniform_int_distribution<unsigned>(1, 100)(random_) <= percent; }

    // Printable ASCII without blank, and what must not stand in it; ';' and '#' not in front, where they are a comment.
    std::string word(std::size_t min, std::size_t max, std::string_view without)
    {
        std::string text;
        const std::size_t size = number_as<std::size_t>(static_cast<unsigned>(min), static_cast<unsigned>(max));
        while (text.size() < size) {
            const char c = static_cast<char>(std::uniform_int_distribution<int>('!', '~')(random_));
            if (without.find(c) == std::string_view::npos && !(text.empty() && (c == ';' || c == '#' || c == '.')))
                text += c;
        }
        return text;
    }

    std::string interface_name() { return word(1, 15, "/:%"); }

    base::IpVersion version() { return chance(50) ? base::IpVersion::kV4 : base::IpVersion::kV6; }

    // Of a host: never a multicast, broadcast or unspecified address.
    base::Address address(base::IpVersion version)
    {
        std::array<std::byte, 16> octets{};
        for (std::byte &octet : octets)
            octet = std::byte{number_as<std::uint8_t>(0, 255)};
        if (version == base::IpVersion::kV4) {
            octets[0] = std::byte{number_as<std::uint8_t>(1, 126)};
            return base::Address::from_octets(std::span(octets).first<4>());
        }
        octets[0] = std::byte{0xfd};
        return base::Address::from_octets(std::span<const std::byte, 16>(octets));
    }

    base::Address maybe_automatic(base::IpVersion version)
    {
        if (chance(80))
            return address(version);
        return version == base::IpVersion::kV4 ? base::Address() : *base::Address::parse("::");
    }

    base::Prefix prefix(base::IpVersion version, unsigned min)
    {
        return {address(version), number_as<std::uint8_t>(min, version == base::IpVersion::kV4 ? 32 : 128)};
    }

    base::Duration time(unsigned max_seconds, bool may_be_zero)
    {
        if (chance(50))
            return std::chrono::seconds(number(may_be_zero ? 0 : 1, max_seconds));
        return std::chrono::milliseconds(number(kMinMilliseconds, max_seconds * 1000));
    }

    PathConfig path()
    {
        PathConfig path;
        path.interface_name = interface_name();
        path.ip_ver = version();
        path.private_ipaddr = maybe_automatic(path.ip_ver);
        path.public_ipaddr = chance(50) ? path.private_ipaddr : maybe_automatic(path.ip_ver);
        path.gateway_ipaddr = maybe_automatic(path.ip_ver);
        path.remote_ipaddr = address(path.ip_ver);
        if (path.remote_ipaddr == path.private_ipaddr)
            path.private_ipaddr = address(path.ip_ver);
        path.keepalive = time(kMaxKeepalive, true);
        path.dead = chance(30) ? 3 * path.keepalive : time(kMaxDead, path.keepalive == base::Duration::zero());
        path.weight_out = number_as<std::uint16_t>(1, kMaxWeight);
        path.weight_in = number_as<std::uint16_t>(1, kMaxWeight);
        path.status = chance(50) ? 0 : 128;
        return path;
    }

    NetworkConfig network()
    {
        NetworkConfig network;
        network.ip_ver = version();
        network.src_addr = prefix(network.ip_ver, 0).network();
        network.dst_addr = prefix(network.ip_ver, 0).network();
        return network;
    }

    ConnectionConfig connection()
    {
        ConnectionConfig c;
        c.file = "c.conf";
        c.name = word(1, kMaxConnectionName, "/");
        c.permission = number_as<std::uint8_t>(0, 3);
        c.ip_ver = version();
        c.ip_local = address(c.ip_ver);
        c.local_port = port();
        if (chance(50))
            c.local_cmd_port = port();
        const auto another = address(c.ip_ver);
        if (another != c.ip_local && chance(90))
            c.ip_remote = another;
        if (chance(90))
            c.remote_port = port();
        if (chance(90))
            c.remote_cmd_port = port();
        c.status = number_as<std::uint8_t>(0, 255);
        c.reorder_window = number_as<std::uint16_t>(0, kMaxReorderWindow);
        c.max_buffdelay_msec = std::chrono::milliseconds(number(0, kMaxBufferDelay));
        c.copy_dscp = chance(50);
        if (chance(60))
            c.mss_clamp = chance(50);
        c.auth_type = static_cast<AuthType>(number(0, static_cast<unsigned>(kLastAuthType)));
        c.paths.resize(number(1, kMaxPaths));
        for (PathConfig &each : c.paths) {
            each = path();
            if (&each != &c.paths[0] && chance(10))
                each.remote_ipaddr.reset();
        }
        c.paths[number(0, static_cast<unsigned>(c.paths.size() - 1))].cmd_default = chance(50);
        if (needs_key(c.auth_type) || (!c.is_complete() && chance(50))) {
            while (c.auth_key.size() < kKeyDigits)
                c.auth_key += "0123456789abcdefABCDEF"[number(0, 21)];
            if (chance(30)) {
                c.auth_key = chance(50) ? "0" : "";
                c.auth_key_file = (chance(50) ? "/" : "") + word(1, 63, "/:");
            }
        } else if (c.is_complete() && chance(50)) {
            c.auth_key = chance(50) ? "0" : word(1, kMaxKeyText, "");
        }
        c.networks.resize(number(0, kMaxNetworks));
        for (NetworkConfig &each : c.networks)
            each = network();
        return c;
    }

    InterfaceConfig interface()
    {
        InterfaceConfig config;
        config.accept_remote = chance(50);
        config.cmdport_local = port();
        config.cmd_timeout = std::chrono::seconds(number(1, kMaxCommandTimeout));
        config.workers = number_as<std::uint8_t>(1, kMaxWorkers);
        for (unsigned n = chance(50) ? 0 : number(1, kMaxStunServers); n > 0; --n) {
            const std::string host = chance(50) ? address(version()).to_string() : fmt::format("stun{}.example.net", n);
            config.stun_servers.push_back({host, chance(50) ? kStunPort : number_as<std::uint16_t>(1, 65535)});
        }
        config.tunnels.resize(number(1, 5));
        for (std::size_t n = 0; n < config.tunnels.size(); ++n) {
            TunnelConfig &tunnel = config.tunnels[n];
            tunnel.name = fmt::format("{}{}", word(1, 14, "/:%"), n);
            const unsigned which = number(1, 3);
            // Not equal to any other: the number is in the address.
            if ((which & 1) != 0)
                tunnel.ipv4_addr =
                    *base::Prefix::parse(fmt::format("10.{}.{}.7/{}", n, number(0, 255), number(16, 32)));
            if ((which & 2) != 0)
                tunnel.ipv6_addr =
                    *base::Prefix::parse(fmt::format("fd00:{}::{:x}/{}", n, number(1, 65535), number(32, 128)));
            if (chance(80))
                tunnel.mtu = number_as<std::uint16_t>(tunnel.ipv6_addr ? kMinMtuV6 : kMinMtu, kMaxMtu);
        }
        return config;
    }

private:
    std::uint16_t port() { return number_as<std::uint16_t>(1, kMaxPort); }

    std::mt19937 random_;
};

std::vector<std::string> errors(const std::vector<Problem> &problems)
{
    std::vector<Problem> only;
    std::copy_if(problems.begin(), problems.end(), std::back_inserter(only),
                 [](const Problem &problem) { return problem.severity == Severity::kError; });
    return texts(only);
}

// Recorded from the deployed release: our files have its octets.
TEST(Serialise, WritesAsTheDeployedReleaseDoes)
{
    EXPECT_EQ(serialise(*parse_connection("c.conf", test::kRecordedCreate).value), test::kRecordedCreate);
}

TEST(Serialise, WritesAsTheGuideDoes)
{
    EXPECT_EQ(serialise(*parse_interface("i.conf", test::kGuideInterface).value),
              test::without(test::kGuideInterface, "; Accept"));
}

TEST(Serialise, ReadsBackAsItWas)
{
    for (unsigned seed = 0; seed < kRounds; ++seed) {
        Generator generator(seed);
        const ConnectionConfig connection = generator.connection();
        const Parsed<ConnectionConfig> parsed = parse_connection("c.conf", serialise(connection));
        ASSERT_THAT(errors(parsed.problems), IsEmpty()) << seed << "\n" << serialise(connection);
        ASSERT_EQ(*parsed.value, connection) << seed << "\n" << serialise(connection);

        const InterfaceConfig interface = generator.interface();
        const Parsed<InterfaceConfig> read = parse_interface("i.conf", serialise(interface));
        ASSERT_THAT(errors(read.problems), IsEmpty()) << seed << "\n" << serialise(interface);
        ASSERT_EQ(*read.value, interface) << seed << "\n" << serialise(interface);
    }
}

TEST(Serialise, TemplateReadsBackAsItWas)
{
    for (unsigned seed = 0; seed < kRounds; ++seed) {
        ConnectionConfig model = Generator(seed).connection();
        model.ip_remote.reset();
        model.remote_port.reset();
        model.remote_cmd_port.reset();
        for (PathConfig &path : model.paths)
            path.remote_ipaddr.reset();
        if (!needs_key(model.auth_type))
            model.auth_key = "0";
        const Parsed<ConnectionConfig> parsed = parse_template("c.conf", serialise(model));
        ASSERT_THAT(errors(parsed.problems), IsEmpty()) << seed << "\n" << serialise(model);
        ASSERT_EQ(*parsed.value, model) << seed << "\n" << serialise(model);
    }
}

// Any configuration can be made of the file of any other.
TEST(Edit, ReadsBackAsItWas)
{
    for (unsigned seed = 0; seed < kRounds; ++seed) {
        Generator generator(seed);
        const base::SecretText before = serialise(generator.connection());
        const ConnectionConfig wanted = generator.connection();
        const base::Result<base::SecretText> text = edit(before, wanted);
        ASSERT_TRUE(text) << seed << ": " << text.error().text << "\n" << before;
        ASSERT_EQ(*parse_connection("c.conf", *text).value, wanted);
        ASSERT_EQ(*edit(*text, wanted), *text);

        const std::string interface_before = serialise(generator.interface());
        const InterfaceConfig interface = generator.interface();
        const base::Result<std::string> interface_text = edit("i.conf", interface_before, interface);
        ASSERT_TRUE(interface_text) << seed << ": " << interface_text.error().text << "\n" << interface_before;
        ASSERT_EQ(*parse_interface("i.conf", *interface_text).value, interface);
    }
}

} // namespace
} // namespace mpt::config
