// SPDX-License-Identifier: GPL-3.0-or-later
// Input: a UDP payload as the data port receives it.
#include "daemon/proto/keepalive.hpp"

#include <array>
#include <cstdlib>

using namespace mpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const auto message = proto::decode_gre({reinterpret_cast<const std::byte *>(data), size});
    if (!message)
        return 0;
    const auto keepalive = proto::decode_keepalive(*message);
    if (!keepalive)
        return 0;

    std::array<std::byte, proto::kKeepaliveSize> encoded{};
    proto::encode_keepalive(*keepalive, encoded);
    const auto again = proto::decode_gre(encoded);
    if (!message->is_control || !again || proto::decode_keepalive(*again) != keepalive)
        std::abort();
    return 0;
}
