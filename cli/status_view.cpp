// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/status_view.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace mpt::cli {

namespace {

using std::chrono::microseconds;

constexpr std::size_t kNumberColumns = 3;
constexpr std::size_t kWeightColumns = 6;
constexpr std::size_t kGap = 2;
constexpr std::size_t kIndent = 2 + kNumberColumns; // of what stands below a path

struct Cells {
    std::string state;
    std::string since;
    std::string weight;
    std::string out;
    std::string in;
    std::string loss;
    Style style = Style::kPlain; // of the state
};

std::string age(std::uint64_t monotonic, const Snapshot &now)
{
    if (monotonic == 0)
        return "";
    return short_duration(microseconds(now.monotonic > monotonic ? now.monotonic - monotonic : 0));
}

// What keepalives of authentication type 3 have shown; empty if the path has none.
std::string measure_words(const Path &path)
{
    const std::uint64_t round_trip = count(path.counters, "round_trip_us");
    if (round_trip == 0)
        return "";
    return fmt::format("round trip {:.1f} ms, variation {:.1f}; lost {} in, {} out",
                       static_cast<double>(round_trip) / 1000,
                       static_cast<double>(count(path.counters, "round_trip_variation_us")) / 1000,
                       percentage(count(path.counters, "lost_in"), count(path.counters, "expected_in")),
                       percentage(count(path.counters, "lost_out"), count(path.counters, "packets_out")));
}

class Table {
public:
    Table(const Snapshot &earlier, const Snapshot &now, std::size_t columns)
        : earlier_{&earlier}, now_(now), elapsed_(now.monotonic - std::min(now.monotonic, earlier.monotonic)),
          columns_(columns)
    {
    }

    std::vector<Line> connections(const std::vector<const Connection *> &connections)
    {
        for (const Connection *connection : connections) {
            state_columns_ = std::max(state_columns_, paths_up_text(*connection).size());
            for (const Path &path : connection->paths) {
                state_columns_ = std::max(state_columns_, state_of(path).size());
                device_columns_ = std::max(device_columns_, path.interface.size());
                remote_columns_ = std::max(remote_columns_, path.remote_address.size());
            }
        }
        const std::size_t right =
            state_columns_ + kSinceColumns + kWeightColumns + 2 * kRateColumns + kLossColumns + 5 * kGap;
        const std::size_t with_remote = kIndent + device_columns_ + kGap + remote_columns_ + kGap;
        remote_fits_ = with_remote + right <= columns_;
        left_columns_ = remote_fits_ ? with_remote : kIndent + device_columns_ + kGap;
        // Names of connections may take what is free.
        for (const Connection *connection : connections)
            if (const std::size_t needed = connection->name.size() + kGap; needed + right <= columns_)
                left_columns_ = std::max(left_columns_, needed);
        left_columns_ = std::max(left_columns_, std::size_t{12});

        row("CONNECTION", Style::kDim, {"STATE", "SINCE", "WEIGHT", "OUT", "IN", "LOSS", Style::kDim}, Style::kDim);
        for (const Connection *connection : connections)
            add(*connection);
        return std::move(lines_);
    }

private:
    void row(const std::string &left, Style left_style, const Cells &cells, Style style)
    {
        Line line(left, left_style);
        if (line.columns() + kGap > left_columns_) {
            lines_.push_back(std::move(line));
            line = Line();
        }
        line.fill(left_columns_).add_left(cells.state, state_columns_, cells.style);
        line.fill(line.columns() + kGap).add_right(cells.since, kSinceColumns, style);
        line.fill(line.columns() + kGap).add_right(cells.weight, kWeightColumns, style);
        line.fill(line.columns() + kGap).add_right(cells.out, kRateColumns, style);
        line.fill(line.columns() + kGap).add_right(cells.in, kRateColumns, style);
        line.fill(line.columns() + kGap).add_right(cells.loss, kLossColumns, style);
        lines_.push_back(std::move(line));
    }

    void note(const std::string &text, std::size_t indent, Style style)
    {
        std::vector<Line> wrapped = wrap(text, columns_, indent, style);
        lines_.insert(lines_.end(), std::make_move_iterator(wrapped.begin()), std::make_move_iterator(wrapped.end()));
    }

    void add(const Connection &connection)
    {
        const Rates sum = rates(earlier_.of(connection), connection.counters, elapsed_);
        row(connection.name, Style::kBold,
            {paths_up_text(connection), "", "", short_number(sum.bits_out), short_number(sum.bits_in),
             percentage(count(connection.counters, "lost"), packets_expected(connection)), paths_up_style(connection)},
            Style::kBold);
        note(fmt::format("{} to {} on {}, {}", connection.local_address, connection.remote_address, connection.tunnel,
                         connection.file),
             2, Style::kDim);
        if (!connection.created_by.empty())
            note(fmt::format("created by {}; mpt save keeps it", connection.created_by), 2, Style::kWarning);
        else if (!connection.file_present)
            note("its file is gone; mpt delete ends it, mpt save writes the file anew", 2, Style::kWarning);
        else if (connection.unsaved)
            note("changed since it was read from its file; mpt save writes the changes", 2, Style::kWarning);
        for (const Path &path : connection.paths)
            add(connection, path);
    }

    void add(const Connection &connection, const Path &path)
    {
        const Rates own = rates(earlier_.of(connection, path), path.counters, elapsed_);
        Line left;
        left.add("  ")
            .add_left(fmt::format("{}", path.number), kNumberColumns)
            .add_left(path.interface, device_columns_ + kGap);
        if (remote_fits_)
            left.add(path.remote_address);
        row(left.to_string(false), Style::kPlain,
            {state_of(path), age(path.status_since_monotonic, now_), fmt::format("{}", path.weight_out),
             short_number(own.bits_out), short_number(own.bits_in), "",
             style_of_status(path.status_name, path.held_back)},
            Style::kPlain);
        if (!remote_fits_)
            note(path.remote_address, kIndent, Style::kDim);
        if (!path.waits_for.empty())
            note("waits: " + path.waits_for, kIndent, Style::kWarning);
        else if (!path.is_up())
            note(reason_words(path.status_reason), kIndent, Style::kDim);
        else if (path.held_back)
            note("it went down too often and must stay up for a while first", kIndent, Style::kDim);
        if (path.metered)
            note("metered", kIndent, Style::kDim);
        if (path.remote_learned_monotonic != 0)
            note(fmt::format("peer at port {}, learned {} ago", path.remote_port,
                             age(path.remote_learned_monotonic, now_)),
                 kIndent, Style::kDim);
        if (const std::string measured = measure_words(path); !measured.empty() && path.is_up())
            note(measured, kIndent, Style::kDim);
    }

    EarlierCounters earlier_;
    const Snapshot &now_;
    std::uint64_t elapsed_;
    std::size_t columns_;
    std::size_t state_columns_ = 5;
    std::size_t device_columns_ = 0;
    std::size_t remote_columns_ = 0;
    std::size_t left_columns_ = 0;
    bool remote_fits_ = true;
    std::vector<Line> lines_;
};

void append(std::vector<Line> &lines, std::vector<Line> more)
{
    lines.insert(lines.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

// The counters that are not 0, in as many columns as fit.
void append_counters(std::vector<Line> &lines, const std::string &title, const Counters &counters, std::size_t columns)
{
    std::vector<std::string> texts;
    std::size_t widest = 0;
    for (const auto &[name, value] : counters) {
        if (value == 0)
            continue;
        texts.push_back(fmt::format("{} {}", name, value));
        widest = std::max(widest, texts.back().size());
    }
    lines.emplace_back(title, Style::kBold);
    if (texts.empty())
        lines.emplace_back("  nothing yet", Style::kDim);
    const std::size_t each = widest + kGap;
    for (std::size_t i = 0; i < texts.size();) {
        Line line("  ");
        do
            line.add_left(texts[i++], each);
        while (i < texts.size() && line.columns() + widest <= columns);
        lines.push_back(std::move(line));
    }
}

std::string seconds(std::uint64_t duration)
{
    return fmt::format("{:g}s", static_cast<double>(duration) / 1e6);
}

// A path's own end as the peer sees it, where that is not simply its own address.
std::string public_words(const Path &path)
{
    const std::string address = path.ip_version == 6 ? fmt::format("[{}]", path.public_address) : path.public_address;
    if (path.public_source == "stun")
        return fmt::format(", public {}:{} (by STUN)", address, path.public_port);
    if (path.public_source == "peer")
        return fmt::format(", public {}:{} (by the peer)", address, path.public_port);
    if (path.public_source == "configured" && path.public_address != path.local_address)
        return fmt::format(", public {}", path.public_address);
    return path.public_source == "private" ? ", public address not known" : "";
}

std::vector<Line> details(const Connection &connection, std::size_t columns)
{
    std::vector<Line> lines;
    lines.emplace_back("");
    append(lines,
           wrap(fmt::format("port {} here, {} there; permission {}; auth_type {}; reorder_window {}; max_buffdelay {}",
                            connection.local_port, connection.remote_port, connection.permission, connection.auth_type,
                            connection.reorder_window, seconds(connection.max_buffer_delay)),
                columns, 0));
    for (const auto &[source, destination] : connection.networks)
        append(lines, wrap(fmt::format("network {} to {}", source, destination), columns, 0));
    for (const Path &path : connection.paths)
        append(lines,
               wrap(fmt::format("path {}: {}{} to {}, gateway {}, keepalives {}", path.number,
                                path.local_address.empty() ? "no address yet" : path.local_address, public_words(path),
                                path.remote_address.empty() ? "no address yet" : path.remote_address,
                                path.gateway_address.empty() ? "none" : path.gateway_address,
                                path.keepalive_time == 0
                                    ? "none"
                                    : fmt::format("every {}, dead after {}", seconds(path.keepalive_time),
                                                  seconds(path.dead_time))),
                    columns, 0));
    lines.emplace_back("");
    append_counters(lines, "Counters of the connection", connection.counters, columns);
    for (const Path &path : connection.paths)
        append_counters(lines, fmt::format("Counters of path {}", path.number), path.counters, columns);
    return lines;
}

} // namespace

std::string state_of(const Path &path)
{
    return path.is_up() && path.held_back ? "held back" : status_words(path.status_name);
}

std::string paths_up_text(const Connection &connection)
{
    return fmt::format("{} of {} up", connection.paths_up(), connection.paths.size());
}

Style paths_up_style(const Connection &connection)
{
    const std::size_t up = connection.paths_up();
    return up == 0 ? Style::kBad : up < connection.paths.size() ? Style::kWarning : Style::kGood;
}

std::uint64_t packets_expected(const Connection &connection)
{
    return count(connection.counters, "delivered") + count(connection.counters, "lost");
}

Line headline(const Snapshot &snapshot)
{
    std::size_t paths = 0;
    std::size_t up = 0;
    for (const Connection &connection : snapshot.connections) {
        paths += connection.paths.size();
        up += connection.paths_up();
    }
    const auto plural = [](std::size_t number, const char *what) {
        return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
    };
    Line line(fmt::format("mptd {}: ", snapshot.version), Style::kBold);
    if (snapshot.connections.empty())
        line.add("no connections");
    else
        line.add(plural(snapshot.connections.size(), "connection") + ", ")
            .add(fmt::format("{} of {} up", up, plural(paths, "path")), up < paths ? Style::kWarning : Style::kGood);
    if (!snapshot.problems.empty())
        line.add(", ").add(plural(snapshot.problems.size(), "problem"), Style::kBad);
    return line;
}

std::vector<Line> status_table(const Snapshot &earlier, const Snapshot &now, const std::string &only,
                               std::size_t columns)
{
    std::vector<Line> lines;
    std::vector<const Connection *> shown;
    for (const Connection &connection : now.connections)
        if (only.empty() || connection.name == only)
            shown.push_back(&connection);
    if (only.empty()) {
        lines.push_back(headline(now));
        for (const Tunnel &tunnel : now.tunnels) {
            const std::string why = tunnel.mtu_reason.empty() ? "" : fmt::format(" ({})", tunnel.mtu_reason);
            append(lines, wrap(fmt::format("{}: {}, MTU {}{}", tunnel.name, fmt::join(tunnel.addresses, ", "),
                                           tunnel.mtu, why),
                               columns, 0, Style::kDim));
        }
        if (!shown.empty())
            lines.emplace_back("");
    }
    if (!shown.empty())
        append(lines, Table(earlier, now, columns).connections(shown));
    if (!only.empty() && !shown.empty())
        append(lines, details(*shown.front(), columns));
    if (only.empty() && !now.problems.empty()) {
        lines.emplace_back("");
        lines.emplace_back("Problems of the configuration:", Style::kBad);
        for (const std::string &problem : now.problems)
            append(lines, wrap(problem, columns, 2));
    }
    return lines;
}

} // namespace mpt::cli
