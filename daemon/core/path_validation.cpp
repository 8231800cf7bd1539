// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/path_validation.hpp"

#include <algorithm>

namespace mpt::core {

void PathValidation::set_address(const base::Endpoint &address, bool is_proved, std::uint64_t challenge) noexcept
{
    if (is_proved && this->is_proved(address))
        return;
    address_ = address;
    challenge_ = is_proved ? 0 : challenge;
    newest_here_ = newest_;
    candidate_.reset();
    former_.reset();
}

Whereabouts PathValidation::on_keepalive(base::Instant now, const base::Endpoint &source, const KeepaliveTaken &taken,
                                         std::uint64_t random) noexcept
{
    if (taken.counter != 0 && taken.session != session_) { // whose counters have nothing to do with those before
        session_ = taken.session;
        candidate_.reset();
        former_.reset();
        next_candidate_ = {};
        newest_ = newest_here_ = 0;
    }
    const bool is_fresh = !taken.drop;
    newest_ = std::max(newest_, taken.counter);
    if (source.address.is_unspecified()) // as address_ may be
        return {};
    if (source == address_) {
        if (candidate_ && taken.counter >= candidate_->counter)
            candidate_.reset();
        if (taken.counter <= newest_here_)
            return {};
        newest_here_ = taken.counter;
        if (challenge_ != 0 && taken.response == challenge_)
            challenge_ = 0;
        return {.lives = challenge_ == 0};
    }
    if (former_ && now < former_->until && source == former_->address && taken.counter >= former_->counter) {
        set_address(source, true, 0);
        // What came from there before has been copied.
        next_candidate_ = now + (is_fresh ? kCandidateInterval : kCandidateLife);
        return {.lives = true, .has_moved = true};
    }
    // Nobody can be answered at port 0, which a sender who wants no answer may use (RFC 768).
    if (!is_fresh || source.port == 0)
        return {};
    if (candidate_ && now - candidate_->since >= kCandidateLife)
        candidate_.reset();
    if (candidate_ && candidate_->address == source) {
        if (taken.response != candidate_->challenge)
            return {.challenge = true};
        if (now < next_move_)
            return {};
        const Former former{address_, candidate_->counter, now + kCandidateLife};
        const bool was_proved = challenge_ == 0 && !address_.address.is_unspecified();
        set_address(source, true, 0);
        if (was_proved)
            former_ = former;
        next_move_ = now + kCandidateInterval;
        return {.lives = true, .has_moved = true};
    }
    if (now < next_candidate_)
        return {};
    next_candidate_ = now + kCandidateInterval;
    candidate_ = {source, random, taken.counter, now};
    return {.challenge = true, .is_used = true};
}

std::uint64_t PathValidation::challenge_for(const base::Endpoint &address) const noexcept
{
    if (address == address_)
        return challenge_;
    return candidate_ && candidate_->address == address ? candidate_->challenge : 0;
}

} // namespace mpt::core
