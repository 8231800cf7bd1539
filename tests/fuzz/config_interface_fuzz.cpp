// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/interface.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

// Whatever the text is: a value exactly if there is no error, and a value that can be written and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    using namespace mpt::config;
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    const Parsed<InterfaceConfig> parsed = parse_interface("interface.conf", text);
    if (parsed.value.has_value() == has_errors(parsed.problems))
        std::abort();
    for (const Problem &problem : parsed.problems) {
        if (problem.to_string().find_first_of(std::string_view("\n\0", 2)) != std::string::npos)
            std::abort();
    }
    if (parsed.value && parse_interface("interface.conf", serialise(*parsed.value)).value != parsed.value)
        std::abort();
    return 0;
}
