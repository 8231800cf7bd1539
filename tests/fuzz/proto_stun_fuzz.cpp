// SPDX-License-Identifier: GPL-3.0-or-later
// Input: a datagram that comes from a STUN server.
#include "daemon/core/stun_client.hpp"

#include <cstdlib>

using namespace mpt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const base::ConstOctets datagram(reinterpret_cast<const std::byte *>(data), size);
    const auto answer = proto::decode_stun_answer(datagram);
    if (!answer)
        return 0;
    if (!proto::is_stun_answer(datagram) || (answer->error != 0 && (answer->error < 300 || answer->error > 699)) ||
        (answer->error != 0 && answer->mapped))
        std::abort();
    // The client asks with just this transaction.
    const base::Endpoint server{base::Address::from_octets(std::array<std::byte, 4>{std::byte{192}}), 3478};
    for (const base::IpVersion version : {base::IpVersion::kV4, base::IpVersion::kV6}) {
        proto::RandomNumber random{};
        std::copy(answer->transaction.begin(), answer->transaction.end(), random.begin());
        core::StunClient client(version);
        const base::Instant now{std::chrono::seconds(1)};
        client.set_servers(now, {server});
        client.on_deadline(now, random);
        const auto outcome = client.on_answer(now, server, *answer, random);
        if (!outcome || outcome->trouble.has_value() != !client.found() ||
            (client.found() && (client.found()->address.version() != version || client.found()->address.is_loopback() ||
                                client.found()->address.is_multicast() || client.found()->port == 0)))
            std::abort();
    }
    return 0;
}
