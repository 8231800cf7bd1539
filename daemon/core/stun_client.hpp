// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/time.hpp"
#include "daemon/proto/control.hpp"
#include "daemon/proto/stun.hpp"

#include <cstddef>
#include <optional>
#include <vector>

namespace mpt::core {

// Finds what NATs make of a local port, and keeps them from forgetting it: asks STUN servers from there (RFC 8489), one
// at a time in their order, and goes on asking the one that answers. A server that is silent, refuses, or says what
// cannot be makes it go on to the next one; what was found before stays.
class StunClient {
public:
    // Without an answer the first server is asked again after so long, and a good answer is as old before it is asked
    // for once more; up to a fifth less, by chance. Many NATs forget after 30 s.
    static constexpr base::Duration kInterval = std::chrono::seconds(25);

    enum class Trouble {
        kSilent,    // no answer to any of its requests
        kRefused,   // an error, `error`
        kUnusable,  // a success that says no address
        kImpossible // one that no NAT can have, `said`
    };

    // A request to be sent from the port.
    struct Request {
        base::Endpoint server;
        proto::StunTransaction transaction;
    };
    // How asking a server has ended.
    struct Outcome {
        base::Endpoint server;
        std::optional<Trouble> trouble{}; // nothing: found() is what it says
        std::uint16_t error = 0;
        std::optional<base::Endpoint> said{};
    };
    struct Step {
        std::optional<Request> request;
        std::optional<Outcome> outcome;
    };

    // The port's own version is that of the servers and of what can be found.
    explicit StunClient(base::IpVersion version) : version_(version) {}

    // Asks these from now on; a transaction with one of others is given up. Nothing changes if they are the same.
    void set_servers(base::Instant now, const std::vector<base::Endpoint> &servers);

    // What is due. `random` is for the transaction that may begin.
    Step on_deadline(base::Instant now, const proto::RandomNumber &random);
    // An answer that came to the port from `source`; nothing if it is none to what was asked.
    std::optional<Outcome> on_answer(base::Instant now, const base::Endpoint &source, const proto::StunAnswer &answer,
                                     const proto::RandomNumber &random);

    // When on_deadline() has something to do; nothing if there are no servers.
    std::optional<base::Instant> deadline() const noexcept;
    // A server has been asked and may still answer.
    bool is_asking() const noexcept { return transaction_.has_value(); }
    // The last good answer.
    const std::optional<base::Endpoint> &found() const noexcept { return found_; }

private:
    struct Transaction {
        proto::StunTransaction id;
        unsigned sent; // requests
        base::Duration wait;
    };

    void fail(base::Instant now, const proto::RandomNumber &random);
    bool is_possible(const base::Endpoint &mapped) const;

    base::IpVersion version_;
    std::vector<base::Endpoint> servers_;
    std::size_t current_ = 0; // the server that is asked, or will be
    std::size_t failed_ = 0;  // servers in a row
    std::optional<Transaction> transaction_;
    base::Instant due_{};
    std::optional<base::Endpoint> found_;
};

} // namespace mpt::core
