// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/plane/tun.hpp"

#include "daemon/sys/error.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

namespace mpt::plane {

namespace {

constexpr const char *kDevice = "/dev/net/tun";

constexpr short kFlags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;

// Since Linux 6.2, and so not in Debian 12's headers.
constexpr unsigned kTunUso4 = 0x20;
constexpr unsigned kTunUso6 = 0x40;

// What has just failed, and what to do about it.
base::Failure failure(const std::string &what)
{
    switch (const int error = errno) {
    case EPERM:
    case EACCES:
        return sys::system_failure(error, what + " (run mptd as root, or give it CAP_NET_ADMIN)");
    case EBUSY:
        return sys::system_failure(error, what + " (another program, or another mptd, uses that name)");
    case EINVAL:
        return base::fail(base::ErrorCode::kAlreadyExists,
                          what + ": an interface of that name and another kind is there, or it is no name for one");
    case ENOENT:
    case ENODEV:
        return sys::system_failure(error, what + " (is the kernel's tun module there?)");
    default:
        return sys::system_failure(error, what);
    }
}

} // namespace

Tun::Tun(sys::FileDescriptor fd, std::string name, bool udp) : fd_(std::move(fd)), name_(std::move(name)), udp_(udp)
{
}

base::Result<Tun> Tun::open(const std::string &name)
{
    sys::FileDescriptor fd(::open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!fd.valid())
        return failure(fmt::format("opening {}", kDevice));
    ifreq request{};
    if (name.size() >= sizeof request.ifr_name)
        return base::fail(base::ErrorCode::kInvalidArgument,
                          fmt::format("'{}' is too long for the name of an interface", name));
    std::copy(name.begin(), name.end(), request.ifr_name);
    request.ifr_flags = kFlags;
    if (ioctl(fd.get(), TUNSETIFF, &request) != 0)
        return failure(fmt::format("making the tunnel interface {}", name));
    // One that outlives its last descriptor would keep what we add to it.
    if (ioctl(fd.get(), TUNGETIFF, &request) != 0 || (request.ifr_flags & IFF_PERSIST) != 0)
        return base::fail(
            base::ErrorCode::kAlreadyExists,
            fmt::format("making the tunnel interface {0}: another program has made a persistent one of that "
                        "name ('ip tuntap delete {0} mode tun' removes it)",
                        name));
    return with_offloads(std::move(fd), name);
}

base::Result<Tun> Tun::adopt(sys::FileDescriptor fd, const std::string &name)
{
    ifreq request{};
    if (ioctl(fd.get(), TUNGETIFF, &request) != 0 || name != request.ifr_name ||
        (request.ifr_flags & (kFlags | IFF_PERSIST)) != kFlags)
        return base::fail(base::ErrorCode::kNotFound,
                          fmt::format("the tunnel interface {} is not the one of before", name));
    if (if_nametoindex(name.c_str()) == 0)
        return base::fail(base::ErrorCode::kNotFound,
                          fmt::format("the tunnel interface {} is in another network namespace now", name));
    // Of whoever has had the descriptor: a read that waits would hold up the worker.
    const int flags = fcntl(fd.get(), F_GETFL);
    if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0)
        return sys::system_failure(errno, fmt::format("taking over the tunnel interface {}", name));
    return with_offloads(std::move(fd), name);
}

base::Result<Tun> Tun::with_offloads(sys::FileDescriptor fd, const std::string &name)
{
    constexpr unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    const bool udp = ioctl(fd.get(), TUNSETOFFLOAD, offloads | kTunUso4 | kTunUso6) == 0;
    if (!udp && ioctl(fd.get(), TUNSETOFFLOAD, offloads) != 0 && ioctl(fd.get(), TUNSETOFFLOAD, 0U) != 0)
        return sys::system_failure(errno, fmt::format("setting the offloads of {}", name));
    return Tun(std::move(fd), name, udp);
}

ssize_t Tun::read(base::Octets buffer) const noexcept
{
    const ssize_t size = ::read(fd_.get(), buffer.data(), buffer.size());
    if (size >= 0)
        return size;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int Tun::write(std::span<const iovec> parts) const noexcept
{
    return ::writev(fd_.get(), parts.data(), static_cast<int>(parts.size())) < 0 ? errno : 0;
}

} // namespace mpt::plane
