// SPDX-License-Identifier: GPL-3.0-or-later
// Input: what happens to an initiator and a responder, one octet after the other: time, messages that are lost,
// doubled, changed or made up, answers that come at once or later. The first octet chooses command and authentication
// type.
#include "daemon/core/handshake_initiator.hpp"
#include "daemon/core/handshake_responder.hpp"

#include <algorithm>
#include <cstdlib>
#include <deque>

using namespace mpt;

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint8_t kResult = 8; // that the responder's owner gives; nobody else must be believed

void require(bool holds)
{
    if (!holds)
        std::abort();
}

class Input {
public:
    Input(const std::uint8_t *data, std::size_t size) : data_(data), size_(size) {}

    bool is_empty() const { return size_ == 0; }

    std::uint8_t next()
    {
        if (size_ == 0)
            return 0;
        --size_;
        return *data_++;
    }

private:
    const std::uint8_t *data_;
    std::size_t size_;
};

// Of 16 octets.
proto::ControlRandom random_number(std::uint8_t seed)
{
    proto::RandomNumber number;
    number.fill(std::byte{0x55});
    number[0] = std::byte{seed};
    return number;
}

core::HandshakeRequest request_of(std::uint8_t kind)
{
    core::HandshakeRequest request;
    request.auth = (kind & 0x40) != 0 ? config::AuthType::kHmacSha256 : static_cast<config::AuthType>(kind % 3);
    request.random = random_number(kind);
    request.key = *proto::ControlKey::parse("A0A1A2A3A4A5A6A7A8A9B0B1B2B3B4B5B6B7B8B9C0C1C2C3C4C5C6C7C8C9D1D2");
    request.initiator = *base::Address::parse("10.0.0.2");
    request.responder = *base::Address::parse("10.0.0.3");
    request.peer = {*base::Address::parse("10.1.1.3"), 60456};
    if (kind % 4 == 3) {
        request.command = proto::ControlCommand::kCreate;
        request.auth = std::max(request.auth, config::AuthType::kSha256);
        request.body.assign(100, std::byte{'#'});
    } else {
        request.argument = kind & 0x80;
        if (request.auth == config::AuthType::kHmacSha256) {
            const auto change = proto::encode_path_change({1, true, std::nullopt});
            request.body.assign(change.begin(), change.end());
            return request;
        }
        const auto body = proto::encode_path_addresses({request.initiator, request.responder});
        request.body.assign(body.begin(), body.end());
    }
    return request;
}

class Exchange {
public:
    explicit Exchange(std::uint8_t kind) : request_(request_of(kind)), initiator_(now_, request_) {}

    void step(Input &input)
    {
        const std::uint8_t what = input.next();
        switch (what % 8) {
        case 0:
            now_ += std::chrono::milliseconds(10 * input.next());
            run_deadlines();
            break;
        case 1:
            if (const auto next = initiator_.deadline())
                now_ = std::max(now_, *next);
            run_deadlines();
            break;
        case 2:
            to_initiator(input, what);
            break;
        case 3:
            to_responder(input, what);
            break;
        case 4:
            answer();
            break;
        case 5: // out of nothing
            made_up(input);
            break;
        case 6: // reflected
            std::swap(for_initiator_, for_responder_);
            break;
        default:
            if (const auto next = responder_.deadline())
                now_ = std::max(now_, *next);
            run_deadlines();
            break;
        }
    }

private:
    void run_deadlines()
    {
        keep(for_responder_, initiator_.on_deadline(now_));
        require(!initiator_.deadline() || *initiator_.deadline() > now_);
        responder_.on_deadline(now_);
        require(!responder_.deadline() || *responder_.deadline() > now_);
        require(initiator_.is_over() == !initiator_.deadline());
    }

    void keep(std::deque<Bytes> &queue, base::ConstOctets octets)
    {
        if (octets.empty())
            return;
        if (&queue == &for_responder_)
            require(++sent_ <= 2 * core::kHandshakeTries);
        queue.emplace_back(octets.begin(), octets.end());
        if (queue.size() > 8)
            queue.pop_front();
    }

    // One of those that are on their way, perhaps changed, perhaps once more later.
    static Bytes take(std::deque<Bytes> &queue, Input &input, std::uint8_t what, bool &is_changed)
    {
        if (queue.empty())
            return {};
        const std::size_t at = input.next() % queue.size();
        Bytes octets = queue[at];
        if ((what & 0x10) == 0)
            queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(at));
        is_changed = (what & 0x20) != 0;
        if (is_changed)
            octets[(input.next() * 256U + input.next()) % octets.size()] ^= std::byte{1} << input.next() % 8;
        return octets;
    }

    void to_initiator(Input &input, std::uint8_t what)
    {
        bool is_changed = false;
        const Bytes octets = take(for_initiator_, input, what, is_changed);
        offer_initiator(octets);
    }

    void offer_initiator(const Bytes &octets)
    {
        const auto message = proto::decode_control(octets);
        if (!message)
            return;
        const bool was_over = initiator_.is_over();
        const auto step = initiator_.on_message(now_, request_.peer, *message, octets);
        require(!step || !was_over);
        if (step)
            keep(for_responder_, *step);
        if (initiator_.answer() && request_.auth >= config::AuthType::kSha256)
            require(is_answered_ && static_cast<std::uint8_t>(initiator_.answer()->result) == kResult);
    }

    void to_responder(Input &input, std::uint8_t what)
    {
        bool is_changed = false;
        const Bytes octets = take(for_responder_, input, what, is_changed);
        offer_responder(octets, input.next());
    }

    void offer_responder(const Bytes &octets, std::uint8_t random)
    {
        const auto message = proto::decode_control(octets);
        if (!message)
            return;
        const core::ControlRoute route{{*base::Address::parse("10.1.1.2"), 60456}, request_.peer.address};
        auto step =
            responder_.on_message(now_, route, *message, octets, request_.auth, request_.key, random_number(random));
        if (!step)
            return;
        require(step->send.size() <= octets.size());
        keep(for_initiator_, step->send);
        if (step->task) {
            require(step->send.empty());
            if (request_.auth >= config::AuthType::kSha256)
                require(step->task->body == request_.body && step->task->argument == request_.argument);
            tasks_.push_back(std::move(*step->task));
        }
    }

    void answer()
    {
        if (tasks_.empty())
            return;
        const core::HandshakeTask task = tasks_.front();
        tasks_.pop_front();
        const auto reply = responder_.answer(now_, task.exchange, proto::ControlResult{kResult}, {});
        if (!reply)
            return;
        require(reply->datagram.size() <= 40 + 48 + task.body.size());
        is_answered_ = true;
        keep(for_initiator_, reply->datagram);
    }

    void made_up(Input &input)
    {
        Bytes octets(input.next());
        for (std::byte &octet : octets)
            octet = std::byte{input.next()};
        offer_initiator(octets);
        offer_responder(octets, input.next());
    }

    base::Instant now_{std::chrono::seconds(1000)};
    core::HandshakeRequest request_;
    core::HandshakeInitiator initiator_;
    core::HandshakeResponder responder_;
    std::deque<Bytes> for_initiator_;
    std::deque<Bytes> for_responder_;
    std::deque<core::HandshakeTask> tasks_;
    unsigned sent_ = 0;
    bool is_answered_ = false;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    Input input(data, size);
    Exchange exchange(input.next());
    while (!input.is_empty())
        exchange.step(input);
    return 0;
}
