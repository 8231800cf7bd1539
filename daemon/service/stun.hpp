// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/stun_client.hpp"
#include "daemon/service/manager.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace mpt::service {

// Public addresses that are to be found (public_ipaddr = 0.0.0.0 or ::): the STUN servers of interface.conf are asked
// from each local port of such paths, over its own socket.
class Stun {
public:
    using Random = std::function<proto::RandomNumber()>; // numbers that nobody can predict

    // All stay the caller's.
    Stun(Manager &manager, DataPlane &plane, Resolver &resolver, Random random);

    // Paths or settings may have changed. Ports that are new, or open again, are asked for at once.
    void update(base::Instant now, Notices &notices);
    // An answer has come from a server to the port of a path.
    void on_answer(base::Instant now, const base::Endpoint &server, base::ConstOctets answer, Notices &notices);
    void on_resolved(base::Instant now, const std::vector<ResolvedName> &names, Notices &notices);

    // When on_deadline() wants to be called next; nothing if never.
    std::optional<base::Instant> deadline() const;
    void on_deadline(base::Instant now, Notices &notices);

private:
    using Port = std::pair<base::Endpoint, std::string>; // local endpoint, interface
    // What people are told: of which port, of which server, and what; no trouble: what was found, or that a name was
    // not.
    using Matter = std::tuple<std::string, std::string, std::optional<core::StunClient::Trouble>>;

    void follow_ports(base::Instant now);
    void follow_servers(base::Instant now, Notices &notices);
    void resolve(base::Instant now, Notices &notices);
    void ask(base::Instant now, Notices &notices);
    void take(base::Instant now, const Port &port, const core::StunClient &client,
              const core::StunClient::Outcome &outcome, Notices &notices);
    std::optional<base::Endpoint> found_before(const Port &port) const;
    // Once in `life` at most.
    bool is_to_be_told(base::Instant now, const Matter &matter, base::Duration life);
    // "NAME (ADDRESS:PORT)" if it has a name in interface.conf.
    std::string title_of(const base::Endpoint &server) const;

    Manager &manager_;
    DataPlane &plane_;
    Resolver &resolver_;
    const Random random_;
    std::map<Port, core::StunClient> clients_;
    std::vector<config::StunServer> configured_;
    std::map<std::string, std::vector<base::Address>> addresses_; // of the names among them
    std::vector<base::Endpoint> servers_;                         // all, in their order
    std::optional<base::Instant> resolve_at_;                     // nothing: no need, or it is under way
    bool is_resolving_ = false;
    base::Instant next_question_{}; // to no server before
    std::map<Matter, base::Instant> told_;
};

} // namespace mpt::service
