// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/net/emulator/console.hpp"

#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <unistd.h>
#include <utility>
#include <vector>

namespace linkemu {

const char *const kCommands = R"(set NAME a>b|b>a|both SETTING VALUE [SETTING VALUE]...
                              for the frames that come from now on
cut NAME [a>b|b>a]            lose every frame silently, also those on their way
restore NAME [a>b|b>a]
carrier NAME off|on [a|b]     what the kernel sees as an unplugged cable
unplug NAME a|b               remove the device
plug NAME a|b                 bring it back: a new device, up, without addresses
stats                         a line of JSON for each link and direction
)";

namespace {

constexpr std::size_t kLongestLine = 4096;
constexpr std::array<const char *, 2> kDirectionNames{"a>b", "b>a"};

using Words = std::vector<std::string>;
using Indices = std::vector<std::size_t>;

Indices directions(const std::string &word)
{
    if (word == "both")
        return {0, 1};
    if (word == kDirectionNames[0])
        return {0};
    if (word == kDirectionNames[1])
        return {1};
    throw std::invalid_argument(fmt::format("'{}' is not a>b, b>a or both", word));
}

std::size_t end(const std::string &word)
{
    if (word != "a" && word != "b")
        throw std::invalid_argument(fmt::format("'{}' is not a or b", word));
    return word == "a" ? 0 : 1;
}

void set(Link &link, const Words &words)
{
    if (words.size() < 5 || words.size() % 2 == 0)
        throw std::invalid_argument("expected: set NAME a>b|b>a|both SETTING VALUE [SETTING VALUE]...");
    const auto chosen = directions(words[2]);
    std::array<Settings, 2> changed{link.directions[0].shaper.settings, link.directions[1].shaper.settings};
    for (const auto index : chosen) {
        for (std::size_t word = 3; word < words.size(); word += 2)
            assign(changed[index], words[word], words[word + 1]);
        check(changed[index]);
    }
    for (const auto index : chosen)
        link.directions[index].shaper.settings = changed[index];
}

std::string stats(Emulator &emulator)
{
    std::string text;
    for (auto &link : emulator.links()) {
        for (std::size_t index = 0; index < 2; ++index) {
            auto &direction = link.directions[index];
            const auto &counters = direction.shaper.counters;
            const auto now = emulator.in_flight(direction);
            const auto milliseconds = [](Duration duration) {
                return std::chrono::duration<double, std::milli>(duration).count();
            };
            text += fmt::format(
                R"({{"link":"{}","direction":"{}","frames":{},"octets":{},"delivered":{},"delivered_octets":{},)"
                R"("duplicated":{},"lost":{},"dropped_queue":{},"dropped_cut":{},"dropped_other":{},"in_flight":{},)"
                R"("queue_ms":{:.3f},"late_ms":{:.3f}}})"
                "\n",
                link.name, kDirectionNames[index], counters.frames, counters.octets, counters.delivered,
                counters.delivered_octets, counters.duplicated, counters.lost, counters.dropped_queue,
                counters.dropped_cut, counters.dropped_other, now.frames, milliseconds(now.queue),
                milliseconds(std::exchange(direction.latest, Duration{0})));
        }
    }
    return text;
}

} // namespace

void Console::read()
{
    std::array<char, 4096> buffer;
    const auto count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR)
        return;
    if (count <= 0) {
        emulator_.stop();
        return;
    }
    input_.append(buffer.data(), static_cast<std::size_t>(count));
    for (auto end_of_line = input_.find('\n'); end_of_line != std::string::npos; end_of_line = input_.find('\n')) {
        std::string answer;
        try {
            answer = execute(input_.substr(0, end_of_line)) + "ok\n";
        } catch (const std::exception &error) {
            answer = fmt::format("error {}\n", error.what());
        }
        fmt::print("{}", answer);
        std::fflush(stdout);
        input_.erase(0, end_of_line + 1);
    }
    if (input_.size() > kLongestLine)
        throw std::invalid_argument(fmt::format("a command is longer than {} octets", kLongestLine));
}

std::string Console::execute(const std::string &line)
{
    std::istringstream stream{line};
    const Words words{std::istream_iterator<std::string>{stream}, {}};
    if (words.size() == 1 && words[0] == "stats")
        return stats(emulator_);
    if (words.size() < 2)
        throw std::invalid_argument(fmt::format("'{}' is not a complete command", line));
    auto *const link = emulator_.find(words[1]);
    if (link == nullptr)
        throw std::invalid_argument(fmt::format("there is no link '{}'", words[1]));

    const auto &command = words[0];
    if (command == "set") {
        set(*link, words);
    } else if ((command == "cut" || command == "restore") && words.size() <= 3) {
        for (const auto index : directions(words.size() == 3 ? words[2] : "both"))
            emulator_.set_cut(*link, index, command == "cut");
    } else if (command == "carrier" && (words.size() == 3 || words.size() == 4)) {
        if (words[2] != "on" && words[2] != "off")
            throw std::invalid_argument(fmt::format("'{}' is not on or off", words[2]));
        for (const auto index : words.size() == 4 ? Indices{end(words[3])} : Indices{0, 1})
            emulator_.set_carrier(*link, index, words[2] == "on");
    } else if ((command == "plug" || command == "unplug") && words.size() == 3) {
        emulator_.set_plugged(*link, end(words[2]), command == "plug");
    } else {
        throw std::invalid_argument(fmt::format("'{}' is not a command, or has too few or too many words", line));
    }
    return {};
}

} // namespace linkemu
