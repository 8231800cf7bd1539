// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/path_choice.hpp"
#include "cli/service.hpp"

#include <array>
#include <fmt/format.h>
#include <optional>

namespace mpt::cli {

namespace {

constexpr unsigned kMaxWeight = 10000;
constexpr unsigned kMaxNumber = 999; // more than there can be

class PathCommand final : public Command {
public:
    std::vector<std::string> names() const override { return {"path"}; }
    bool works_alone() const override { return false; }

    std::string help() const override
    {
        return R"(mpt path {up | down} [--force] LOCAL REMOTE
mpt path CONNECTION NUMBER {up | down [--force] | weight WEIGHT | weight-in WEIGHT}

LOCAL, REMOTE: The local and the remote IP address of the path
CONNECTION: The name of the connection
NUMBER: The number of its path, from 0
WEIGHT: The share of the packets that leave by the path, 1 to 10000; with weight-in of
    those that the peer sends by it, which needs auth_type = 3
--force: Set down even the last path that can be used
)";
    }

    void declare(CLI::App &app) override
    {
        for (std::size_t i = 0; i < words_.size(); ++i)
            app.add_option(fmt::format("word{}", i + 1), words_[i]);
        app.add_flag("--force", force_);
    }

    ExitStatus run(const Settings &settings) override
    {
        const auto &[first, second, third, fourth] = words_;
        const bool by_address = fourth.empty() && is_direction(first) && !is_direction(third);
        const std::string &verb = by_address ? first : third;
        const bool is_weight = verb == "weight" || verb == "weight-in";
        if (third.empty() || (is_weight && fourth.empty()))
            throw CommandError(kUsage, "too few arguments");
        if (!is_direction(verb) && !is_weight)
            throw CommandError(kUsage, fmt::format("{}: must be up, down, weight or weight-in", verb));
        if (!is_weight && !fourth.empty())
            throw CommandError(kUsage, fmt::format("{}: nothing was expected behind {}", fourth, verb));
        if (force_ && verb != "down")
            throw CommandError(kUsage, "--force is for down alone");
        const unsigned weight = is_weight ? parse_number(fourth, 1, kMaxWeight) : 1;
        std::optional<PathAddresses> addresses;
        unsigned number = 0;
        if (by_address)
            addresses = {parse_address(second), parse_address(third)};
        else
            number = parse_number(second, 0, kMaxNumber);

        Bus bus;
        Service service(bus);
        const Snapshot snapshot = service.snapshot();
        const Path &path = addresses ? choose_path(snapshot, *addresses) : choose_path(snapshot, first, number);
        service.change(settings, kControl, [&] {
            PathProxy proxy = service.path(path.object);
            if (verb == "up")
                proxy.Up();
            else if (verb == "down")
                proxy.Down(force_);
            else if (verb == "weight")
                proxy.SetWeight(static_cast<std::uint16_t>(weight));
            else
                proxy.SetWeightIn(static_cast<std::uint16_t>(weight));
        });
        return kSuccess;
    }

private:
    static bool is_direction(const std::string &word) { return word == "up" || word == "down"; }

    std::array<std::string, 4> words_;
    bool force_ = false;
};

} // namespace

std::unique_ptr<Command> make_path()
{
    return std::make_unique<PathCommand>();
}

} // namespace mpt::cli
