// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/snapshot.hpp"

#include <gtest/gtest.h>

namespace mpt::cli {

namespace {

Properties path_properties(const std::string &connection, std::uint32_t number)
{
    return {{"Connection", sdbus::Variant(sdbus::ObjectPath(connection))},
            {"Number", sdbus::Variant(number)},
            {"StatusName", sdbus::Variant(std::string("up"))},
            {"WeightOut", sdbus::Variant(std::uint16_t{7})}};
}

TEST(Snapshot, PathsBelongToTheirConnection)
{
    Objects objects;
    const auto put = [&](const std::string &path, const std::string &interface, Properties properties) {
        objects[sdbus::ObjectPath(path)][interface] = std::move(properties);
    };
    put("/org/mptd1/tunnel/t", "org.mptd1.Tunnel", {{"Name", sdbus::Variant(std::string("tun0"))}});
    put("/org/mptd1/connection/b", "org.mptd1.Connection",
        {{"Name", sdbus::Variant(std::string("b"))},
         {"Tunnel", sdbus::Variant(sdbus::ObjectPath("/org/mptd1/tunnel/t"))}});
    put("/org/mptd1/connection/_61", "org.mptd1.Connection",
        {{"Name", sdbus::Variant(std::string("a"))},
         {"Networks", sdbus::Variant(std::vector<sdbus::Struct<std::string, std::string>>{
                          sdbus::make_struct(std::string("10.1.0.0/16"), std::string("10.2.0.0/16"))})}});
    for (const std::uint32_t number : {10U, 2U}) // "10" sorts before "2" among objects
        put("/org/mptd1/connection/b/path/" + std::to_string(number), "org.mptd1.Path",
            path_properties("/org/mptd1/connection/b", number));
    put("/org/mptd1/connection/b", "org.freedesktop.DBus.Peer", {});

    const Snapshot snapshot = decode(objects);
    ASSERT_EQ(snapshot.connections.size(), 2U);
    EXPECT_EQ(snapshot.connections[0].name, "a");
    EXPECT_EQ(snapshot.connections[0].networks.at(0).second, "10.2.0.0/16");
    EXPECT_TRUE(snapshot.connections[0].paths.empty());
    const Connection *b = snapshot.find("b");
    ASSERT_NE(b, nullptr);
    EXPECT_EQ(b->tunnel, "tun0");
    ASSERT_EQ(b->paths.size(), 2U);
    EXPECT_EQ(b->paths[0].number, 2U);
    EXPECT_EQ(b->paths[1].number, 10U);
    EXPECT_EQ(b->paths[1].weight_out, 7U);
    EXPECT_EQ(b->paths_up(), 2U);
    EXPECT_EQ(snapshot.find("c"), nullptr);
}

TEST(Snapshot, AnotherTypeIsAnError)
{
    Objects objects;
    objects[sdbus::ObjectPath("/x")]["org.mptd1.Manager"]["ControlPort"] = sdbus::Variant(std::string("65010"));
    EXPECT_THROW(decode(objects), sdbus::Error);
}

TEST(Snapshot, RatesAreBitsASecond)
{
    const Rates measured = rates({{"octets_out", 1000}, {"packets_in", 5}},
                                 {{"octets_out", 2000}, {"octets_in", 250}, {"packets_in", 15}}, 500'000);
    EXPECT_DOUBLE_EQ(measured.bits_out, 16000);
    EXPECT_DOUBLE_EQ(measured.bits_in, 4000);
    EXPECT_DOUBLE_EQ(measured.packets_in, 20);
    EXPECT_DOUBLE_EQ(measured.packets_out, 0);
}

TEST(Snapshot, CountersThatBeganAnewMakeNoRate)
{
    EXPECT_DOUBLE_EQ(rates({{"octets_out", 2000}}, {{"octets_out", 100}}, 1'000'000).bits_out, 0);
    EXPECT_DOUBLE_EQ(rates({}, {{"octets_out", 100}}, 0).bits_out, 0);
}

} // namespace

} // namespace mpt::cli
