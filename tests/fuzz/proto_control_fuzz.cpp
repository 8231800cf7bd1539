// SPDX-License-Identifier: GPL-3.0-or-later
// Input: a UDP payload as the control port receives it.
#include "daemon/proto/control.hpp"

#include <algorithm>
#include <cstdlib>

using namespace mpt;

namespace {

// All but the body, which is compared by octets.
bool same(const proto::ControlMessage &a, const proto::ControlMessage &b)
{
    return a.command == b.command && a.argument == b.argument && a.auth == b.auth && a.random == b.random &&
           a.round == b.round && a.version == b.version && a.initiator == b.initiator && a.responder == b.responder &&
           a.body_length == b.body_length && std::equal(a.body.begin(), a.body.end(), b.body.begin(), b.body.end());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const base::ConstOctets datagram(reinterpret_cast<const std::byte *>(data), size);
    const auto message = proto::decode_control(datagram);
    if (!message)
        return 0;
    const proto::ControlKey key =
        *proto::ControlKey::parse("A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2");
    const std::vector<std::byte> encoded = proto::encode_control(*message, key);
    const auto again = proto::decode_control(encoded);
    if (encoded.size() != size || !again || !same(*message, *again) || !proto::has_valid_hash(*again, encoded, key))
        std::abort();
    // Only the hash and the reserved octets may differ: with a right hash and those as zero nothing does.
    const std::size_t reserved = 4 + std::to_integer<std::size_t>(datagram[3]) + 2;
    if (proto::has_valid_hash(*message, datagram, key) && datagram[reserved] == std::byte{0} &&
        datagram[reserved + 1] == std::byte{0} &&
        !std::equal(encoded.begin(), encoded.end(), datagram.begin(), datagram.end()))
        std::abort();
    if (message->command == proto::ControlCommand::kPathStatus && message->round == 3) {
        const auto addresses = proto::decode_path_addresses(message->body);
        if (addresses && proto::decode_path_addresses(proto::encode_path_addresses(*addresses)) != addresses)
            std::abort();
        const auto change = proto::decode_path_change(message->body);
        if (change && proto::decode_path_change(proto::encode_path_change(*change)) != change)
            std::abort();
    }
    return 0;
}
