// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/net/emulator/tap.hpp"

#include "tests/net/emulator/failure.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdexcept>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

namespace linkemu {
namespace {

// Frames the kernel holds for us while we do not get the processor (30 ms of full frames at 1 Gbit/s): a frame must be
// dropped by the emulated queue and not by this one.
constexpr int kTransmitQueue = 4000;

struct Descriptor {
    int number;
    ~Descriptor() { close(number); }
};

int open_or_fail(const std::string &path, int flags)
{
    const int descriptor = open(path.c_str(), flags | O_CLOEXEC);
    if (descriptor < 0)
        fail("cannot open " + path);
    return descriptor;
}

// The calling thread is in another network namespace while this lives.
class Visit {
public:
    explicit Visit(const std::string &netns) : home_{open_or_fail("/proc/thread-self/ns/net", O_RDONLY)}
    {
        const Descriptor there{open_or_fail("/run/netns/" + netns, O_RDONLY)};
        if (setns(there.number, CLONE_NEWNET) < 0)
            fail("cannot enter namespace " + netns);
    }
    ~Visit()
    {
        if (setns(home_.number, CLONE_NEWNET) < 0)
            std::terminate();
    }

private:
    Descriptor home_;
};

void bring_up(ifreq &request, const std::string &name)
{
    const Descriptor control{socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    request.ifr_qlen = kTransmitQueue;
    if (control.number < 0 || ioctl(control.number, SIOCSIFTXQLEN, &request) < 0)
        fail(fmt::format("cannot set the transmit queue of {}", name));
    if (ioctl(control.number, SIOCGIFFLAGS, &request) < 0)
        fail(fmt::format("cannot read the flags of {}", name));
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    if (ioctl(control.number, SIOCSIFFLAGS, &request) < 0)
        fail(fmt::format("cannot bring {} up", name));
}

} // namespace

Tap::Tap(const std::string &netns, const std::string &device) : name_{fmt::format("{}:{}", netns, device)}
{
    ifreq request{};
    if (device.empty() || device.size() >= sizeof request.ifr_name)
        throw std::invalid_argument(fmt::format("'{}' is not a device name of 1 to 15 octets", device));
    std::memcpy(request.ifr_name, device.data(), device.size());

    const Visit visit{netns};
    descriptor_ = open_or_fail("/dev/net/tun", O_RDWR | O_NONBLOCK);
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL);
    try {
        if (ioctl(descriptor_, TUNSETIFF, &request) < 0)
            fail(fmt::format("cannot create the tap {}", name_));
        bring_up(request, name_);
    } catch (...) {
        close(descriptor_);
        throw;
    }
}

Tap::~Tap()
{
    close(descriptor_);
}

void Tap::set_carrier(bool on)
{
    int carrier = on ? 1 : 0;
    if (ioctl(descriptor_, TUNSETCARRIER, &carrier) < 0)
        fail(fmt::format("cannot set the carrier of {}", name_));
}

} // namespace linkemu
