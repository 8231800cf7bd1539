// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/config/check.hpp"

#include "daemon/base/result.hpp"
#include "daemon/base/secret.hpp"

#include "cli/command.hpp"
#include "cli/text.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>

namespace mpt::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".conf";
constexpr std::size_t kMaxFileSize = 4 << 20; // as mptd(8) reads
constexpr std::size_t kMaxKeyFileSize = 4 << 10;

// Reads the configuration directory as mptd does, and collects what it would say.
class Checker {
public:
    explicit Checker(fs::path directory) : directory_(std::move(directory)) {}

    void check()
    {
        std::error_code error;
        if (!fs::is_directory(directory_, error))
            throw CommandError(kConfig, fmt::format("{} is no directory with a configuration: {}",
                                                    printable(directory_.string()),
                                                    error ? error.message() : "not a directory"));
        std::optional<config::InterfaceConfig> interface;
        if (const auto text = read("interface.conf")) {
            auto parsed = config::parse_interface("interface.conf", *text);
            add(parsed.problems);
            interface = std::move(parsed.value);
        }
        check_connections(interface);
        check_template(interface);
    }

    const std::vector<config::Problem> &problems() const { return problems_; }
    std::size_t files() const { return files_; }
    bool is_denied() const { return denied_; }

private:
    void add(const std::vector<config::Problem> &problems, const std::string &folder = {})
    {
        for (config::Problem problem : problems) {
            problem.file = folder + problem.file;
            problems_.push_back(std::move(problem));
        }
    }

    void add_error(const std::string &file, std::string text)
    {
        problems_.push_back({config::Severity::kError, file, 0, {}, {}, std::move(text)});
    }

    static base::Result<base::SecretText> contents(const fs::path &file, std::size_t max_size)
    {
        errno = 0;
        std::ifstream stream(file, std::ios::binary);
        base::SecretText text(max_size + 1, '\0');
        stream.read(text.data(), static_cast<std::streamsize>(text.size()));
        if (!stream.is_open() || stream.bad())
            return base::fail(errno == EACCES ? base::ErrorCode::kNotPermitted : base::ErrorCode::kSystem,
                              fmt::format("cannot be read: {}", std::strerror(errno)));
        text.resize(static_cast<std::size_t>(stream.gcount()));
        if (text.size() > max_size)
            return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("is larger than {} octets", max_size));
        return text;
    }

    // Nothing if it cannot be read, which is a problem then.
    std::optional<base::SecretText> read(const std::string &file)
    {
        ++files_;
        auto text = contents(directory_ / file, kMaxFileSize);
        if (text)
            return std::move(*text);
        denied_ = denied_ || text.error().code == base::ErrorCode::kNotPermitted;
        add_error(file, text.error().text);
        return std::nullopt;
    }

    // The file that has the connection's key, if it may be read. What a credential holds, the service manager knows.
    void check_key(const config::ConnectionConfig &connection)
    {
        const std::string &file = connection.auth_key_file;
        if (file.empty() || config::is_credential(file))
            return;
        const auto add_problem = [&](config::Severity severity, std::string text) {
            add({{severity, connection.file, connection.lines.line("connection", "auth_key_file"), "auth_key_file",
                  file, std::move(text)}},
                "connections/");
        };
        std::error_code error;
        if (fs::exists(file, error) && !fs::is_regular_file(file, error))
            return add_problem(config::Severity::kError, "is no regular file");
        const auto text = contents(file, kMaxKeyFileSize);
        if (!text && text.error().code == base::ErrorCode::kNotPermitted)
            add_problem(config::Severity::kWarning, text.error().text + ", so it is not checked");
        else if (!text)
            add_problem(config::Severity::kError, text.error().text);
        else if (!config::parse_key_file(*text))
            add_problem(config::Severity::kError,
                        "it must hold 64 hexadecimal digits and nothing else, as `mpt genkey` makes them");
    }

    std::vector<std::string> list_connections()
    {
        std::vector<std::string> names;
        std::error_code error;
        fs::directory_iterator entries(directory_ / "connections", error);
        if (error && error != std::errc::no_such_file_or_directory) {
            denied_ = denied_ || error == std::errc::permission_denied;
            add_error("connections", fmt::format("cannot be read: {}", error.message()));
        }
        for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
            const std::string name = entries->path().filename().string();
            if (name.size() > kSuffix.size() && !name.starts_with('.') && name.ends_with(kSuffix))
                names.push_back(name);
        }
        std::sort(names.begin(), names.end());
        return names;
    }

    void check_connections(const std::optional<config::InterfaceConfig> &interface)
    {
        std::vector<config::ConnectionConfig> connections;
        for (const std::string &name : list_connections()) {
            const auto text = read("connections/" + name);
            if (!text)
                continue;
            auto parsed = config::parse_connection(name, *text);
            add(parsed.problems, "connections/");
            if (!parsed.value)
                continue;
            check_key(*parsed.value);
            connections.push_back(std::move(*parsed.value));
        }
        if (interface)
            add(config::check_connections(*interface, connections), "connections/");
    }

    void check_template(const std::optional<config::InterfaceConfig> &interface)
    {
        const std::string name = "conf.template";
        std::error_code error;
        if (!fs::exists(directory_ / "connections" / name, error) && !error)
            return;
        const auto text = read("connections/" + name);
        if (!text)
            return;
        auto parsed = config::parse_template(name, *text);
        add(parsed.problems, "connections/");
        if (!parsed.value)
            return;
        check_key(*parsed.value);
        if (interface)
            add(config::check_connections(*interface, std::vector{*parsed.value}), "connections/");
    }

    fs::path directory_;
    std::vector<config::Problem> problems_;
    std::size_t files_ = 0;
    bool denied_ = false;
};

class Check final : public Command {
public:
    std::vector<std::string> names() const override { return {"check"}; }
    bool works_alone() const override { return true; }

    std::string help() const override
    {
        return R"(mpt check [DIR]

DIR: The directory with interface.conf and connections/. (Optional)
Tells every problem of the configuration files, without mptd.
)";
    }

    void declare(CLI::App &app) override { app.add_option("DIR", directory_)->check(not_empty); }

    ExitStatus run(const Settings &) override
    {
        if (directory_.empty()) {
            const char *environment = std::getenv("MPTD_CONFIG_DIR");
            directory_ = environment != nullptr ? environment : MPTD_CONFIG_DIR;
        }
        Checker checker(directory_);
        checker.check();
        std::size_t errors = 0;
        for (const config::Problem &problem : checker.problems()) {
            const bool is_error = problem.severity == config::Severity::kError;
            errors += is_error ? 1 : 0;
            fmt::print("{}: {}\n", is_error ? "error" : "warning", problem.to_string());
        }
        fmt::print("{}: {} files, {} errors, {} warnings\n", printable(directory_), checker.files(), errors,
                   checker.problems().size() - errors);
        if (errors == 0)
            return kSuccess;
        return checker.is_denied() ? kNotAuthorised : kConfig;
    }

private:
    std::string directory_;
};

} // namespace

std::unique_ptr<Command> make_check()
{
    return std::make_unique<Check>();
}

} // namespace mpt::cli
