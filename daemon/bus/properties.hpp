// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace mpt::bus {

// A property of an object on the bus, by its getter.
template <typename Object, typename Value> struct Property {
    const char *name;
    Value (Object::*get)();
};
template <typename Object, typename Value> Property(const char *, Value (Object::*)()) -> Property<Object, Value>;

// What properties were when they were looked at last. `Properties` is a tuple of Property.
template <typename Properties> class Snapshot;

template <typename Object, typename... Values> class Snapshot<std::tuple<Property<Object, Values>...>> {
public:
    using Properties = std::tuple<Property<Object, Values>...>;

    // `object` owns the snapshot.
    Snapshot(Object &object, Properties properties) : object_(object), properties_(properties), values_(read()) {}

    // Looks again: the names of those that have changed.
    std::vector<std::string> changes()
    {
        const std::tuple<Values...> before = std::exchange(values_, read());
        std::vector<std::string> names;
        const auto look = [&]<std::size_t kIndex>(std::integral_constant<std::size_t, kIndex>) {
            if (std::get<kIndex>(values_) != std::get<kIndex>(before))
                names.emplace_back(std::get<kIndex>(properties_).name);
        };
        [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>)
        {
            (look(std::integral_constant<std::size_t, kIndex>{}), ...);
        }
        (std::index_sequence_for<Values...>{});
        return names;
    }

private:
    std::tuple<Values...> read() const
    {
        return std::apply([this](const auto &...property) { return std::tuple{(object_.*property.get)()...}; },
                          properties_);
    }

    Object &object_;
    Properties properties_;
    std::tuple<Values...> values_;
};

} // namespace mpt::bus
