// SPDX-License-Identifier: GPL-3.0-or-later
// Input: the text of a create message, for the responder and for the initiator.
#include "daemon/core/merge.hpp"

#include <cstdlib>

using namespace mpt;

namespace {

constexpr std::string_view kTemplate = R"([connection]
name = Template
permission = 3
ip_ver = 4
ip_local = 10.0.0.3
local_port = 65060
path_count = 2
network_count = 0
reorder_window = 900
status = 0
auth_type = 0
[path_0]
interface_name = eth1
ip_ver = 4
public_ipaddr = 10.1.1.3
gw_ipaddr = 10.1.1.3
cmd_default = 1
status = 128
[path_1]
interface_name = eth2
ip_ver = 6
public_ipaddr = fd77:2::3
gw_ipaddr = fd77:2::3
status = 128
)";

config::InterfaceConfig interface_conf()
{
    config::InterfaceConfig interface;
    interface.accept_remote = true;
    interface.allow_default_key = true;
    interface.cmdport_local = 60456;
    interface.tunnels.push_back(
        {"tun0", 1440, *base::Prefix::parse("10.0.0.3/24"), *base::Prefix::parse("fec0::3/64")});
    return interface;
}

// What a merged connection must be, whatever the peer says.
void check(const config::ConnectionConfig &merged, const config::ConnectionConfig &own)
{
    const auto read = config::parse_connection(merged.file, config::serialise(merged));
    if (!read.value || *read.value != merged || !merged.is_complete() || merged.paths.size() > own.paths.size())
        std::abort();
    for (std::size_t n = 0; n < merged.paths.size(); ++n) {
        const config::PathConfig &path = merged.paths[n];
        if (path.interface_name != own.paths[n].interface_name || path.public_ipaddr != own.paths[n].public_ipaddr ||
            path.gateway_ipaddr != own.paths[n].gateway_ipaddr || path.remote_ipaddr->is_loopback() ||
            path.remote_ipaddr->is_multicast() || path.remote_ipaddr->is_unspecified())
            std::abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    const auto peer = config::parse_peer(text);
    const config::InterfaceConfig interface = interface_conf();
    const core::CreateContext context{interface, {}, {}, {}};
    const config::ConnectionConfig conf_template = *config::parse_template("conf.template", kTemplate).value;
    const base::Address initiator = peer.value ? peer.value->ip_local : base::Address();
    const auto created = core::accept_create(text, initiator, *base::Address::parse("::"), conf_template, context);
    if (created) {
        check(created->connection, conf_template);
        const auto reply = config::parse_peer(created->text);
        if (created->text.size() != size || !reply.value || created->connection.file.find('/') != std::string::npos ||
            reply.value->ip_local != created->connection.ip_local)
            std::abort();
    } else if (created.error().result == proto::ControlResult::kDone || created.error().text.empty()) {
        std::abort();
    }

    config::ConnectionConfig own = conf_template;
    own.file = "own.conf";
    if (const auto completed = core::complete_create(own, text, context))
        check(*completed, own);
    return 0;
}
