// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/path_choice.hpp"

#include "cli/command.hpp"

#include <charconv>
#include <fmt/format.h>

namespace mpt::cli {

namespace {

constexpr std::size_t kMaxNamed = 10; // candidates in a message

// "\n  NAME" for each of the first ones.
std::string list(const std::vector<std::string> &names)
{
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), kMaxNamed); ++i)
        text += "\n  " + names[i];
    if (names.size() > kMaxNamed)
        text += fmt::format("\n  and {} more: see mpt status", names.size() - kMaxNamed);
    return text;
}

std::string describe(const Connection &connection, const Path &path)
{
    return fmt::format("{} {}: {} to {} on {}", connection.name, path.number,
                       path.local_address.empty() ? "no address" : path.local_address,
                       path.remote_address.empty() ? "no address" : path.remote_address, path.interface);
}

bool is_address(const std::string &text, const base::Address &address)
{
    const auto parsed = base::Address::parse(text);
    return parsed && *parsed == address;
}

} // namespace

unsigned parse_number(const std::string &text, unsigned min, unsigned max)
{
    unsigned number = 0;
    const char *end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || rest != end || number < min || number > max)
        throw CommandError(kUsage, fmt::format("{}: must be a number from {} to {}", text, min, max));
    return number;
}

base::Address parse_address(const std::string &text)
{
    const auto address = base::Address::parse(text);
    if (!address)
        throw CommandError(kUsage, address.error().text);
    return *address;
}

const Path &choose_path(const Snapshot &snapshot, const PathAddresses &addresses)
{
    const Path *found = nullptr;
    std::vector<std::string> matching;
    std::vector<std::string> all;
    for (const Connection &connection : snapshot.connections) {
        for (const Path &path : connection.paths) {
            all.push_back(describe(connection, path));
            if (is_address(path.local_address, addresses.local) && is_address(path.remote_address, addresses.remote)) {
                found = &path;
                matching.push_back(all.back());
            }
        }
    }
    const std::string between =
        fmt::format("between {} and {}", addresses.local.to_string(), addresses.remote.to_string());
    if (matching.size() > 1)
        throw CommandError(kFailed, fmt::format("more than one path is {}; name it by its connection and number, as in "
                                                "mpt path CONNECTION NUMBER up:{}",
                                                between, list(matching)));
    if (found == nullptr)
        throw CommandError(kFailed, fmt::format("no path is {}; {}{}", between,
                                                all.empty() ? "there are none" : "there are:", list(all)));
    return *found;
}

const Path &choose_path(const Snapshot &snapshot, const std::string &connection, unsigned number)
{
    const Connection &found = choose_connection(snapshot, connection);
    std::vector<std::string> all;
    for (const Path &path : found.paths) {
        if (path.number == number)
            return path;
        all.push_back(describe(found, path));
    }
    throw CommandError(kFailed,
                       fmt::format("connection {} has no path {}; there are:{}", connection, number, list(all)));
}

const Connection &choose_connection(const Snapshot &snapshot, const std::string &name)
{
    if (const Connection *found = snapshot.find(name); found != nullptr)
        return *found;
    std::vector<std::string> names;
    for (const Connection &connection : snapshot.connections)
        names.push_back(connection.name);
    throw CommandError(kFailed, fmt::format("there is no connection {}; {}{}", name,
                                            names.empty() ? "none is running" : "there are:", list(names)));
}

} // namespace mpt::cli
