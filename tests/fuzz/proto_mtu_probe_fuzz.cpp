// SPDX-License-Identifier: GPL-3.0-or-later
// Input: a datagram of the data port.
#include "daemon/proto/mtu_probe.hpp"

#include <cstdlib>
#include <vector>

using namespace mpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const base::ConstOctets datagram(reinterpret_cast<const std::byte *>(data), size);
    const auto probe = proto::decode_mtu_probe(datagram);
    if (!probe)
        return 0;
    // What is understood is said again in the same way; what is not looked at is the MAC and what is sent as 0.
    proto::SessionKey key;
    std::vector<std::byte> again(size);
    proto::encode_mtu_probe(*probe, key, again);
    if (proto::decode_mtu_probe(again) != probe)
        std::abort();
    return 0;
}
