// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/octets.hpp"
#include "daemon/base/result.hpp"
#include "daemon/sys/file_descriptor.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mpt::plane {

// A UDP port on all addresses of one IP version, for the control messages. Used by the control thread.
class ControlSocket {
public:
    // kAddressInUse if another program has the port, kNotSupported if the version is switched off.
    static base::Result<ControlSocket> open(base::IpVersion version, std::uint16_t port);

    // One that open() has made in another process, with what waits in it; kNotFound if it is not of that version and
    // port.
    static base::Result<ControlSocket> adopt(sys::FileDescriptor fd, base::IpVersion version, std::uint16_t port);

    base::IpVersion version() const noexcept { return version_; }
    int fd() const noexcept { return fd_.get(); }

    // Sends from `local` (unspecified: any address) by the interface (empty: whichever leads there). The error of an
    // earlier datagram is not told.
    base::Result<void> send(const base::Address &local, const std::string &interface, const base::Endpoint &peer,
                            base::ConstOctets octets);

    // Calls back for what has arrived, a bounded number of datagrams: where from, the address it came to, its octets.
    using Callback =
        std::function<void(const base::Endpoint &peer, const base::Address &local, base::ConstOctets octets)>;
    void receive(const Callback &callback);

private:
    ControlSocket(sys::FileDescriptor fd, base::IpVersion version);

    sys::FileDescriptor fd_;
    base::IpVersion version_;
    std::vector<std::byte> buffer_;
};

} // namespace mpt::plane
