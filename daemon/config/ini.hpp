// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/secret.hpp"
#include "daemon/config/problem.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mpt::config {

// "key = value" and where it stands.
struct IniEntry {
    std::string key;
    base::SecretText value;       // without the blanks around it and without a comment behind it
    unsigned line = 0;            // from 1
    std::size_t key_column = 0;   // octets before the key in its line
    std::size_t value_column = 0; // octets before the value in its line
};

// A section and its entries in the order of the file. The same name may come up more than once.
struct IniSection {
    std::string name; // "path 0" is given as "path_0"
    unsigned line = 0;
    std::vector<IniEntry> entries;

    bool has(std::string_view key) const;
};

// A larger file is refused unread: no configuration needs as much.
inline constexpr std::size_t kMaxFileOctets = 1 << 20;

// Reads INI text with inih. Its rules:
// - a line is "[section]", "key = value" (':' serves as well as '='), empty, or a comment, whose first character is ';'
//   or '#'; blanks before it are skipped, line ends may be LF or CR LF, the last one may be missing, and a byte order
//   mark before the first line is skipped;
// - a value ends at a ';' or '#' that begins it or follows a blank: `mtu = 1440 ; octets` is 1440, `name = a#b` is a#b;
// - a line other than a comment may have up to 199 octets, which is what inih can hold;
// - a NUL octet is refused anywhere, another control character outside comments.
// Every line that breaks the rules is told as an error, without what it says (it might be a key); the other lines are
// read. Entries before the first section are an error, those below a broken section line are skipped.
std::vector<IniSection> read_ini(std::string_view text, Problems &problems);

} // namespace mpt::config
