// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/stun_client.hpp"

#include <algorithm>

namespace mpt::core {

namespace {

// RFC 8489 section 6.2.1: RTO, Rc and Rm.
constexpr base::Duration kFirstWait = std::chrono::milliseconds(500);
constexpr unsigned kMostRequests = 7;
constexpr int kLastWait = 16; // times the first

// Between one and two numbers of the transaction itself, which nobody can guess.
base::Duration interval(const proto::RandomNumber &random)
{
    const auto chance = base::load_be<std::uint16_t>(random.data() + std::tuple_size_v<proto::StunTransaction>);
    return StunClient::kInterval - StunClient::kInterval / 5 * chance / 65536;
}

} // namespace

void StunClient::set_servers(base::Instant now, const std::vector<base::Endpoint> &servers)
{
    if (servers == servers_)
        return;
    servers_ = servers;
    current_ = 0;
    failed_ = 0;
    transaction_.reset();
    due_ = now;
}

std::optional<base::Instant> StunClient::deadline() const noexcept
{
    return servers_.empty() ? std::nullopt : std::optional(due_);
}

StunClient::Step StunClient::on_deadline(base::Instant now, const proto::RandomNumber &random)
{
    Step step;
    if (servers_.empty() || now < due_)
        return step;
    if (transaction_ && transaction_->sent == kMostRequests) {
        step.outcome = Outcome{servers_[current_], Trouble::kSilent};
        fail(now, random);
        return step;
    }
    if (!transaction_) {
        transaction_ = Transaction{{}, 0, kFirstWait};
        std::copy_n(random.begin(), transaction_->id.size(), transaction_->id.begin());
    }
    step.request = Request{servers_[current_], transaction_->id};
    if (++transaction_->sent == kMostRequests) {
        due_ = now + kLastWait * kFirstWait;
    } else {
        due_ = now + transaction_->wait;
        transaction_->wait *= 2;
    }
    return step;
}

std::optional<StunClient::Outcome> StunClient::on_answer(base::Instant now, const base::Endpoint &source,
                                                         const proto::StunAnswer &answer,
                                                         const proto::RandomNumber &random)
{
    if (!transaction_ || source != servers_[current_] || answer.transaction != transaction_->id)
        return std::nullopt;
    Outcome outcome{source, {}, answer.error, answer.mapped};
    if (answer.error != 0)
        outcome.trouble = Trouble::kRefused;
    else if (!answer.mapped)
        outcome.trouble = Trouble::kUnusable;
    else if (!is_possible(*answer.mapped))
        outcome.trouble = Trouble::kImpossible;
    if (outcome.trouble) {
        fail(now, random);
        return outcome;
    }
    transaction_.reset();
    found_ = answer.mapped;
    failed_ = 0;
    due_ = now + interval(random);
    return outcome;
}

// The next server is asked at once, after the last one the first a while later.
void StunClient::fail(base::Instant now, const proto::RandomNumber &random)
{
    transaction_.reset();
    current_ = (current_ + 1) % servers_.size();
    failed_ = (failed_ + 1) % servers_.size();
    due_ = failed_ == 0 ? now + interval(random) : now;
}

bool StunClient::is_possible(const base::Endpoint &mapped) const
{
    return mapped.port != 0 && mapped.address.version() == version_ && mapped.address.is_unicast() &&
           !mapped.address.is_loopback() && !mapped.address.is_link_local();
}

} // namespace mpt::core
