// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/base/secret.hpp"

#include "cli/command.hpp"
#include "cli/text.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <iterator>
#include <string_view>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mpt::cli {

namespace {

constexpr mode_t kMode = 0640; // the group may be that of mptd

// 64 hexadecimal digits and a line end.
base::SecretText make_key()
{
    std::array<unsigned char, 32> octets{};
    // So few come all at once or not at all.
    if (getrandom(octets.data(), octets.size(), 0) != static_cast<ssize_t>(octets.size()))
        throw CommandError(kFailed, fmt::format("the kernel gives no random numbers: {}", std::strerror(errno)));
    base::SecretText text;
    for (const unsigned char octet : octets)
        fmt::format_to(std::back_inserter(text), "{:02x}", octet);
    explicit_bzero(octets.data(), octets.size());
    text += '\n';
    return text;
}

void write_new(const std::string &file, std::string_view text)
{
    const auto failure = [&](int error) {
        return CommandError(error == EACCES || error == EPERM ? kNotAuthorised : kFailed,
                            error == EEXIST
                                ? fmt::format("{} is there already, and is left as it is", printable(file))
                                : fmt::format("{} cannot be written: {}", printable(file), std::strerror(error)));
    };
    const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode);
    if (fd < 0)
        throw failure(errno);
    errno = EIO; // of a write that is short
    const bool written = fchmod(fd, kMode) == 0 &&
                         write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
    const int error = errno;
    close(fd);
    if (written)
        return;
    unlink(file.c_str());
    throw failure(error);
}

class GenKey final : public Command {
public:
    std::vector<std::string> names() const override { return {"genkey"}; }
    bool works_alone() const override { return true; }

    std::string help() const override
    {
        return R"(mpt genkey [FILE]

FILE: The new file to write the key to, for auth_key_file. (Optional)
Makes a key for a connection: 64 random hexadecimal digits. Without FILE they
are printed. A file that exists is not overwritten.
)";
    }

    void declare(CLI::App &app) override { app.add_option("FILE", file_)->check(not_empty); }

    ExitStatus run(const Settings &) override
    {
        const base::SecretText key = make_key();
        if (file_.empty())
            fmt::print("{}", key);
        else
            write_new(file_, key);
        return kSuccess;
    }

private:
    std::string file_;
};

} // namespace

std::unique_ptr<Command> make_genkey()
{
    return std::make_unique<GenKey>();
}

} // namespace mpt::cli
