#include "loop/batches.hpp"

#include <algorithm>
#include <array>
#include <format>

namespace millrace::loop {

namespace {

constexpr auto words_in = std::to_array<std::string_view>({"date", "time"});
constexpr auto words_out = std::to_array<std::string_view>({"date", "time", "model", "version"});

}  // namespace

std::string bad_batch_path(std::string_view path, BatchPath which) {
  const bool out = which == BatchPath::out;
  if (path.starts_with("file:")) return "a path without \"file:\"";
  if (path.empty() || path.contains('\0') || path.contains("://")) return "a path such as \"scores/{date}.parquet\"";
  if (out && !path.ends_with(".parquet") && !path.ends_with(".csv"))
    return "a path that ends in .parquet or .csv, which says the format";
  const auto stars = path.find_first_of("*?");
  if (out && stars != path.npos) return "a path without * and ?";
  if (stars != path.npos && path.find('/', stars) != path.npos) return "* and ? only in the last part of the path";
  for (auto open = path.find('{'); open != path.npos; open = path.find('{', open + 1)) {
    const auto close = path.find('}', open);
    const auto word = path.substr(open + 1, close == path.npos ? close : close - open - 1);
    if (out ? !std::ranges::contains(words_out, word) : !std::ranges::contains(words_in, word))
      return out ? "{date}, {time}, {model} or {version} in braces" : "{date} or {time} in braces";
  }
  return "";
}

std::string fill_batch_path(std::string_view path, const BatchMoment& moment) {
  const auto local = std::chrono::floor<std::chrono::minutes>(moment.zone.local(moment.due_at));
  std::string out;
  while (!path.empty()) {
    const auto open = path.find('{');
    out += path.substr(0, open);
    if (open == path.npos) break;
    const auto close = path.find('}', open);
    if (close == path.npos) return out.append(path.substr(open));
    const auto word = path.substr(open + 1, close - open - 1);
    if (word == "date") out += std::format("{:%F}", local);
    if (word == "time") out += std::format("{:%H%M}", local);
    if (word == "model") out += moment.model;
    if (word == "version") out += moment.version;
    path.remove_prefix(close + 1);
  }
  return out;
}

BatchDecision decide_batch(const flow::Schedule& schedule, const flow::Zone& zone, const BatchSnapshot& snapshot) {
  BatchDecision out;
  out.next = flow::next_fire(schedule, snapshot.now, zone);
  const auto due = flow::due(schedule, snapshot.since, snapshot.now, zone);
  if (!due) return out;
  if (snapshot.unfinished) {
    out.waits = "it is due, and waits until its run before is over";
    return out;
  }
  out.due_at = due->since;
  out.missed = due->missed;
  for (std::uint32_t i = 0; i < due->missed; ++i) out.due_at = flow::next_fire(schedule, *out.due_at, zone);
  return out;
}

}  // namespace millrace::loop
