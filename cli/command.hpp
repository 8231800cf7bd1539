// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/exit_status.hpp"

#include <CLI/CLI.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace mpt::cli {

// Ends a command: main() prints the text and exits with the status.
class CommandError : public std::runtime_error {
public:
    CommandError(ExitStatus status, const std::string &text) : std::runtime_error(text), status_(status) {}

    ExitStatus status() const noexcept { return status_; }

private:
    ExitStatus status_;
};

// What holds for all commands.
struct Settings {
    bool ask_password = true; // polkit may ask a person
};

// A word after `mpt`.
class Command {
public:
    Command() = default;
    Command(const Command &) = delete;
    Command &operator=(const Command &) = delete;
    virtual ~Command() = default;

    // Its name, and its short form if there is one.
    virtual std::vector<std::string> names() const = 0;
    // The short help: its syntax on the first lines, then what the words mean; in the style of the guide's chapter 4.
    virtual std::string help() const = 0;
    // Whether it means something without arguments; else its help is shown then.
    virtual bool works_alone() const = 0;
    // Names the arguments, which are stored in the command.
    virtual void declare(CLI::App &app) = 0;
    // Throws CommandError or sdbus::Error.
    virtual ExitStatus run(const Settings &settings) = 0;
};

// For check(): an empty argument is a mistake of a script, not "all".
inline std::string not_empty(const std::string &argument)
{
    return argument.empty() ? "must not be empty" : "";
}

// One for each file of this folder that makes a command.
std::unique_ptr<Command> make_address();
std::unique_ptr<Command> make_check();
std::unique_ptr<Command> make_complete();
std::unique_ptr<Command> make_create();
std::unique_ptr<Command> make_delete();
std::unique_ptr<Command> make_genkey();
std::unique_ptr<Command> make_interface();
std::unique_ptr<Command> make_monitor();
std::unique_ptr<Command> make_path();
std::unique_ptr<Command> make_reload();
std::unique_ptr<Command> make_restart();
std::unique_ptr<Command> make_save();
std::unique_ptr<Command> make_show();
std::unique_ptr<Command> make_status();
std::unique_ptr<Command> make_top();
std::unique_ptr<Command> make_version();

} // namespace mpt::cli
