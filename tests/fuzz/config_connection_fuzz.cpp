// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/check.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

// Whatever the text is, by both grammars: a value exactly if there is no error, and a value that can be written and
// read again. What was read is checked against a tunnel too.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    using namespace mpt::config;
    static const InterfaceConfig interface =
        *parse_interface("interface.conf", "[general]\ntunnel_num=1\ncmdport_local=1\n"
                                           "[tun_0]\nname=tun0\nmtu=1440\n"
                                           "ipv4_addr=10.0.0.2/24\nipv6_addr=fec0::2/64\n")
             .value;
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    for (const auto parse : {parse_connection, parse_template}) {
        const Parsed<ConnectionConfig> parsed = parse("c.conf", text);
        if (parsed.value.has_value() == has_errors(parsed.problems))
            std::abort();
        for (const Problem &problem : parsed.problems) {
            if (problem.to_string().find_first_of(std::string_view("\n\0", 2)) != std::string::npos)
                std::abort();
        }
        if (!parsed.value)
            continue;
        if (parse("c.conf", serialise(*parsed.value)).value != parsed.value)
            std::abort();
        check_connections(interface, {&*parsed.value, 1});
    }
    return 0;
}
