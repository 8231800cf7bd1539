// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/name_resolver.hpp"

#include "daemon/sys/capabilities.hpp"
#include "daemon/sys/error.hpp"
#include "daemon/sys/file_descriptor.hpp"
#include "daemon/sys/socket_address.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <thread>
#include <utility>

namespace mpt {

namespace {

service::ResolvedName resolve_one(const std::string &name)
{
    service::ResolvedName resolved{name, {}, "it has neither an IPv4 nor an IPv6 address"};
    addrinfo hints{};
    hints.ai_socktype = SOCK_DGRAM;
    addrinfo *all = nullptr;
    if (const int error = getaddrinfo(name.c_str(), nullptr, &hints, &all); error != 0) {
        resolved.failure = error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error);
        return resolved;
    }
    for (const addrinfo *one = all; one != nullptr; one = one->ai_next) {
        if (one->ai_family != AF_INET && one->ai_family != AF_INET6)
            continue;
        sys::SocketAddress address;
        std::memcpy(&address.v6, one->ai_addr, std::min<std::size_t>(one->ai_addrlen, sizeof address.v6));
        resolved.addresses.push_back(sys::endpoint_of(address).address);
    }
    freeaddrinfo(all);
    std::sort(resolved.addresses.begin(), resolved.addresses.end());
    return resolved;
}

} // namespace

struct NameResolver::Attempt {
    std::promise<std::vector<service::ResolvedName>> promise;
    sys::FileDescriptor done; // eventfd, readable when the promise is kept
};

base::Result<void> NameResolver::resolve(const std::vector<std::string> &names)
{
    auto attempt = std::make_shared<Attempt>();
    attempt->done = sys::FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!attempt->done.valid())
        return sys::system_failure(errno, "making an eventfd");
    auto source = loop_.watch(attempt->done.get(), EPOLLIN, [this](std::uint32_t) { finish(); });
    if (!source)
        return base::Failure(source.error());
    try {
        std::thread([attempt, names]() noexcept {
            sys::drop_capabilities();
            std::vector<service::ResolvedName> all;
            all.reserve(names.size());
            for (const std::string &name : names)
                all.push_back(resolve_one(name));
            attempt->promise.set_value(std::move(all));
            eventfd_write(attempt->done.get(), 1);
        }).detach();
    } catch (const std::system_error &error) {
        return sys::system_failure(error.code().value(), "starting a thread that looks up names");
    }
    source_ = std::move(*source);
    attempt_ = std::move(attempt);
    return {};
}

void NameResolver::finish()
{
    const auto attempt = std::exchange(attempt_, nullptr);
    source_.disable();
    callback_(attempt->promise.get_future().get());
}

} // namespace mpt
