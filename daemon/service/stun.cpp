// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/stun.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace mpt::service {

namespace {

using StunTrouble = core::StunClient::Trouble;

// Between new transactions of several ports: fewer than what RFC 8445 section 14.2 allows where many begin together.
constexpr base::Duration kPace = std::chrono::milliseconds(20);
// Names are looked up again: the servers behind them move. Sooner if it has failed.
constexpr base::Duration kNameLife = std::chrono::minutes(10);
constexpr base::Duration kNameRetry = std::chrono::seconds(15);
constexpr std::size_t kMostAddresses = 4; // of a name
// The same trouble is told again after so long, and so often another address of a port.
constexpr base::Duration kTroubleLife = std::chrono::hours(1);
constexpr base::Duration kNewsLife = std::chrono::minutes(1);

bool is_address(const std::string &host)
{
    return base::Address::parse(host).has_value();
}

std::string port_title(const base::Endpoint &local, const std::string &interface)
{
    return fmt::format("UDP {} on {}", local.to_string(), interface);
}

} // namespace

Stun::Stun(Manager &manager, DataPlane &plane, Resolver &resolver, Random random)
    : manager_(manager), plane_(plane), resolver_(resolver), random_(std::move(random))
{
}

void Stun::update(base::Instant now, Notices &notices)
{
    if (manager_.interface().stun_servers != configured_) {
        configured_ = manager_.interface().stun_servers;
        told_.clear();
        if (!is_resolving_)
            resolve_at_ = now;
    }
    follow_ports(now);
    follow_servers(now, notices);
    on_deadline(now, notices);
}

// A client for each local port whose paths have sockets, and want to know.
void Stun::follow_ports(base::Instant now)
{
    std::map<Port, core::StunClient> clients;
    for (const auto &record : manager_.connections())
        for (std::size_t i = 0; i < record->paths.size() && !configured_.empty(); ++i) {
            const PathRecord &path = record->paths[i];
            if (!record->config.paths[i].public_ipaddr.is_unspecified() || !path.waits_for.empty())
                continue;
            const Port port{path.parameters.local, path.parameters.interface};
            auto present = clients_.extract(port);
            if (!present.empty())
                clients.insert(std::move(present));
            else
                clients.try_emplace(port, port.first.address.version());
        }
    clients_ = std::move(clients);
    if (configured_.empty()) // nobody says any more that what was found is still so
        for (const auto &record : manager_.connections())
            for (const PathRecord &path : record->paths)
                if (path.found)
                    manager_.set_found(path.parameters.local, path.parameters.interface, std::nullopt);
    for (const auto &[port, client] : clients_) // others with this port may be new
        if (client.found())
            manager_.set_found(port.first, port.second, client.found());
    if (clients_.empty() || std::all_of(configured_.begin(), configured_.end(),
                                        [](const config::StunServer &server) { return is_address(server.host); }))
        resolve_at_.reset();
    else if (!resolve_at_ && !is_resolving_)
        resolve_at_ = now;
}

void Stun::follow_servers(base::Instant now, Notices &notices)
{
    std::vector<base::Endpoint> servers;
    for (const config::StunServer &server : configured_) {
        const auto literal = base::Address::parse(server.host);
        const auto named = addresses_.find(server.host);
        const std::vector<base::Address> addresses = literal                     ? std::vector{*literal}
                                                     : named != addresses_.end() ? named->second
                                                                                 : std::vector<base::Address>{};
        for (const base::Address &address : addresses)
            if (const base::Endpoint endpoint{address, server.port};
                std::find(servers.begin(), servers.end(), endpoint) == servers.end())
                servers.push_back(endpoint);
    }
    if (clients_.empty())
        servers.clear();
    if (servers != servers_) {
        servers_ = servers;
        std::vector<base::Address> addresses;
        for (const base::Endpoint &server : servers_)
            if (std::find(addresses.begin(), addresses.end(), server.address) == addresses.end())
                addresses.push_back(server.address);
        plane_.set_stun_servers(servers_);
        auto done = plane_.commit();
        if (done)
            done = manager_.set_stun_servers(addresses, notices);
        if (!done)
            notices.push_back({Notice::Level::kError, done.error().text});
    }
    for (auto &[port, client] : clients_) {
        std::vector<base::Endpoint> reachable;
        for (const base::Endpoint &server : servers_)
            if (server.address.version() == port.first.address.version())
                reachable.push_back(server);
        client.set_servers(now, reachable);
    }
}

std::optional<base::Instant> Stun::deadline() const
{
    std::optional<base::Instant> next = resolve_at_;
    for (const auto &[port, client] : clients_)
        if (const auto deadline = client.deadline()) {
            const base::Instant due = client.is_asking() ? *deadline : std::max(*deadline, next_question_);
            next = std::min(next.value_or(due), due);
        }
    return next;
}

void Stun::on_deadline(base::Instant now, Notices &notices)
{
    if (resolve_at_ && *resolve_at_ <= now)
        resolve(now, notices);
    ask(now, notices);
}

void Stun::ask(base::Instant now, Notices &notices)
{
    for (auto &[port, client] : clients_) {
        const auto deadline = client.deadline();
        if (!deadline || *deadline > now || (!client.is_asking() && next_question_ > now))
            continue;
        if (!client.is_asking())
            next_question_ = now + kPace;
        const auto step = client.on_deadline(now, random_());
        if (step.outcome)
            take(now, port, client, *step.outcome, notices);
        if (!step.request)
            continue;
        std::array<std::byte, proto::kStunRequestSize> request;
        proto::encode_stun_request(step.request->transaction, request);
        // One that cannot be sent is as good as lost: it is sent again.
        static_cast<void>(plane_.send_from(port.first, port.second, step.request->server, request));
    }
}

void Stun::on_answer(base::Instant now, const base::Endpoint &server, base::ConstOctets answer, Notices &notices)
{
    const auto decoded = proto::decode_stun_answer(answer);
    if (!decoded)
        return;
    const proto::RandomNumber random = random_();
    for (auto &[port, client] : clients_)
        if (const auto outcome = client.on_answer(now, server, *decoded, random))
            return take(now, port, client, *outcome, notices);
}

void Stun::take(base::Instant now, const Port &port, const core::StunClient &client,
                const core::StunClient::Outcome &outcome, Notices &notices)
{
    const std::string asker = port_title(port.first, port.second);
    const std::string server = title_of(outcome.server);
    if (!outcome.trouble) {
        const bool is_new = manager_.set_found(port.first, port.second, client.found());
        if (is_new && is_to_be_told(now, {asker, "", {}}, kNewsLife))
            notices.push_back({Notice::Level::kInfo, fmt::format("{} is {} to others, as the STUN server {} says",
                                                                 asker, client.found()->to_string(), server)});
        return;
    }
    std::string what;
    switch (*outcome.trouble) {
    case StunTrouble::kSilent:
        what = "does not answer";
        break;
    case StunTrouble::kRefused:
        what = fmt::format("refuses, with error {}", outcome.error);
        break;
    case StunTrouble::kUnusable:
        what = "answers without an address";
        break;
    case StunTrouble::kImpossible:
        what = fmt::format("says that the public address is {}, which cannot be", outcome.said->to_string());
        break;
    }
    const std::optional<base::Endpoint> before = found_before(port);
    if (is_to_be_told(now, {asker, server, *outcome.trouble}, kTroubleLife))
        notices.push_back({Notice::Level::kWarning,
                           fmt::format("{}: the STUN server {} {}: {}", asker, server, what,
                                       before ? fmt::format("the public address stays {}", before->to_string())
                                              : "no server has told the public address yet")});
}

// Also by an earlier client of the port, before its interface was down.
std::optional<base::Endpoint> Stun::found_before(const Port &port) const
{
    for (const auto &record : manager_.connections())
        for (const PathRecord &path : record->paths)
            if (path.parameters.local == port.first && path.parameters.interface == port.second && path.found)
                return path.found;
    return std::nullopt;
}

bool Stun::is_to_be_told(base::Instant now, const Matter &matter, base::Duration life)
{
    std::erase_if(told_, [&](const auto &entry) { return now - entry.second >= kTroubleLife; });
    const auto [at, is_new] = told_.try_emplace(matter, now);
    if (!is_new && now - at->second < life)
        return false;
    at->second = now;
    return true;
}

std::string Stun::title_of(const base::Endpoint &server) const
{
    for (const config::StunServer &configured : configured_) {
        const auto named = addresses_.find(configured.host);
        if (configured.port == server.port && named != addresses_.end() &&
            std::find(named->second.begin(), named->second.end(), server.address) != named->second.end())
            return fmt::format("{} ({})", configured.host, server.to_string());
    }
    return server.to_string();
}

// ---- names

void Stun::resolve(base::Instant now, Notices &notices)
{
    std::vector<std::string> names;
    for (const config::StunServer &server : configured_)
        if (!is_address(server.host) && std::find(names.begin(), names.end(), server.host) == names.end())
            names.push_back(server.host);
    resolve_at_.reset();
    if (names.empty())
        return;
    const auto started = resolver_.resolve(names);
    is_resolving_ = started.has_value();
    if (started)
        return;
    resolve_at_ = now + kNameRetry;
    if (is_to_be_told(now, {"", "", {}}, kTroubleLife))
        notices.push_back({Notice::Level::kWarning, started.error().text});
}

void Stun::on_resolved(base::Instant now, const std::vector<ResolvedName> &names, Notices &notices)
{
    is_resolving_ = false;
    bool has_failed = false;
    for (const ResolvedName &one : names) {
        if (one.addresses.empty()) { // those that were known before are still tried
            has_failed = true;
            if (is_to_be_told(now, {"", one.name, {}}, kTroubleLife))
                notices.push_back(
                    {Notice::Level::kWarning,
                     fmt::format("the STUN server {} has no address: {}; it is looked up again every {} s", one.name,
                                 one.failure, std::chrono::duration_cast<std::chrono::seconds>(kNameRetry).count())});
            continue;
        }
        std::vector<base::Address> &addresses = addresses_[one.name];
        addresses = one.addresses;
        addresses.resize(std::min(addresses.size(), kMostAddresses));
    }
    const auto is_wanted = [&](const auto &entry) {
        return std::any_of(configured_.begin(), configured_.end(),
                           [&](const config::StunServer &server) { return server.host == entry.first; });
    };
    std::erase_if(addresses_, [&](const auto &entry) { return !is_wanted(entry); });
    const bool is_complete = std::all_of(configured_.begin(), configured_.end(), [&](const config::StunServer &server) {
        return is_address(server.host) || addresses_.contains(server.host);
    });
    resolve_at_ = now + (has_failed ? kNameRetry : is_complete ? kNameLife : base::Duration::zero());
    update(now, notices);
}

} // namespace mpt::service
