// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/merge.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/proto/packets.hpp"
#include "tests/unit/proto/recorded_control.hpp"

#include <gtest/gtest.h>

namespace mpt::core {
namespace {

using namespace std::chrono_literals;
using config::AuthType;
using config::ConnectionConfig;
using mpt::test::address;
using proto::ControlResult;

// The text of a recorded create message.
std::string text_of(std::string_view hex)
{
    const auto octets = proto::testing::from_hex(hex);
    const base::ConstOctets body = proto::decode_control(octets)->body;
    return std::string(base::as_text(body));
}

std::string recorded_request()
{
    return text_of(proto::recorded::kCreateRound3);
}

// Cut short in a comment line at its end.
std::string recorded_reply()
{
    return text_of(proto::recorded::kCreateRound4);
}

std::string replaced(std::string text, std::string_view from, std::string_view to)
{
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

config::InterfaceConfig interface_conf(std::string_view ipv4, std::string_view ipv6)
{
    config::InterfaceConfig interface;
    interface.accept_remote = true;
    interface.cmdport_local = 60456;
    interface.tunnels.push_back({"tun0", 1440, *base::Prefix::parse(ipv4), *base::Prefix::parse(ipv6)});
    return interface;
}

// Host B of the recording: what it was given.
constexpr std::string_view kTemplate = R"([connection]
name = Template
permission = 3
ip_ver = 4
ip_local = 10.0.0.3
local_port = 65060
path_count = 2
network_count = 0
status = 128
reorder_window = 900
max_buffdelay_msec = 300
auth_type = 0
auth_key = A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2
[path_0]
interface_name = eth1
ip_ver = 4
public_ipaddr = 10.1.1.3
gw_ipaddr = 10.1.1.3
status = 128
[path_1]
interface_name = eth2
ip_ver = 4
public_ipaddr = 10.2.2.3
gw_ipaddr = 10.2.2.3
status = 128
)";

class Create : public ::testing::Test {
protected:
    // As host B, by default what was recorded.
    tl::expected<Created, Refusal> accept(const std::string &text, std::string_view initiator = "10.0.0.2",
                                          std::string_view responder = "10.0.0.3")
    {
        const auto parsed = config::parse_template("conf.template", template_);
        EXPECT_TRUE(parsed.value);
        return accept_create(text, address(initiator), address(responder), *parsed.value, context());
    }

    ControlResult refusal(const std::string &text)
    {
        const auto created = accept(text);
        if (created)
            return ControlResult::kDone;
        EXPECT_FALSE(created.error().text.empty());
        return created.error().result;
    }

    CreateContext context() const { return {interface_, connections_, files_, addresses_}; }

    std::string template_{kTemplate};
    config::InterfaceConfig interface_ = interface_conf("10.0.0.3/24", "fec0::3/64");
    std::vector<ConnectionConfig> connections_;
    std::vector<std::string> files_;
    std::vector<base::Prefix> addresses_{*base::Prefix::parse("10.1.1.3/24"), *base::Prefix::parse("10.2.2.3/24"),
                                         *base::Prefix::parse("127.0.0.1/8")};
};

TEST_F(Create, ResponderMakesOfTheRecordedTextWhatTheDeployedOneMade)
{
    const auto created = accept(recorded_request());
    ASSERT_TRUE(created) << created.error().text;
    const std::string reply = recorded_reply();
    ConnectionConfig deployed =
        *config::parse_connection("peer_10_0_0_2.conf", reply.substr(0, reply.rfind('\n') + 1)).value;
    EXPECT_EQ(created->connection, deployed);
    EXPECT_TRUE(created->connection.is_complete());
    EXPECT_FALSE(created->connection.has_key()) << "the key of conf.template is for creates";
}

TEST_F(Create, ReplyIsAsLongAsTheRequestAndSaysTheSame)
{
    std::string request = recorded_request();
    const auto shortest = accept(request);
    ASSERT_TRUE(shortest);
    EXPECT_EQ(shortest->text.size(), request.size());
    EXPECT_EQ(shortest->text.back(), '\n');
    EXPECT_EQ(config::parse_peer(shortest->text).value, config::parse_peer(recorded_reply()).value);
    EXPECT_EQ(shortest->text.find("auth_key"), std::string::npos);
    EXPECT_EQ(shortest->text.substr(0, 8), ";;;;;;;;");
    // Line by line, nothing but comments is added to what a connection file says.
    ASSERT_TRUE(config::parse_connection("b.conf", shortest->text).value);

    // Down to the shortest request that it fits into, octet by octet: blanks and comments go first.
    for (std::size_t at = request.find("  "); at != std::string::npos; at = request.find("  "))
        request.erase(at, 1);
    for (std::size_t at = request.find('#'); at != std::string::npos; at = request.find('#'))
        request.erase(at, request.find('\n', at) - at);
    template_ = replaced(template_, "interface_name = eth1", "interface_name = interface_name1");
    template_ = replaced(template_, "gw_ipaddr = 10.1.1.3", "gw_ipaddr = 10.101.101.103");
    unsigned fits = 0;
    unsigned too_long = 0;
    for (std::size_t comment = 300; comment-- > 0;) {
        const std::string padded = request + "#" + std::string(comment, '#') + "\n";
        const auto created = accept(padded);
        if (created) {
            EXPECT_EQ(created->text.size(), padded.size());
            EXPECT_TRUE(config::parse_peer(created->text).value);
            ++fits;
        } else {
            EXPECT_EQ(created.error().result, ControlResult::kTooLong);
            ++too_long;
        }
    }
    EXPECT_GT(fits, 2U);
    EXPECT_GT(too_long, 2U);
}

TEST_F(Create, RequestIsTheRecordedTextAndHasNoKey)
{
    ConnectionConfig own = *config::parse_connection("a.conf", recorded_request()).value;
    own.local_cmd_port.reset(); // interface.conf says it
    own.auth_key = proto::recorded::kAuthKey;
    EXPECT_EQ(create_text(own, context()).value(), recorded_request());
    own.paths[1].public_ipaddr = address("0.0.0.0");
    EXPECT_FALSE(create_text(own, context()));
}

// The guide calls them mandatory: the deployed release may not understand a text without them.
TEST_F(Create, RequestHasAllKeysEvenThoseThatOnlyThePeerKnows)
{
    ConnectionConfig own = *config::parse_connection("a.conf", recorded_request()).value;
    own.ip_remote.reset();
    own.remote_port.reset();
    own.remote_cmd_port.reset();
    own.paths[1].remote_ipaddr.reset();
    const std::string text = create_text(own, context()).value();
    std::string expected = recorded_request();
    expected = replaced(expected, "ip_remote        = 10.0.0.3", "ip_remote        = 0.0.0.0");
    expected = replaced(expected, "remote_ipaddr    = 10.2.2.3", "remote_ipaddr    = 0.0.0.0");
    EXPECT_EQ(text, expected);
    EXPECT_TRUE(accept(text));
}

TEST_F(Create, InitiatorCompletesItsSideWithTheRecordedReply)
{
    ConnectionConfig own = *config::parse_connection("a.conf", recorded_request()).value;
    const ConnectionConfig full = own;
    own.ip_remote.reset(); // as little as guide 4.7 asks for
    own.remote_port.reset();
    own.paths[1].remote_ipaddr.reset();
    own.networks.push_back(
        {base::IpVersion::kV4, *base::Prefix::parse("11.1.1.0/24"), *base::Prefix::parse("21.1.1.0/24")});
    own.auth_key = proto::recorded::kAuthKey;
    interface_ = interface_conf("10.0.0.2/24", "fec0::2/64");
    addresses_ = {*base::Prefix::parse("10.1.1.2/24"), *base::Prefix::parse("10.2.2.2/24")};
    const auto completed = complete_create(own, recorded_reply(), context());
    ASSERT_TRUE(completed) << completed.error().text;
    ConnectionConfig expected = full;
    expected.remote_port = 65060;
    expected.reorder_window = 900;
    expected.networks = own.networks;
    expected.auth_key = own.auth_key;
    EXPECT_EQ(*completed, expected);
    EXPECT_TRUE(completed->is_complete());
}

TEST_F(Create, InitiatorChecksWhatTheReplySays)
{
    const ConnectionConfig own = *config::parse_connection("a.conf", recorded_request()).value;
    interface_ = interface_conf("10.0.0.2/24", "fec0::2/64");
    addresses_ = {*base::Prefix::parse("10.1.1.2/24"), *base::Prefix::parse("10.2.2.2/24")};
    ASSERT_TRUE(complete_create(own, recorded_reply(), context()));
    for (const auto &[from, to] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
             {"ip_local         = 10.0.0.3", "ip_local         = 10.0.0.4"},
             {"auth_type        = 0", "auth_type        = 1"},
             {"public_ipaddr    = 10.1.1.3", "public_ipaddr    = 10.1.1.2"}, // our own
             {"public_ipaddr    = 10.1.1.3", "public_ipaddr    = 127.0.0.1"},
             {"public_ipaddr    = 10.1.1.3", "public_ipaddr    = 10.1.1.255"},
             {"public_ipaddr    = 10.1.1.3", "public_ipaddr    = 10.0.0.3"}, // inside the tunnel
             {"[connection]", "[x]"}}) {
        EXPECT_FALSE(complete_create(own, replaced(recorded_reply(), from, to), context())) << to;
    }
    ConnectionConfig open = own;
    open.ip_remote.reset();
    EXPECT_FALSE(complete_create(
        open, replaced(recorded_reply(), "ip_local         = 10.0.0.3", "ip_local         = 10.0.0.2"), context()));
}

TEST_F(Create, FewerPathsLargerWindowCrossedWeights)
{
    std::string text = recorded_request();
    text.erase(text.find("[path_1]"));
    text = replaced(text, "path_count       = 2", "path_count       = 1");
    text = replaced(text, "reorder_window   = 100", "reorder_window   = 2500");
    text = replaced(text, "weight_in        = 1", "weight_in        = 7");
    text = replaced(text, "keepalive_time   = 2", "keepalive_time   = 1\nkeepalive_msec = 150");
    const auto created = accept(text);
    ASSERT_TRUE(created) << created.error().text;
    const ConnectionConfig &own = created->connection;
    ASSERT_EQ(own.paths.size(), 1U);
    EXPECT_EQ(own.reorder_window, 2500);
    EXPECT_EQ(own.paths[0].weight_out, 7);
    EXPECT_EQ(own.paths[0].weight_in, 2);
    EXPECT_EQ(own.paths[0].keepalive, 150ms);
    EXPECT_EQ(config::parse_peer(created->text).value->paths.at(0).keepalive, 150ms);

    template_ = replaced(template_, "path_count = 2", "path_count = 1");
    template_.erase(template_.find("[path_1]"));
    const auto one = accept(recorded_request());
    ASSERT_TRUE(one);
    EXPECT_EQ(one->connection.paths.size(), 1U);
    EXPECT_EQ(config::parse_peer(one->text).value->paths.size(), 1U);
}

TEST_F(Create, NetworksOfThePeerBecomeOne)
{
    const std::string text = replaced(recorded_request(), "network_count    = 0", "network_count    = 2");
    const auto created = accept(text);
    ASSERT_TRUE(created) << created.error().text;
    ASSERT_EQ(created->connection.networks.size(), 1U);
    EXPECT_EQ(created->connection.networks[0].src_addr.to_string(), "0.0.0.0/0");
    EXPECT_EQ(created->connection.networks[0].dst_addr.to_string(), "10.0.0.2/32");
    EXPECT_EQ(config::parse_peer(created->text).value->network_count, 0) << "the initiator keeps its own";
}

TEST_F(Create, Ipv6TunnelHasTheOtherAddressOfTheTunnelInterface)
{
    std::string text = replaced(recorded_request(), "ip_ver           = 4", "ip_ver           = 6");
    text = replaced(text, "ip_local         = 10.0.0.2", "ip_local         = fec0::2");
    text = replaced(text, "network_count    = 0", "network_count    = 1");
    const auto created = accept(text, "fec0::2", "fec0::3");
    ASSERT_TRUE(created) << created.error().text;
    EXPECT_EQ(created->connection.file, "peer_fec0__2.conf");
    EXPECT_EQ(created->connection.ip_local, address("fec0::3"));
    EXPECT_EQ(created->connection.networks.at(0).src_addr.to_string(), "::/0");
    EXPECT_EQ(created->connection.networks.at(0).dst_addr.to_string(), "fec0::2/128");
    ASSERT_TRUE(config::parse_connection("x.conf", config::serialise(created->connection)).value);

    interface_.tunnels[0].ipv6_addr.reset();
    EXPECT_EQ(accept(text, "fec0::2", "fec0::3").error().result, ControlResult::kRefused);
}

TEST_F(Create, NamesPortsAndFilesThatAreTakenAreSkipped)
{
    const ConnectionConfig first = accept(recorded_request())->connection;
    EXPECT_EQ(first.name, "MPT_A");
    EXPECT_EQ(first.local_port, 65060);
    connections_.push_back(first);
    EXPECT_EQ(refusal(recorded_request()), ControlResult::kExists);
    EXPECT_EQ(refusal_body(ControlResult::kExists), (std::vector<std::byte>{std::byte{1}}));

    std::string text = replaced(recorded_request(), "= 10.0.0.2", "= 10.0.0.22");
    text = replaced(text, "public_ipaddr    = 10.1.1.2", "public_ipaddr    = 10.1.1.22");
    text = replaced(text, "public_ipaddr    = 10.2.2.2", "public_ipaddr    = 10.2.2.22");
    files_ = {"peer_10_0_0_22.conf", "peer_10_0_0_22_2.conf"};
    const auto second = accept(text, "10.0.0.22");
    ASSERT_TRUE(second) << second.error().text;
    EXPECT_EQ(second->connection.name, "MPT_A_2");
    EXPECT_EQ(second->connection.local_port, 65061);
    EXPECT_EQ(second->connection.file, "peer_10_0_0_22_3.conf");

    interface_.cmdport_local = 65061;
    EXPECT_EQ(accept(text, "10.0.0.22")->connection.local_port, 65062);

    template_ = replaced(template_, "local_port = 65060", "local_port = 65534");
    connections_[0].local_port = 65534;
    EXPECT_EQ(accept(text, "10.0.0.22").error().result, ControlResult::kFailed);
}

TEST_F(Create, LongestNameIsCutForItsSuffix)
{
    const std::string longest(127, 'n');
    connections_.push_back(accept(recorded_request())->connection);
    connections_[0].name = longest;
    connections_[0].ip_remote = address("10.0.0.50");
    connections_[0].file = "other.conf";
    connections_[0].paths.clear();
    const auto created = accept(replaced(recorded_request(), "MPT_A", longest));
    ASSERT_TRUE(created) << created.error().text;
    EXPECT_EQ(created->connection.name, longest.substr(0, 125) + "_2");
}

TEST_F(Create, TunnelAddressOfThePeerIsChecked)
{
    const auto result = [this](std::string_view peer) {
        const auto created =
            accept(replaced(recorded_request(), "= 10.0.0.2", "= " + std::string(peer)), std::string(peer));
        return created ? ControlResult::kDone : created.error().result;
    };
    EXPECT_EQ(result("10.0.0.2"), ControlResult::kDone);
    EXPECT_EQ(result("10.0.1.2"), ControlResult::kRefused) << "not in the tunnel's network";
    EXPECT_EQ(result("10.0.0.3"), ControlResult::kRefused) << "ours";
    EXPECT_EQ(result("10.0.0.0"), ControlResult::kRefused) << "the network";
    EXPECT_EQ(result("10.0.0.255"), ControlResult::kRefused) << "broadcast";
    addresses_.push_back(*base::Prefix::parse("10.0.0.9/32"));
    EXPECT_EQ(result("10.0.0.9"), ControlResult::kRefused) << "ours on another interface";

    connections_.push_back(accept(recorded_request())->connection);
    connections_[0].ip_remote = address("10.0.0.77");
    connections_[0].networks.push_back(
        {base::IpVersion::kV4, *base::Prefix::parse("11.1.1.0/24"), *base::Prefix::parse("10.0.0.0/29")});
    connections_[0].paths.clear();
    EXPECT_EQ(result("10.0.0.4"), ControlResult::kRefused) << "in a network of another connection";
    EXPECT_EQ(result("10.0.0.8"), ControlResult::kDone);
    connections_[0].networks[0].dst_addr = *base::Prefix::parse("0.0.0.0/0");
    EXPECT_EQ(result("10.0.0.4"), ControlResult::kDone) << "a default route";

    EXPECT_EQ(accept(recorded_request(), "10.0.0.4").error().result, ControlResult::kBadText);
    EXPECT_EQ(accept(recorded_request(), "10.0.0.2", "10.0.0.4").error().result, ControlResult::kRefused);
    EXPECT_TRUE(accept(recorded_request(), "10.0.0.2", "::")) << "the initiator need not know it";
}

TEST_F(Create, PathAddressesOfThePeerAreChecked)
{
    const auto result = [this](std::string_view path) {
        return refusal(
            replaced(recorded_request(), "public_ipaddr    = 10.2.2.2", "public_ipaddr    = " + std::string(path)));
    };
    EXPECT_EQ(result("192.0.2.1"), ControlResult::kDone);
    for (const std::string_view bad : {"127.0.0.2", "240.0.0.1", "0.0.0.1", "10.2.2.3", "10.1.1.3", "10.0.0.3",
                                       "10.0.0.4", "10.2.2.255", "10.1.1.0"})
        EXPECT_EQ(result(bad), ControlResult::kRefused) << bad;
    for (const std::string_view bad : {"224.0.0.1", "255.255.255.255", "0.0.0.0", "nonsense"})
        EXPECT_EQ(result(bad), ControlResult::kBadText) << bad;
    EXPECT_EQ(
        refusal(replaced(replaced(recorded_request(), "public_ipaddr    = 10.2.2.2", "public_ipaddr    = fd77::2"),
                         "[path_1]\ninterface_name   = eth2\nip_ver           = 4",
                         "[path_1]\ninterface_name   = eth2\nip_ver           = 6")),
        ControlResult::kRefused)
        << "another version than the path has here";
}

TEST_F(Create, NothingOfThePeersChangesOurInterfacesAndAddresses)
{
    std::string text = recorded_request();
    text = replaced(text, "interface_name   = eth1", "interface_name   = evil0");
    text = replaced(text, "private_ipaddr   = 10.1.1.2", "private_ipaddr   = 9.9.9.9");
    text = replaced(text, "gw_ipaddr        = 10.1.1.2", "gw_ipaddr        = 9.9.9.9");
    text = replaced(text, "permission       = 3", "permission       = 0");
    const auto created = accept(text);
    ASSERT_TRUE(created);
    EXPECT_EQ(created->connection, accept(recorded_request())->connection);
}

TEST_F(Create, WeakerAuthenticationThanTheTemplatesIsRefused)
{
    template_ = replaced(template_, "auth_type = 0", "auth_type = 1");
    EXPECT_EQ(refusal(recorded_request()), ControlResult::kRefused);
    EXPECT_EQ(refusal(replaced(recorded_request(), "auth_type        = 0", "auth_type        = 1")),
              ControlResult::kDone);
}

TEST_F(Create, Type2MeansTheKnownKeyAndNeedsItsPermission)
{
    const std::string text = replaced(recorded_request(), "auth_type        = 0", "auth_type        = 2");
    EXPECT_EQ(refusal(text), ControlResult::kRefused);
    ConnectionConfig own = *config::parse_connection("a.conf", recorded_request()).value;
    own.auth_type = AuthType::kSha256;
    own.auth_key = proto::recorded::kAuthKey;
    EXPECT_FALSE(create_text(own, context()));
    interface_.allow_default_key = true;
    EXPECT_TRUE(create_text(own, context()));
    const auto created = accept(text);
    ASSERT_TRUE(created) << created.error().text;
    EXPECT_EQ(created->connection.auth_key, config::kDefaultKey);
    EXPECT_EQ(created->text.find("auth_key"), std::string::npos);
}

TEST_F(Create, Type3KeepsTheKeyOfTheExchange)
{
    const std::string text = replaced(recorded_request(), "auth_type        = 0", "auth_type        = 3");
    EXPECT_EQ(refusal(text), ControlResult::kRefused) << "the exchange was of a lower type";
    template_ = replaced(template_, "auth_type = 0", "auth_type = 3");
    EXPECT_EQ(refusal(recorded_request()), ControlResult::kRefused);
    const auto created = accept(text);
    ASSERT_TRUE(created) << created.error().text;
    EXPECT_EQ(created->connection.auth_type, AuthType::kHmacSha256);
    EXPECT_EQ(created->connection.auth_key, proto::recorded::kAuthKey);
    EXPECT_EQ(created->text.find("auth_key"), std::string::npos);
    EXPECT_EQ(created->text.size(), text.size());

    ConnectionConfig own = *config::parse_connection("a.conf", recorded_request()).value;
    own.auth_type = AuthType::kHmacSha256;
    own.auth_key = proto::recorded::kAuthKey;
    EXPECT_TRUE(create_text(own, context())) << "which needs no default key";
    interface_ = interface_conf("10.0.0.2/24", "fec0::2/64");
    addresses_ = {*base::Prefix::parse("10.1.1.2/24"), *base::Prefix::parse("10.2.2.2/24")};
    const auto completed = complete_create(own, created->text, context());
    ASSERT_TRUE(completed) << completed.error().text;
    EXPECT_EQ(completed->auth_key, proto::recorded::kAuthKey);
}

TEST_F(Create, KeyForCreates)
{
    ConnectionConfig own = *config::parse_connection("a.conf", recorded_request()).value;
    EXPECT_FALSE(create_key(own, false)) << "none, and the known one is not allowed";
    EXPECT_TRUE(create_key(own, true));
    own.auth_key = "0";
    EXPECT_FALSE(create_key(own, false));
    own.auth_key = proto::recorded::kAuthKey;
    EXPECT_TRUE(create_key(own, false));
    own.auth_key = "A0A1";
    EXPECT_FALSE(create_key(own, true));
}

TEST_F(Create, DoorMayBeClosed)
{
    interface_.accept_remote = false;
    EXPECT_EQ(refusal(recorded_request()), ControlResult::kRefused);
    interface_.accept_remote = true;
    EXPECT_EQ(refusal("garbage"), ControlResult::kBadText);
    EXPECT_TRUE(refusal_body(ControlResult::kBadText).empty());
}

TEST_F(Create, FileNamesHaveNoDotsAndColons)
{
    EXPECT_EQ(peer_file_name(address("10.0.0.2")), "peer_10_0_0_2.conf");
    EXPECT_EQ(peer_file_name(address("2001:db8::1")), "peer_2001_db8__1.conf");
}

} // namespace
} // namespace mpt::core
