// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/net/emulator/shaper.hpp"
#include "tests/net/emulator/tap.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <vector>

namespace linkemu {

struct Place {
    std::string netns;
    std::string device;
};

struct End {
    Place place;
    std::unique_ptr<Tap> tap; // none: unplugged, or somebody deleted the device
    bool carrier = true;
};

struct Direction {
    explicit Direction(std::uint64_t seed) : shaper{seed} {}
    Shaper shaper;
    bool cut = false;
    Duration latest{0}; // how late a frame was written at worst, since the last report
};

// directions[0] carries a>b, from ends[0] to ends[1]; directions[1] the other way.
struct Link {
    std::string name;
    std::array<End, 2> ends;
    std::array<Direction, 2> directions;
};

// Carries frames between the taps of all links, in one thread.
class Emulator {
public:
    Emulator();
    ~Emulator();
    Emulator(const Emulator &) = delete;
    Emulator &operator=(const Emulator &) = delete;

    // Creates both devices. Settings are the same for both directions.
    void add(const std::string &name, const std::array<Place, 2> &places, const Settings &settings, std::uint64_t seed);

    // `ready` is called from run() whenever the descriptor (which stays the caller's) is readable or closed.
    void watch(int descriptor, std::function<void()> ready);

    // Until stop(). May throw what a watched function throws, and std::system_error.
    void run();
    void stop() { running_ = false; }

    // nullptr: no link of that name.
    Link *find(std::string_view name);
    std::deque<Link> &links() { return links_; }

    // These take effect at once. What is in flight through a cut is lost.
    void set_cut(Link &link, std::size_t direction, bool cut);
    void set_carrier(Link &link, std::size_t end, bool on);
    // An unplugged end's device is removed; a plugged one is a new device of the same name, with carrier.
    void set_plugged(Link &link, std::size_t end, bool plugged);

    struct InFlight {
        std::size_t frames = 0; // in the queue, being sent, or travelling; duplicates included
        Duration queue{0};      // that a frame would wait if it came now
    };
    InFlight in_flight(const Direction &direction) const;

private:
    // A frame on its way, in a heap: soonest first, then as they came.
    struct Flight {
        Instant due;
        std::uint64_t serial;
        std::uint32_t slot;
        std::uint16_t length;
        std::uint8_t copies;
        Direction *direction;
        End *to;
        bool operator<(const Flight &other) const { return due != other.due ? due > other.due : serial > other.serial; }
    };
    static constexpr std::size_t kSlotOctets = 2048; // an Ethernet frame of MTU 1500, with room for tags
    static constexpr std::size_t kSlots = 131072;    // 0.6 s of full frames at 2.6 Gbit/s; touched only as used

    std::span<epoll_event> wait(std::span<epoll_event> events) const;
    void receive(Link &link, std::size_t end);
    void enter(Link &link, std::size_t end, std::size_t octets, Instant now);
    void deliver_due();
    void deliver(const Flight &flight);
    void drop_in_flight(Direction &direction);
    std::byte *frame(std::uint32_t slot) const { return frames_ + slot * kSlotOctets; }

    int epoll_;
    std::byte *frames_;
    // A stack: the slot used last is the one in the cache. The last one left is only read into, never sent from.
    std::vector<std::uint32_t> free_;
    std::vector<Flight> flights_;
    std::uint64_t serial_ = 0;
    std::deque<Link> links_; // addresses stay valid
    std::deque<std::function<void()>> watched_;
    bool running_ = true;
};

} // namespace linkemu
