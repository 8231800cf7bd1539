// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/journal.hpp"

#include "daemon/sys/log.hpp"

#include <fmt/format.h>

namespace mpt {

std::string_view message_id(service::Event event) noexcept
{
    switch (event) {
    case service::Event::kOther:
        break;
    case service::Event::kPathUp:
        return "be14d140af1f4e60b9c2599f2b3a55dc";
    case service::Event::kPathDown:
        return "4dfe2d4e42bc4750bc331d4d2b8dc702";
    case service::Event::kPathWaits:
        return "0e3b064b320e4126b789b593940074b7";
    case service::Event::kPathDisabled:
        return "f6cf0ad63a38451387ab38e654e27ce4";
    case service::Event::kPathMoved:
        return "9b8a409cc4d948ffa34927ab513e1109";
    case service::Event::kConnectionNew:
        return "d1811ab076eb40e08155b7f379d9e3d5";
    case service::Event::kConnectionChanged:
        return "504122aae673423ebfc2de2dab4e185d";
    case service::Event::kConnectionCreated:
        return "ced7c0e018ca49be836fbe018127f3eb";
    case service::Event::kCreateRefused:
        return "44237b90f961489f906d628ee66e15eb";
    case service::Event::kFileLeftOut:
        return "94a728ad184f47faa7c07c726e782baa";
    case service::Event::kInterfaceNotApplied:
        return "cc337e0567cb473e8801d58d85556b96";
    case service::Event::kPeerSilent:
        return "b23f27b41e9b419b8d5c8cb5b3c77fe7";
    }
    return {};
}

void log_notices(service::Notices &notices)
{
    for (const service::Notice &notice : notices)
        sys::log(notice.level == service::Notice::Level::kError     ? sys::Priority::kError
                 : notice.level == service::Notice::Level::kWarning ? sys::Priority::kWarning
                                                                    : sys::Priority::kInfo,
                 notice.text,
                 {{"MESSAGE_ID", std::string(message_id(notice.event))},
                  {"MPT_CONNECTION", notice.connection},
                  {"MPT_PATH", notice.path ? fmt::format("{}", *notice.path) : ""}});
    notices.clear();
}

} // namespace mpt
