// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>

namespace linkemu {

// A tap device in a named network namespace (/run/netns), up, and gone when the object goes. Errors of the system are
// thrown as std::system_error that names device and namespace.
class Tap {
public:
    Tap(const std::string &netns, const std::string &device);
    ~Tap();
    Tap(const Tap &) = delete;
    Tap &operator=(const Tap &) = delete;

    // Non-blocking; one read or write is one Ethernet frame.
    int descriptor() const { return descriptor_; }

    void set_carrier(bool on);

private:
    std::string name_;
    int descriptor_ = -1;
};

} // namespace linkemu
