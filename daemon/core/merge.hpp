// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "daemon/base/address.hpp"
#include "daemon/base/result.hpp"
#include "daemon/config/connection.hpp"
#include "daemon/config/interface.hpp"
#include "daemon/config/peer.hpp"
#include "daemon/proto/control.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

// What two hosts make of each other's side of a connection (guide 4.7). The initiator sends its side (P) in round 3;
// the responder makes its own of that and of conf.template (T), and sends it back in round 4; the initiator completes
// its side with it. Everything that a peer says is checked here.
namespace mpt::core {

// What a host knows when a connection is created on it.
struct CreateContext {
    const config::InterfaceConfig &interface;
    // All others, whether they run or not.
    std::vector<config::ConnectionConfig> connections;
    // Names of all files in the directory of the connections.
    std::vector<std::string> files;
    // Addresses of all interfaces, with the prefix lengths of their networks.
    std::vector<base::Prefix> own_addresses;
};

// Why a responder does not create a connection: for the peer, and a line for people here.
struct Refusal {
    proto::ControlResult result;
    std::string text;
};

struct Created {
    config::ConnectionConfig connection; // complete, with a file name and a name that are free
    std::string text;                    // the body of round 4, as long as that of round 3
};

// The key for a create: the one of the initiator's connection, or of the responder's conf.template, whatever its
// auth_type is. kInvalidConfig if it has none and the one that everybody knows is not allowed, or if it is malformed.
base::Result<proto::ControlKey> create_key(const config::ConnectionConfig &config, bool allow_default_key);

// Round 3: `own` in its initiator's words; the addresses of its paths are the ones in use, not "automatic".
// kInvalidConfig if a path's public address is not known; kNotSupported for auth_type 2 where the default key is not
// allowed: with a deployed peer the connection would be one with that key, since the text of a create has none.
base::Result<std::string> create_text(const config::ConnectionConfig &own, const CreateContext &context);

// The responder's side: `text` is the body of round 3, the tunnel addresses are those of its message. The paths'
// statuses are T's; as long as nothing has come from a path's remote address, no data may be sent there all the same.
tl::expected<Created, Refusal> accept_create(std::string_view text, const base::Address &initiator,
                                             const base::Address &responder,
                                             const config::ConnectionConfig &conf_template,
                                             const CreateContext &context);

// The body of round 4 that goes with a result other than kDone.
std::vector<std::byte> refusal_body(proto::ControlResult result);

// The initiator's side with what the responder's says in `text`, the body of round 4. `context.connections` does not
// have `own`. kInvalidConfig if the text is not understood or cannot be.
base::Result<config::ConnectionConfig> complete_create(const config::ConnectionConfig &own, std::string_view text,
                                                       const CreateContext &context);

// "peer_10_0_0_2.conf"
std::string peer_file_name(const base::Address &initiator);

} // namespace mpt::core
