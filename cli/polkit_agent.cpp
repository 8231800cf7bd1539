// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/polkit_agent.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mpt::cli {

namespace {

constexpr const char *kAgent = "/usr/bin/pkttyagent";
constexpr int kStartMilliseconds = 10000; // to tell polkit that it is there

} // namespace

PolkitAgent::PolkitAgent()
{
    std::array<int, 2> ready{};
    if (access(kAgent, X_OK) != 0 || pipe2(ready.data(), O_CLOEXEC) != 0)
        return;
    const std::string descriptor = std::to_string(ready[1]);
    process_ = fork();
    if (process_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        fcntl(ready[1], F_SETFD, 0);
        // --fallback: an agent of the desktop goes before it.
        execl(kAgent, kAgent, "--notify-fd", descriptor.c_str(), "--fallback", nullptr);
        _exit(127);
    }
    close(ready[1]);
    // The agent closes its end when it is registered, or by ending.
    pollfd end{ready[0], POLLIN, 0};
    while (process_ > 0 && poll(&end, 1, kStartMilliseconds) < 0 && errno == EINTR) {
    }
    close(ready[0]);
}

PolkitAgent::~PolkitAgent()
{
    if (process_ <= 0)
        return;
    kill(process_, SIGTERM);
    kill(process_, SIGCONT);
    while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

} // namespace mpt::cli
