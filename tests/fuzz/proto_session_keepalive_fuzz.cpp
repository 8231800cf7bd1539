// SPDX-License-Identifier: GPL-3.0-or-later
// Input: a UDP payload as the data port receives it.
#include "daemon/proto/session_keepalive.hpp"

#include <array>
#include <cstdlib>

using namespace mpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const base::ConstOctets datagram(reinterpret_cast<const std::byte *>(data), size);
    const auto keepalive = proto::decode_session_keepalive(datagram);
    if (!keepalive) {
        if (static_cast<std::size_t>(keepalive.error()) >= proto::kDropReasonCount)
            std::abort();
        return 0;
    }
    proto::SessionKey key(*proto::ControlKey::parse("A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2"),
                          {proto::KeyUse::Purpose::kKeepalive, {}, {}, keepalive->sender, keepalive->receiver});
    std::array<std::byte, proto::kSessionKeepaliveSize> encoded{};
    proto::encode_session_keepalive(*keepalive, key, encoded);
    if (size != encoded.size() || proto::decode_session_keepalive(encoded) != keepalive ||
        !key.verifies(encoded, proto::kSessionKeepaliveMac))
        std::abort();
    return 0;
}
