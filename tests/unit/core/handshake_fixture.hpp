// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/handshake_initiator.hpp"
#include "daemon/core/handshake_responder.hpp"

#include "tests/unit/address.hpp"
#include "tests/unit/core/clock.hpp"
#include "tests/unit/proto/packets.hpp"
#include "tests/unit/proto/recorded_control.hpp"

#include <gtest/gtest.h>
#include <ostream>
#include <string_view>

namespace mpt::proto {

// For messages of failed checks.
inline std::ostream &operator<<(std::ostream &stream, ControlDrop reason)
{
    return stream << to_string(reason);
}

} // namespace mpt::proto

namespace mpt::core::testing {

using namespace std::chrono_literals;
using proto::ControlDrop;
using proto::ControlMessage;
using proto::testing::Bytes;
using proto::testing::from_hex;
using test::address;

inline proto::ControlKey key()
{
    return *proto::ControlKey::parse(proto::recorded::kAuthKey);
}

inline Bytes bytes(base::ConstOctets octets)
{
    return {octets.begin(), octets.end()};
}

// Of 16 octets, beginning with `number`.
inline proto::ControlRandom random_number(std::uint32_t number)
{
    proto::RandomNumber octets;
    octets.fill(std::byte{0xee});
    base::store_be(octets.data(), number);
    return octets;
}

inline constexpr std::array kAllTypes{config::AuthType::kNone, config::AuthType::kRandom, config::AuthType::kSha256,
                                      config::AuthType::kHmacSha256};

constexpr std::string_view kHostA = "10.1.1.2";
constexpr std::string_view kHostB = "10.1.1.3";

inline base::Endpoint endpoint(std::string_view host)
{
    return {address(host), 60456};
}

// Host A tells host B that its path 0 is down.
inline HandshakeRequest status_request(config::AuthType auth)
{
    HandshakeRequest request;
    request.command = proto::ControlCommand::kPathStatus;
    request.argument = proto::kPathDown;
    request.auth = auth;
    request.key = key();
    request.initiator = address("10.0.0.2");
    request.responder = address("10.0.0.3");
    request.peer = endpoint(kHostB);
    if (auth == config::AuthType::kHmacSha256) {
        request.random = random_number(0x40414243);
        const auto body = proto::encode_path_change({0, true, std::nullopt});
        request.body.assign(body.begin(), body.end());
    } else {
        const auto body = proto::encode_path_addresses({address("10.1.1.2"), address("10.1.1.3")});
        request.body.assign(body.begin(), body.end());
    }
    return request;
}

// How host B sees host A.
inline ControlRoute route(std::string_view from = kHostA, std::uint16_t port = 60456)
{
    return {{address(from), port}, address(kHostB)};
}

inline auto give(HandshakeInitiator &initiator, base::Instant now, const Bytes &octets, std::string_view from = kHostB)
{
    const auto message = proto::decode_control(octets);
    EXPECT_TRUE(message) << message.error();
    return initiator.on_message(now, endpoint(from), *message, octets);
}

inline auto give(HandshakeResponder &responder, base::Instant now, const Bytes &octets,
                 const proto::ControlRandom &random, const ControlRoute &from = route())
{
    const auto message = proto::decode_control(octets);
    EXPECT_TRUE(message) << message.error();
    return responder.on_message(now, from, *message, octets, message->auth, key(), random);
}

inline std::array<Bytes, 4> rounds_of(const proto::recorded::Exchange &exchange)
{
    return {from_hex(exchange.rounds[0]), from_hex(exchange.rounds[1]), from_hex(exchange.rounds[2]),
            from_hex(exchange.rounds[3])};
}

} // namespace mpt::core::testing
