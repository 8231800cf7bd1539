// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/loader.hpp"

#include "daemon/config/check.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <utility>

namespace mpt::service {

namespace {

constexpr std::string_view kTemplateFile = "conf.template";
constexpr std::string_view kSuffix = ".conf";
constexpr std::size_t kMaxFileName = 240; // octets; with ".disabled" it still fits into NAME_MAX

// "FILE:LINE: key = value: ..." from the configuration directory on.
std::string described(const config::Problem &problem)
{
    return (problem.file == kInterfaceFile ? "" : "connections/") + problem.to_string();
}

void tell(const std::vector<config::Problem> &problems, Notices &notices)
{
    for (const config::Problem &problem : problems)
        notices.push_back(
            {problem.severity == config::Severity::kError ? Notice::Level::kError : Notice::Level::kWarning,
             described(problem)});
}

// What to do about an auth_key_file that cannot be read.
std::string advice(const std::string &auth_key_file, base::ErrorCode code)
{
    if (config::is_credential(auth_key_file))
        return " (mptd's unit must pass it, see CREDENTIALS in mptd(8); then restart mptd)";
    if (code == base::ErrorCode::kNotFound)
        return fmt::format(" (mpt genkey {} makes one; the peer needs the same)", auth_key_file);
    if (code == base::ErrorCode::kNotPermitted)
        return " (let the user that mptd runs as read it, such as with chgrp mptd and chmod g+r)";
    return "";
}

// Sorts out which of the files that were read may be used.
class Selection {
public:
    Selection(const config::InterfaceConfig &interface, const std::vector<const ConnectionRecord *> &running,
              Loaded &loaded, Notices &notices)
        : interface_(interface), running_(running), loaded_(loaded), notices_(notices)
    {
    }

    const ConnectionRecord *running(const std::string &file) const
    {
        const auto found = std::find_if(running_.begin(), running_.end(),
                                        [&](const ConnectionRecord *record) { return record->config.file == file; });
        return found == running_.end() ? nullptr : *found;
    }

    void reject(const std::string &file, std::vector<std::string> errors)
    {
        std::vector<std::string> &all = loaded_.problems[file];
        all.insert(all.end(), errors.begin(), errors.end());
        notices_.push_back({Notice::Level::kError,
                            running(file) == nullptr
                                ? fmt::format("connections/{} is left out", file)
                                : fmt::format("connections/{} is not applied: its connection goes on as it was", file),
                            Event::kFileLeftOut});
    }

    void add(config::ConnectionConfig candidate) { candidates_.push_back(std::move(candidate)); }

    // Takes out those that exclude each other or what is running.
    void resolve()
    {
        for (bool first = true;; first = false) {
            const std::vector<config::Problem> problems = config::check_connections(interface_, together(candidates_));
            if (first)
                tell_of(candidates_, problems);
            std::set<std::string> wrong;
            bool harms_running = false;
            for (const config::Problem &problem : problems) {
                if (problem.severity != config::Severity::kError)
                    continue;
                if (is_candidate(problem.file))
                    wrong.insert(problem.file);
                else
                    harms_running = true;
            }
            if (wrong.empty() && (!harms_running || candidates_.empty()))
                return;
            if (wrong.empty())
                take_out_harmful(problems);
            for (const std::string &file : wrong)
                take_out(file, own_problems(file, problems));
        }
    }

    std::vector<config::ConnectionConfig> take() { return std::move(candidates_); }

private:
    bool is_candidate(const std::string &file) const
    {
        return std::any_of(candidates_.begin(), candidates_.end(),
                           [&](const config::ConnectionConfig &config) { return config.file == file; });
    }

    // What would run with these.
    std::vector<config::ConnectionConfig> together(const std::vector<config::ConnectionConfig> &accepted) const
    {
        std::vector<config::ConnectionConfig> all = accepted;
        for (const ConnectionRecord *record : running_)
            if (std::none_of(accepted.begin(), accepted.end(), [&](const config::ConnectionConfig &config) {
                    return config.file == record->config.file;
                }))
                all.push_back(record->config);
        return all;
    }

    void tell_of(const std::vector<config::ConnectionConfig> &candidates, const std::vector<config::Problem> &problems)
    {
        for (const config::Problem &problem : problems)
            if (std::any_of(candidates.begin(), candidates.end(),
                            [&](const config::ConnectionConfig &config) { return config.file == problem.file; }))
                tell({problem}, notices_);
    }

    static std::vector<config::Problem> own_problems(const std::string &file,
                                                     const std::vector<config::Problem> &problems)
    {
        std::vector<config::Problem> own;
        std::copy_if(problems.begin(), problems.end(), std::back_inserter(own),
                     [&](const config::Problem &problem) { return problem.file == file; });
        return own;
    }

    void take_out(const std::string &file, const std::vector<config::Problem> &problems)
    {
        std::erase_if(candidates_, [&](const config::ConnectionConfig &config) { return config.file == file; });
        reject(file, errors_of(problems));
    }

    // New files that exclude a running connection whose file name comes later: the running one is in the right. It is
    // they without whom an error is gone; of several those who leave the fewest, for when one goes back to what runs
    // that may exclude another.
    void take_out_harmful(const std::vector<config::Problem> &problems)
    {
        std::map<std::string, std::vector<config::Problem>> harm; // by file
        std::size_t fewest = problems.size();
        for (const config::ConnectionConfig &candidate : candidates_) {
            std::vector<config::ConnectionConfig> rest = candidates_;
            std::erase_if(rest, [&](const config::ConnectionConfig &other) { return other.file == candidate.file; });
            const std::vector<config::Problem> left = config::check_connections(interface_, together(rest));
            std::vector<config::Problem> gone;
            std::copy_if(problems.begin(), problems.end(), std::back_inserter(gone),
                         [&](const config::Problem &problem) {
                             return problem.severity == config::Severity::kError &&
                                    std::find(left.begin(), left.end(), problem) == left.end();
                         });
            const std::size_t count = errors_of(left).size();
            if (gone.empty() || count > fewest)
                continue;
            if (count < fewest)
                harm.clear();
            fewest = count;
            harm[candidate.file] = std::move(gone);
        }
        for (const auto &[file, errors] : harm) {
            tell(errors, notices_);
            take_out(file, errors);
        }
        if (harm.empty()) // then they harm only together
            for (const config::ConnectionConfig &candidate : std::vector(candidates_))
                take_out(candidate.file, problems);
    }

    const config::InterfaceConfig &interface_;
    const std::vector<const ConnectionRecord *> &running_;
    Loaded &loaded_;
    Notices &notices_;
    std::vector<config::ConnectionConfig> candidates_;
};

bool is_of_credential(const config::ConnectionConfig &config)
{
    return !config.auth_key_file.empty() && config::is_credential(config.auth_key_file);
}

void load_connection(ConfigDirectory &directory, const std::string &file, Selection &selection, Notices &notices)
{
    const auto text = directory.read_connection(file);
    if (!text) {
        notices.push_back({Notice::Level::kError, text.error().text});
        selection.reject(file, {text.error().text});
        return;
    }
    auto parsed = config::parse_connection(file, *text);
    const ConnectionRecord *running = selection.running(file);
    Notices about_key;
    const auto key = parsed.value ? load_key(directory, *parsed.value, about_key) : base::Result<void>{};
    if (parsed.value && running != nullptr && is_of_credential(*parsed.value))
        notices.push_back({Notice::Level::kInfo,
                           fmt::format("connections/{}: the key is as the service manager passed it when mptd was "
                                       "started: a new one needs a restart of mptd",
                                       file)});
    if (parsed.value && key && running != nullptr && running->filed == *parsed.value &&
        running->filed.key() == parsed.value->key())
        return;
    tell(parsed.problems, notices);
    notices.insert(notices.end(), about_key.begin(), about_key.end());
    if (!key) {
        notices.push_back({Notice::Level::kError, key.error().text});
        selection.reject(file, {key.error().text});
        return;
    }
    if (parsed.value && parsed.value->has_key() && parsed.value->auth_key_file.empty() &&
        directory.is_readable_by_all(file))
        notices.push_back(
            {Notice::Level::kWarning,
             fmt::format("connections/{} has a key, and every user may read it: chmod o= connections/{}", file, file)});
    if (!parsed.value) {
        selection.reject(file, errors_of(parsed.problems));
    } else if (parsed.value->is_complete()) {
        selection.add(std::move(*parsed.value));
    } else if (running == nullptr) {
        notices.push_back(
            {Notice::Level::kInfo,
             fmt::format("connection {} waits: its file says too little about the peer", parsed.value->name)});
    } else {
        selection.reject(file, {fmt::format("connections/{}: it says too little about the peer", file)});
    }
}

} // namespace

std::vector<std::string> errors_of(const std::vector<config::Problem> &problems,
                                   const std::vector<config::Problem> &known)
{
    std::vector<std::string> errors;
    for (const config::Problem &problem : problems)
        if (problem.severity == config::Severity::kError &&
            std::find(known.begin(), known.end(), problem) == known.end())
            errors.push_back(described(problem));
    return errors;
}

base::Result<config::InterfaceConfig> load_interface(ConfigDirectory &directory, Notices &notices)
{
    const auto text = directory.read_interface();
    if (!text && text.error().code == base::ErrorCode::kNotPermitted)
        return base::fail(base::ErrorCode::kNotPermitted,
                          text.error().text + " (run mptd as root, or as a user that its owner, group and mode, and "
                                              "those of its directory, let read it)");
    if (!text)
        return base::fail(base::ErrorCode::kInvalidConfig, text.error().text);
    auto parsed = config::parse_interface(kInterfaceFile, *text);
    tell(parsed.problems, notices);
    if (!parsed.value)
        return base::fail(base::ErrorCode::kInvalidConfig, "interface.conf has errors: nothing is started");
    return std::move(*parsed.value);
}

base::Result<config::ConnectionConfig> load_template(ConfigDirectory &directory,
                                                     const config::InterfaceConfig &interface, Notices &notices)
{
    const auto text = directory.read_template();
    if (!text)
        return base::Failure(text.error());
    auto parsed = config::parse_template(kTemplateFile, *text);
    if (parsed.value) {
        const auto problems = config::check_connections(interface, std::span(&*parsed.value, 1));
        parsed.problems.insert(parsed.problems.end(), problems.begin(), problems.end());
    }
    tell(parsed.problems, notices);
    if (const auto errors = errors_of(parsed.problems); !errors.empty())
        return base::fail(base::ErrorCode::kInvalidConfig, errors.front());
    if (auto key = load_key(directory, *parsed.value, notices); !key) {
        notices.push_back({Notice::Level::kError, key.error().text});
        return base::Failure(key.error());
    }
    return std::move(*parsed.value);
}

base::Result<void> load_key(ConfigDirectory &directory, config::ConnectionConfig &config, Notices &notices)
{
    const std::string &name = config.auth_key_file;
    if (name.empty())
        return {};
    const auto problem = [&](std::string text) {
        return described({config::Severity::kError, config.file, config.lines.line("connection", "auth_key_file"),
                          "auth_key_file", name, std::move(text)});
    };
    const auto file = directory.read_key(name);
    if (!file)
        return base::fail(base::ErrorCode::kInvalidConfig,
                          problem(file.error().text + advice(name, file.error().code)));
    const auto key = config::parse_key_file(file->text);
    if (!key)
        return base::fail(base::ErrorCode::kInvalidConfig,
                          problem("it must hold 64 hexadecimal digits and nothing else, as `mpt genkey` makes them"));
    if (file->readable_by_all)
        notices.push_back({Notice::Level::kWarning, problem("every user may read the key: take that right away with "
                                                            "chmod o=")});
    config.read_key.text = *key;
    return {};
}

base::Result<void> check_file_name(std::string_view file)
{
    const bool is_printable =
        std::all_of(file.begin(), file.end(), [](unsigned char c) { return c > ' ' && c != 0x7f; });
    if (file.size() > kSuffix.size() && file.size() <= kMaxFileName && file.ends_with(kSuffix) && is_printable &&
        !file.starts_with('.') && file.find('/') == std::string_view::npos)
        return {};
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "this is no name of a connection file: NAME.conf, without a directory and blanks");
}

base::Result<Loaded> load_connections(ConfigDirectory &directory, const config::InterfaceConfig &interface,
                                      const std::vector<std::string> &files,
                                      const std::vector<const ConnectionRecord *> &running, Notices &notices)
{
    auto present = directory.list_connections();
    if (!present)
        return base::Failure(present.error());
    Loaded loaded;
    loaded.present = std::move(*present);
    Selection selection(interface, running, loaded, notices);
    for (const std::string &file : files.empty() ? loaded.present : files) {
        if (std::find(loaded.present.begin(), loaded.present.end(), file) == loaded.present.end())
            return base::fail(base::ErrorCode::kNotFound, fmt::format("there is no file connections/{}", file));
        if (auto named = check_file_name(file); !named) {
            const std::string what = fmt::format("connections/{}: {}", file, named.error().text);
            notices.push_back({Notice::Level::kError, what});
            selection.reject(file, {what});
            continue;
        }
        load_connection(directory, file, selection, notices);
    }
    selection.resolve();
    loaded.accepted = selection.take();
    return loaded;
}

} // namespace mpt::service
