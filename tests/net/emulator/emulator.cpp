// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/net/emulator/emulator.hpp"

#include "tests/net/emulator/failure.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

namespace linkemu {
namespace {

// Frames read from a device before the others get their turn.
constexpr int kBatch = 64;

// While there is much to do, it is done in strides: to wake up for a frame costs several times more than to move it.
// Frames are then read and written up to a stride late; a frame that comes alone is not.
constexpr auto kStride = std::chrono::microseconds{100};

// After work, rest for this part of its time at least: a real-time thread that never does is stopped by the kernel for
// 50 ms in a second (sched_rt_runtime_us).
constexpr int kRest = 8;

} // namespace

Emulator::Emulator() : epoll_{epoll_create1(EPOLL_CLOEXEC)}
{
    if (epoll_ < 0)
        fail("cannot create an epoll descriptor");
    void *memory =
        mmap(nullptr, kSlots * kSlotOctets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        fail("cannot reserve memory for frames");
    frames_ = static_cast<std::byte *>(memory);
    for (std::uint32_t slot = kSlots; slot > 0; --slot)
        free_.push_back(slot - 1);
    flights_.reserve(kSlots);
}

Emulator::~Emulator()
{
    munmap(frames_, kSlots * kSlotOctets);
    close(epoll_);
}

void Emulator::add(const std::string &name, const std::array<Place, 2> &places, const Settings &settings,
                   std::uint64_t seed)
{
    auto &link =
        links_.emplace_back(Link{name, {End{places[0], {}}, End{places[1], {}}}, {Direction{seed}, Direction{~seed}}});
    for (std::size_t index = 0; index < 2; ++index) {
        link.directions[index].shaper.settings = settings;
        set_plugged(link, index, true);
    }
}

Link *Emulator::find(std::string_view name)
{
    const auto found = std::ranges::find(links_, name, &Link::name);
    return found == links_.end() ? nullptr : &*found;
}

void Emulator::set_plugged(Link &link, std::size_t end, bool plugged)
{
    auto &[place, tap, carrier] = link.ends[end];
    if (plugged == (tap != nullptr))
        return;
    tap.reset();
    if (!plugged)
        return;
    tap = std::make_unique<Tap>(place.netns, place.device);
    carrier = true;
    watch(tap->descriptor(), [this, &link, end] { receive(link, end); });
}

void Emulator::set_cut(Link &link, std::size_t direction, bool cut)
{
    link.directions[direction].cut = cut;
    if (cut)
        drop_in_flight(link.directions[direction]);
}

void Emulator::set_carrier(Link &link, std::size_t end, bool on)
{
    if (!link.ends[end].tap)
        throw std::invalid_argument(fmt::format("end {} of {} is unplugged", "ab"[end], link.name));
    link.ends[end].tap->set_carrier(on);
    link.ends[end].carrier = on;
    if (!on)
        std::ranges::for_each(link.directions, [this](auto &direction) { drop_in_flight(direction); });
}

Emulator::InFlight Emulator::in_flight(const Direction &direction) const
{
    InFlight result{0, direction.shaper.backlog(std::chrono::steady_clock::now())};
    for (const auto &flight : flights_)
        result.frames += flight.direction == &direction ? flight.copies : 0U;
    return result;
}

void Emulator::watch(int descriptor, std::function<void()> ready)
{
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &watched_.emplace_back(std::move(ready));
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) < 0)
        fail(fmt::format("cannot wait for descriptor {} (a pipe, terminal or socket is expected)", descriptor));
}

void Emulator::run()
{
    std::array<epoll_event, 16> events;
    Instant pass{};
    while (running_) {
        const auto ready = wait(events);
        const auto previous = std::exchange(pass, std::chrono::steady_clock::now());
        for (const auto &event : ready)
            (*static_cast<std::function<void()> *>(event.data.ptr))();
        deliver_due();
        const auto done = std::chrono::steady_clock::now();
        const auto worked = done - pass;
        if (pass - previous < 2 * kStride || worked > kStride)
            std::this_thread::sleep_until(std::max(pass + kStride, done + worked / kRest));
    }
}

std::span<epoll_event> Emulator::wait(std::span<epoll_event> events) const
{
    timespec timeout{};
    if (!flights_.empty()) {
        const auto left = std::max(Duration{0}, flights_.front().due - std::chrono::steady_clock::now());
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
        timeout = {seconds.count(), (left - seconds).count()};
    }
    const int count = epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()),
                                   flights_.empty() ? nullptr : &timeout, nullptr);
    if (count < 0 && errno != EINTR)
        fail("cannot wait for frames");
    return events.first(static_cast<std::size_t>(std::max(0, count)));
}

void Emulator::receive(Link &link, std::size_t end)
{
    const auto now = std::chrono::steady_clock::now();
    for (int count = 0; count < kBatch && link.ends[end].tap; ++count) {
        const auto octets = read(link.ends[end].tap->descriptor(), frame(free_.back()), kSlotOctets);
        if (octets >= 0)
            enter(link, end, static_cast<std::size_t>(octets), now);
        else if (errno == EAGAIN || errno == EINTR)
            return;
        else
            link.ends[end].tap.reset(); // the device was deleted, or its namespace
    }
}

void Emulator::enter(Link &link, std::size_t end, std::size_t octets, Instant now)
{
    auto &direction = link.directions[end];
    auto &counters = direction.shaper.counters;
    ++counters.frames;
    counters.octets += octets;
    if (direction.cut || !link.ends[0].carrier || !link.ends[1].carrier) {
        ++counters.dropped_cut;
    } else if (octets == kSlotOctets || free_.size() == 1) {
        ++counters.dropped_other;
    } else if (const auto fate = direction.shaper.admit(now, octets)) {
        flights_.push_back({fate->due, serial_++, free_.back(), static_cast<std::uint16_t>(octets), fate->copies,
                            &direction, &link.ends[1 - end]});
        std::push_heap(flights_.begin(), flights_.end());
        free_.pop_back();
    }
}

void Emulator::deliver_due()
{
    while (!flights_.empty()) {
        const auto &flight = flights_.front();
        const auto late = std::chrono::steady_clock::now() - flight.due;
        if (late < Duration{0})
            return;
        deliver(flight);
        flight.direction->latest = std::max(flight.direction->latest, late);
        free_.push_back(flight.slot);
        std::pop_heap(flights_.begin(), flights_.end());
        flights_.pop_back();
    }
}

void Emulator::deliver(const Flight &flight)
{
    auto &counters = flight.direction->shaper.counters;
    for (int copy = 0; copy < flight.copies; ++copy) {
        if (flight.to->tap && write(flight.to->tap->descriptor(), frame(flight.slot), flight.length) >= 0) {
            ++counters.delivered;
            counters.delivered_octets += flight.length;
        } else {
            ++counters.dropped_other;
        }
    }
}

void Emulator::drop_in_flight(Direction &direction)
{
    const auto gone = [&](const Flight &flight) { return flight.direction == &direction; };
    for (const auto &flight : flights_) {
        if (gone(flight)) {
            direction.shaper.counters.dropped_cut += flight.copies;
            free_.push_back(flight.slot);
        }
    }
    std::erase_if(flights_, gone);
    std::make_heap(flights_.begin(), flights_.end());
    direction.shaper.clear();
}

} // namespace linkemu
