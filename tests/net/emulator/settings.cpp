// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/net/emulator/settings.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <stdexcept>

namespace linkemu {
namespace {

[[noreturn]] void refuse(std::string_view key, std::string_view value, std::string_view expected)
{
    throw std::invalid_argument(fmt::format("{}: '{}' is not {}", key, value, expected));
}

double number(std::string_view text, double low, double high, std::string_view key, std::string_view value,
              std::string_view expected)
{
    double parsed = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), parsed, std::chars_format::fixed);
    if (code != std::errc{} || end != text.data() + text.size() || !(parsed >= low && parsed <= high))
        refuse(key, value, expected);
    return parsed;
}

Duration time(std::string_view key, std::string_view value)
{
    constexpr std::string_view kExpected = "a time from 0 to 60 s with its unit (us, ms or s)";
    struct Unit {
        std::string_view name;
        double nanoseconds;
    };
    for (const auto &unit : {Unit{"us", 1e3}, Unit{"ms", 1e6}, Unit{"s", 1e9}}) {
        if (value.ends_with(unit.name)) {
            const auto digits = value.substr(0, value.size() - unit.name.size());
            const double count = number(digits, 0, 60e9 / unit.nanoseconds, key, value, kExpected);
            return Duration{static_cast<Duration::rep>(count * unit.nanoseconds)};
        }
    }
    refuse(key, value, kExpected);
}

double share(std::string_view key, std::string_view value)
{
    constexpr std::string_view kExpected = "a share from 0% to 100%";
    if (!value.ends_with('%'))
        refuse(key, value, kExpected);
    return number(value.substr(0, value.size() - 1), 0, 100, key, value, kExpected) / 100;
}

} // namespace

void assign(Settings &settings, std::string_view key, std::string_view value)
{
    if (key == "delay") {
        settings.delay = time(key, value);
    } else if (key == "jitter") {
        settings.jitter = time(key, value);
    } else if (key == "reorder") {
        if (value != "on" && value != "off")
            refuse(key, value, "on or off");
        settings.reorder = value == "on";
    } else if (key == "loss") {
        settings.loss = share(key, value);
    } else if (key == "duplicate") {
        settings.duplicate = share(key, value);
    } else if (key == "burst") {
        settings.burst = number(value, 0, 1e6, key, value, "a mean number of frames from 0 to 1000000");
    } else if (key == "rate") {
        constexpr std::string_view kExpected = "0 (unlimited) or a rate from 0.001 to 100000 Mbit/s";
        settings.rate = number(value, 0, 1e5, key, value, kExpected);
        if (settings.rate > 0 && settings.rate < 1e-3)
            refuse(key, value, kExpected);
    } else if (key == "queue") {
        settings.queue_octets.reset();
        if (value.ends_with('s'))
            settings.queue_time = time(key, value);
        else
            settings.queue_octets = static_cast<std::uint32_t>(
                number(value, 0, 4e9, key, value, "a time with its unit (us, ms or s) or up to 4000000000 octets"));
    } else {
        throw std::invalid_argument(fmt::format("'{}' is not a setting: expected delay, jitter, reorder, loss, burst, "
                                                "duplicate, rate or queue",
                                                key));
    }
}

void check(const Settings &settings)
{
    // With runs of `burst` lost frames on average, a share `loss` is reached only if runs may begin that often.
    if (settings.burst > 0 && settings.loss < 1 &&
        (settings.burst < 1 || settings.loss > settings.burst * (1 - settings.loss)))
        throw std::invalid_argument(
            fmt::format("burst: runs of {} frames cannot make a loss of {} %: expected at least {:.2f}", settings.burst,
                        settings.loss * 100, std::max(1.0, settings.loss / (1 - settings.loss))));
}

} // namespace linkemu
