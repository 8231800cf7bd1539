// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/core/handshake_initiator.hpp"
#include "daemon/core/handshake_responder.hpp"
#include "daemon/core/merge.hpp"
#include "daemon/core/source_limiter.hpp"
#include "daemon/core/status_teller.hpp"
#include "daemon/service/manager.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace mpt::service {

// The two hosts of a connection agree, by messages between their control ports: each tells the other about its paths,
// and one can create the connection on the other (guide 2.6.3.1 permission, and 4.7).
class Peers {
public:
    using Random = std::function<proto::RandomNumber()>; // numbers that nobody can predict
    // What has become of a create.
    using Done = std::function<void(base::Result<void>)>;

    // `directory`, `network` and `port` stay the caller's, and so does `manager`.
    Peers(Manager &manager, ConfigDirectory &directory, Network &network, ControlPort &port, const Random &random);

    // The status of a path has changed: the peer is told if it cannot know and `permission` has SEND.
    void on_path_status(base::Instant now, const std::string &connection, std::size_t path,
                        const core::StatusChange &change);
    // Settings may have changed: a peer that can be told is told the weights that are new (weight_in).
    void on_settings(base::Instant now);
    // Some changes were too many to be told one by one: the peers are told what is so now.
    void refresh(base::Instant now);
    // A datagram has come to the control port, from `peer` to our address `local`.
    void on_datagram(base::Instant now, const base::Endpoint &peer, const base::Address &local,
                     base::ConstOctets datagram, Notices &notices);

    // Creates the peer's side of the connection of the file (guide 4.7). `done` is called once, maybe at once.
    void create(base::Instant now, const std::string &file, Done done);

    // When on_deadline() wants to be called next; nothing if never.
    std::optional<base::Instant> deadline() const;
    void on_deadline(base::Instant now, Notices &notices);

    // Datagrams that were not answered, by reason (see proto::to_string).
    const std::array<std::uint64_t, proto::kControlDropCount> &drops() const noexcept { return drops_; }

private:
    // How a datagram leaves.
    struct Way {
        base::Address local;
        std::string interface;
        base::Endpoint peer;
    };
    // An exchange that we have begun.
    struct Exchange {
        core::HandshakeInitiator handshake;
        Way way;
        std::string failure; // why it could not be sent the last time; empty if it could
    };
    struct Telling {
        config::AuthType auth = config::AuthType::kNone;
        base::Address local; // tunnel addresses
        base::Address remote;
        core::StatusTeller teller;
        std::vector<std::uint16_t> weights; // weight_in of the paths, as they were last looked at
        std::optional<Exchange> exchange;
        std::string what;    // is told by the exchange, for people
        std::string failure; // that was told last
    };
    struct Creating {
        Exchange exchange;
        config::ConnectionConfig own;
        config::ConnectionConfig filed; // what its file says
        Done done;
        base::Instant deadline; // of cmd_timeout
    };

    Telling &telling_of(const ConnectionRecord &record);
    void send(Exchange &exchange, base::ConstOctets datagram);
    void answer(const core::ControlRoute &route, base::ConstOctets datagram);
    // Begins what is due to be told about the connection's paths.
    void tell(base::Instant now, const ConnectionRecord &record, Telling &telling);
    void tell_done(base::Instant now, const ConnectionRecord &record, Telling &telling, Notices &notices);
    std::optional<Way> way_for(const ConnectionRecord &record, const core::StatusTeller::Report &report) const;

    // False if the answer is of no exchange of ours.
    bool take_answer(base::Instant now, const base::Endpoint &peer, const proto::ControlMessage &message,
                     base::ConstOctets datagram, Notices &notices);
    void take_question(base::Instant now, const core::ControlRoute &route, const proto::ControlMessage &message,
                       base::ConstOctets datagram, Notices &notices);
    struct Reply {
        proto::ControlResult result;
        std::vector<std::byte> body;
    };
    Reply do_task(base::Instant now, const core::HandshakeTask &task, Notices &notices);
    Reply set_path(const core::HandshakeTask &task, Notices &notices);
    static std::optional<proto::PathChange> change_of(const ConnectionRecord &record, const core::HandshakeTask &task);
    Reply accept(base::Instant now, const core::HandshakeTask &task, Notices &notices);
    // The exchange is over, or has taken too long.
    void created(const Creating &creating, Notices &notices);
    base::Result<void> complete(const Creating &creating, base::ConstOctets text, Notices &notices);
    base::Address public_of(const config::PathConfig &path, const ConnectionRecord *record, std::size_t number) const;
    config::ConnectionConfig in_use(config::ConnectionConfig config, const ConnectionRecord *record) const;
    core::CreateContext create_context(const std::string &file, std::vector<std::string> files = {}) const;
    // How the messages of a create, or of a connection, must be authenticated.
    struct Auth {
        config::AuthType type = config::AuthType::kSha256;
        proto::ControlKey key;
    };
    std::optional<Auth> create_auth(base::Instant now);
    base::Result<config::ConnectionConfig> own_side(const std::string &file) const;

    Manager &manager_;
    ConfigDirectory &directory_;
    Network &network_;
    ControlPort &port_;
    const Random random_;
    core::HandshakeResponder responder_;
    core::SourceLimiter messages_;             // of a source
    core::SourceLimiter creations_;            // of all
    std::map<std::string, Telling> tellings_;  // by file, for names change
    std::map<std::string, Creating> creating_; // by file
    std::optional<Auth> create_auth_;          // until create_auth_expires_
    base::Instant create_auth_expires_{};
    std::array<std::uint64_t, proto::kControlDropCount> drops_{};
};

} // namespace mpt::service
