// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/octets.hpp"
#include "daemon/base/result.hpp"
#include "daemon/sys/file_descriptor.hpp"

#include <string>
#include <sys/uio.h>

namespace mpt::plane {

// A queue of a tun device, opened with IFF_VNET_HDR: what is read and written has a virtio_net_hdr of
// proto::kOffloadHeaderSize octets in front.
class Tun {
public:
    // Makes the device, which is gone when the last descriptor is closed. kNotPermitted without CAP_NET_ADMIN,
    // kAlreadyExists if there is an interface of that name.
    static base::Result<Tun> open(const std::string &name);
    // A device that open() has made in another process; kNotFound if the descriptor is not one of that name (any more).
    static base::Result<Tun> adopt(sys::FileDescriptor fd, const std::string &name);

    int fd() const noexcept { return fd_.get(); }
    const std::string &name() const noexcept { return name_; }
    // True if the kernel takes UDP super-packets here (Linux 6.2 and later).
    bool takes_udp_super_packets() const noexcept { return udp_; }

    // One packet into `buffer`, never blocking: its size, 0 if there is none, or minus the error number.
    ssize_t read(base::Octets buffer) const noexcept;
    // One packet gathered from its parts: 0, or the error number.
    int write(std::span<const iovec> parts) const noexcept;

private:
    static base::Result<Tun> with_offloads(sys::FileDescriptor fd, const std::string &name);
    Tun(sys::FileDescriptor fd, std::string name, bool udp);

    sys::FileDescriptor fd_;
    std::string name_;
    bool udp_;
};

} // namespace mpt::plane
