// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/core/path_validation.hpp"

namespace mpt::core {

void PathValidation::set_address(const base::Endpoint &address, bool is_proved, std::uint64_t challenge) noexcept
{
    address_ = address;
    challenge_ = is_proved ? 0 : challenge;
    candidate_.reset();
}

Whereabouts PathValidation::on_keepalive(base::Instant now, const base::Endpoint &source, const KeepaliveTaken &taken,
                                         std::uint64_t random) noexcept
{
    if (taken.is_new_session) { // whose counters have nothing to do with those before
        candidate_.reset();
        next_candidate_ = {};
    }
    const bool is_fresh = !taken.drop;
    if (source == address_) {
        if (candidate_ && taken.counter >= candidate_->counter)
            candidate_.reset();
        if (is_fresh && challenge_ != 0 && taken.response == challenge_)
            challenge_ = 0;
        return {.lives = is_fresh && challenge_ == 0};
    }
    // Nobody can be answered at port 0, which a sender who wants no answer may use (RFC 768).
    if (!is_fresh || source.port == 0)
        return {};
    if (candidate_ && now - candidate_->since >= kCandidateLife)
        candidate_.reset();
    if (candidate_ && candidate_->address == source) {
        if (taken.response != candidate_->challenge)
            return {.challenge = true};
        set_address(source, true, 0);
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
