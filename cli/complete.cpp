// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/service.hpp"
#include "cli/text.hpp"

#include <fmt/format.h>
#include <set>

namespace mpt::cli {

namespace {

// For the shell's completion alone (cli/completion/mpt), so not in any help: prints the words of a kind that mptd
// knows, one a line; none if it does not run.
class Complete final : public Command {
public:
    std::vector<std::string> names() const override { return {"complete-words"}; }
    bool works_alone() const override { return false; }
    std::string help() const override
    {
        return "mpt complete-words {connections | files | interfaces | locals | remotes LOCAL | numbers CONNECTION}\n";
    }

    void declare(CLI::App &app) override
    {
        app.add_option("kind", kind_)
            ->required()
            ->check(CLI::IsMember({"connections", "files", "interfaces", "locals", "remotes", "numbers"}));
        app.add_option("of", of_);
    }

    ExitStatus run(const Settings &) override
    {
        try {
            Bus bus;
            for (const std::string &word : words(Service(bus).snapshot()))
                fmt::print("{}\n", printable(word));
        } catch (const CommandError &) {
            return kUnavailable;
        } catch (const sdbus::Error &) {
            return kUnavailable;
        }
        return kSuccess;
    }

private:
    std::set<std::string> words(const Snapshot &snapshot) const
    {
        std::set<std::string> found;
        if (kind_ == "interfaces")
            for (const Tunnel &tunnel : snapshot.tunnels)
                found.insert(tunnel.name);
        for (const Connection &connection : snapshot.connections) {
            if (kind_ == "connections")
                found.insert(connection.name);
            if (kind_ == "files")
                found.insert(connection.file);
            for (const Path &path : connection.paths) {
                if (kind_ == "interfaces")
                    found.insert(path.interface);
                if (kind_ == "locals")
                    found.insert(path.local_address);
                if (kind_ == "remotes" && path.local_address == of_)
                    found.insert(path.remote_address);
                if (kind_ == "numbers" && connection.name == of_)
                    found.insert(fmt::format("{}", path.number));
            }
        }
        return found;
    }

    std::string kind_;
    std::string of_;
};

} // namespace

std::unique_ptr<Command> make_complete()
{
    return std::make_unique<Complete>();
}

} // namespace mpt::cli
