// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/net/emulator/shaper.hpp"

#include <algorithm>

namespace linkemu {

std::optional<Fate> Shaper::admit(Instant now, std::size_t octets)
{
    const auto limit = settings.queue_octets ? transmission(*settings.queue_octets) : settings.queue_time;
    const auto wait = backlog(now);
    if (settings.rate > 0 && wait > limit) {
        ++counters.dropped_queue;
        return std::nullopt;
    }
    line_free_ = now + wait + transmission(octets);
    if (lose()) {
        ++counters.lost;
        return std::nullopt;
    }
    Fate fate{line_free_ + settings.delay};
    if (settings.jitter > Duration{0})
        fate.due += Duration{static_cast<Duration::rep>(draw() * static_cast<double>(settings.jitter.count()))};
    if (!settings.reorder)
        fate.due = std::max(fate.due, last_due_);
    last_due_ = fate.due;
    if (settings.duplicate > 0 && draw() < settings.duplicate) {
        fate.copies = 2;
        ++counters.duplicated;
    }
    return fate;
}

void Shaper::clear()
{
    line_free_ = {};
    last_due_ = {};
}

Duration Shaper::backlog(Instant now) const
{
    return std::max(Duration{0}, line_free_ - now);
}

Duration Shaper::transmission(std::uint64_t octets) const
{
    if (settings.rate <= 0)
        return Duration{0};
    return Duration{static_cast<Duration::rep>(static_cast<double>(octets) * 8e3 / settings.rate)};
}

bool Shaper::lose()
{
    if (settings.loss <= 0 || settings.loss >= 1)
        return settings.loss >= 1;
    if (settings.burst <= 0)
        return draw() < settings.loss;
    const double enter = settings.loss / (settings.burst * (1 - settings.loss));
    losing_ = losing_ ? draw() >= 1 / settings.burst : draw() < enter;
    return losing_;
}

} // namespace linkemu
