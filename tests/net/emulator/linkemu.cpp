// SPDX-License-Identifier: GPL-3.0-or-later
// linkemu: emulated links between network namespaces, for kernels without netem. See --help.
#include "tests/net/emulator/console.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <sched.h>
#include <stdexcept>
#include <string>
#include <sys/signalfd.h>
#include <system_error>
#include <vector>

namespace linkemu {
namespace {

constexpr std::string_view kUsage =
    R"(usage: linkemu [--seed N] --link NAME --a NETNS:DEVICE --b NETNS:DEVICE [--SETTING VALUE]... [--link ...]

Carries Ethernet frames of at most 2047 octets between two new tap devices for each link; the devices go with the
program. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN. Prints 'ready' when all devices are up, obeys commands on standard input
(a pipe or a terminal), ends at the end of the input and on SIGTERM or SIGINT.

Settings of a link (both directions; later changed one by one):
  delay TIME      time to travel, such as 20ms or 150us
  jitter TIME     up to that much more for each frame, uniformly
  reorder on|off  whether frames with less jitter overtake (off)
  loss SHARE      such as 1%
  burst N         N frames are lost in a row on average (0: independently)
  duplicate SHARE
  rate MBIT       in Mbit/s, counting Ethernet headers; 0: unlimited
  queue TIME|OCTETS
                  a frame that would wait for longer, or behind more octets, is dropped (100ms)
With the same seed and the same frames the same frames are lost.

Commands, each answered with 'ok' or 'error TEXT' in a line:
)";

struct LinkOptions {
    std::string name;
    std::array<Place, 2> places;
    Settings settings;
};

struct Options {
    std::uint64_t seed = 1;
    std::vector<LinkOptions> links;
};

Place place(const std::string &option, const std::string &text)
{
    const auto colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == text.size())
        throw std::invalid_argument(fmt::format("{}: '{}' is not NETNS:DEVICE", option, text));
    return {text.substr(0, colon), text.substr(colon + 1)};
}

std::uint64_t seed(const std::string &text)
{
    std::uint64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc{} || end != text.data() + text.size())
        throw std::invalid_argument(fmt::format("--seed: '{}' is not a number from 0 to 2^64-1", text));
    return value;
}

Options parse(const std::vector<std::string> &arguments)
{
    Options options;
    for (std::size_t index = 0; index < arguments.size(); index += 2) {
        const auto &option = arguments[index];
        if (!option.starts_with("--"))
            throw std::invalid_argument(fmt::format("'{}' is not an option", option));
        if (index + 1 == arguments.size())
            throw std::invalid_argument(fmt::format("{} needs a value", option));
        const auto &value = arguments[index + 1];
        if (option == "--seed") {
            options.seed = seed(value);
        } else if (option == "--link") {
            if (std::ranges::find(options.links, value, &LinkOptions::name) != options.links.end())
                throw std::invalid_argument(fmt::format("--link: there are two links '{}'", value));
            if (value.empty() || value.find_first_of(" \t\n\"\\") != std::string::npos)
                throw std::invalid_argument("--link: a name is not empty and has no blank, quote or backslash");
            options.links.push_back({value, {}, {}});
        } else if (options.links.empty()) {
            throw std::invalid_argument(fmt::format("{} belongs to a link: expected --link NAME before it", option));
        } else if (option == "--a" || option == "--b") {
            options.links.back().places[option == "--a" ? 0 : 1] = place(option, value);
        } else {
            assign(options.links.back().settings, option.substr(2), value);
        }
    }
    if (options.links.empty())
        throw std::invalid_argument("expected at least one --link");
    for (const auto &link : options.links) {
        if (link.places[0].device.empty() || link.places[1].device.empty())
            throw std::invalid_argument(fmt::format("link '{}' needs --a and --b", link.name));
        check(link.settings);
    }
    return options;
}

int block_signals()
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    const int descriptor = signalfd(-1, &signals, SFD_CLOEXEC);
    if (descriptor < 0)
        throw std::system_error(errno, std::generic_category(), "cannot create a signal descriptor");
    return descriptor;
}

void run(const Options &options)
{
    // Frames must not wait until iperf3 has used up its time slice; and timers are exact.
    constexpr sched_param kLowest{1};
    if (sched_setscheduler(0, SCHED_RR, &kLowest) < 0)
        fmt::print(stderr, "linkemu: no real-time priority ({}): frames will be late when the machine is busy\n",
                   std::strerror(errno));
    Emulator emulator;
    Console console{emulator};
    emulator.watch(block_signals(), [&] { emulator.stop(); });
    emulator.watch(STDIN_FILENO, [&] { console.read(); });
    for (std::size_t index = 0; index < options.links.size(); ++index) {
        const auto &link = options.links[index];
        emulator.add(link.name, link.places, link.settings, options.seed + index);
    }
    fmt::print("ready\n");
    std::fflush(stdout);
    emulator.run();
}

} // namespace
} // namespace linkemu

int main(int argc, char **argv)
{
    const std::vector<std::string> arguments{argv + 1, argv + argc};
    if (arguments == std::vector<std::string>{"--help"}) {
        fmt::print("{}{}", linkemu::kUsage, linkemu::kCommands);
        return 0;
    }
    linkemu::Options options;
    try {
        options = linkemu::parse(arguments);
    } catch (const std::invalid_argument &error) {
        fmt::print(stderr, "linkemu: {}; see --help\n", error.what());
        return 2;
    }
    try {
        linkemu::run(options);
    } catch (const std::exception &error) {
        fmt::print(stderr, "linkemu: {}\n", error.what());
        return 1;
    }
}
