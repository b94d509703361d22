#include "flow/zone.hpp"

#include <exception>
#include <format>

#include "base/nearest.hpp"

namespace millrace::flow {

namespace chr = std::chrono;

Result<Zone> Zone::find(std::string_view name) {
  Zone out;
  if (name == "UTC") return out;
  // A name is a path below the data's folder for some implementations, and may hold anything when it comes from a file.
  try {
    out.zone_ = chr::locate_zone(name);
    return out;
  } catch (const std::exception&) {
  }
  std::vector<std::string> known;
  try {
    for (const auto& zone : chr::get_tzdb().zones) known.emplace_back(zone.name());
    for (const auto& link : chr::get_tzdb().links) known.emplace_back(link.name());
  } catch (const std::exception&) {
  }
  if (known.size() < 10)
    return fail(
        Code::failed_precondition, "flow.no_zone_data",
        std::format("time zone \"{}\" can't be looked up: this machine has no time zone data; install the package "
                    "tzdata or use \"UTC\"",
                    name));
  const std::string meant = nearest(name, known);
  return fail(Code::invalid_argument, "flow.unknown_zone",
              std::format("unknown time zone \"{}\"; {}", name,
                          meant.empty() ? "expected an IANA name such as \"Europe/Lisbon\" or \"UTC\""
                                        : "did you mean \"" + meant + "\"?"));
}

std::string Zone::name() const { return zone_ ? std::string(zone_->name()) : "UTC"; }

LocalTime Zone::local(TimePoint time) const {
  if (!zone_) return LocalTime(time.time_since_epoch());
  return zone_->to_local(time);
}

Zone::Moments Zone::moments(LocalTime time) const {
  if (!zone_) {
    const TimePoint same(time.time_since_epoch());
    return {same, same, false, false};
  }
  const chr::local_info info = zone_->get_info(time);
  const auto at = [&](const chr::sys_info& rule) { return TimePoint(time.time_since_epoch() - Duration(rule.offset)); };
  switch (info.result) {
    case chr::local_info::nonexistent:
      return {info.first.end, info.first.end, true, false};
    case chr::local_info::ambiguous:
      return {at(info.first), at(info.second), false, true};
    default:
      return {at(info.first), at(info.first), false, false};
  }
}

}  // namespace millrace::flow
