// SPDX-License-Identifier: GPL-3.0-or-later
// mpt: finds out which command is meant, and turns what goes wrong into a message and an exit status.
#include "cli/command.hpp"
#include "cli/service.hpp"
#include "cli/text.hpp"

#include <clocale>
#include <csignal>
#include <cstdio>
#include <fmt/format.h>

namespace mpt::cli {

namespace {

constexpr const char *kHelp = R"(mpt [--no-ask-password] COMMAND [ARGUMENTS]

The state of the tunnels:
  mpt status [CONNECTION] [--rates] [--json]
  mpt top
  mpt monitor [--json]

Changes, as long as mptd runs:
  mpt addr[ess] {add | del} IP_ADDRESS[/PREF_LEN] dev INTERFACE
  mpt int[erface] INTERFACE {up | down}
  mpt path {up | down} [--force] LOCAL REMOTE
  mpt path CONNECTION NUMBER {up | down [--force] | weight WEIGHT | weight-in WEIGHT}
  mpt restart [FILENAME]

Configuration files:
  mpt check [DIR]
  mpt reload [FILENAME]
  mpt save [FILENAME]
  mpt delete FILENAME
  mpt create FILENAME
  mpt genkey [FILE]

mpt COMMAND --help says more about a command, mpt(1) says all. mpt version and
mpt --version print the version.
)";

// The lines of a message, each behind our name.
void complain(const std::string &text)
{
    std::string line;
    for (const char c : text + '\n') {
        if (c != '\n') {
            line += c;
            continue;
        }
        if (!line.empty())
            fmt::print(stderr, "mpt: {}\n", printable(line));
        line.clear();
    }
}

// A command as CLI11 sees it.
struct Declared {
    CLI::App *app;
    std::unique_ptr<Command> command;
};

// Then its help is what is wanted.
bool lacks_arguments(const Declared &declared)
{
    return !declared.command->works_alone() && declared.app->count_all() == 1; // the command itself
}

std::vector<Declared> declare_all(CLI::App &app)
{
    std::vector<std::unique_ptr<Command>> commands;
    for (const auto make :
         {make_address, make_check, make_complete, make_create, make_delete, make_genkey, make_interface, make_monitor,
          make_path, make_reload, make_restart, make_save, make_show, make_status, make_top, make_version})
        commands.push_back(make());
    std::vector<Declared> all;
    for (auto &command : commands) {
        const std::vector<std::string> names = command->names();
        CLI::App *sub = app.add_subcommand(names.front());
        for (std::size_t i = 1; i < names.size(); ++i)
            sub->alias(names[i]);
        sub->fallthrough(); // --no-ask-password may stand behind the command too
        sub->formatter_fn(
            [text = command->help()](const CLI::App *, const std::string &, CLI::AppFormatMode) { return text; });
        command->declare(*sub);
        all.push_back({sub, std::move(command)});
    }
    return all;
}

int run(int argc, char **argv)
{
    CLI::App app;
    Settings settings;
    app.formatter_fn([](const CLI::App *, const std::string &, CLI::AppFormatMode) { return std::string(kHelp); });
    app.set_version_flag("--version", "mpt " MPTD_VERSION);
    app.add_flag("!--no-ask-password", settings.ask_password);
    app.require_subcommand(0, 1);
    const std::vector<Declared> commands = declare_all(app);
    const auto chosen = [&]() -> const Declared * {
        for (const Declared &declared : commands)
            if (declared.app->parsed())
                return &declared;
        return nullptr;
    };
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success &help) {
        return app.exit(help);
    } catch (const CLI::ParseError &error) {
        const Declared *declared = chosen();
        if (declared != nullptr && lacks_arguments(*declared)) {
            fmt::print("{}", declared->command->help());
        } else {
            complain(error.what());
            fmt::print(stderr, "{}",
                       declared != nullptr ? declared->command->help() : "mpt --help lists the commands\n");
        }
        return kUsage;
    }
    const Declared *declared = chosen();
    if (declared == nullptr || lacks_arguments(*declared)) {
        fmt::print("{}", declared == nullptr ? kHelp : declared->command->help());
        return kUsage;
    }
    try {
        return declared->command->run(settings);
    } catch (const CommandError &error) {
        complain(error.what());
        if (error.status() == kUsage)
            fmt::print(stderr, "{}", declared->command->help());
        return error.status();
    } catch (const sdbus::Error &error) {
        const CommandError explained = explain(error, nullptr);
        complain(explained.what());
        return explained.status();
    }
}

} // namespace

} // namespace mpt::cli

int main(int argc, char **argv)
{
    std::setlocale(LC_CTYPE, "");
    const int status = mpt::cli::run(argc, argv);
    // A disk that is full must not look like success.
    if (std::fflush(stdout) != 0 && status == mpt::cli::kSuccess) {
        std::perror("mpt: standard output");
        return mpt::cli::kFailed;
    }
    return status;
}
