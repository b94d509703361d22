#include "remote/death.hpp"

#include <string.h>

#include <algorithm>
#include <format>

#include "base/fs.hpp"
#include "base/json.hpp"
#include "base/log.hpp"

namespace millrace::remote {

constexpr int death_format = 1;

// The record on disk.
struct KeptDeath {
  int format = death_format;
  api::PredictorDeath death;
};

api::PredictorDeath to_wire(const serve::Death& death) {
  api::PredictorDeath out{.model = death.watched.model, .release = death.watched.release};
  out.signal = death.signal;
  const char* name = sigabbrev_np(death.signal);
  out.name = name ? std::format("SIG{}", name) : std::format("signal {}", death.signal);
  out.version = death.watched.version;
  out.at = format_time(death.at);
  for (const auto& one : death.requests)
    out.last_requests.push_back({one.id.text(), format_time(one.at), one.version, one.rows, one.answered});
  return out;
}

Result<void> keep_death(Env& env, const std::string& path, const api::PredictorDeath& death) {
  return write_file(env.fs, path, json::render(KeptDeath{death_format, death}) + "\n");
}

std::optional<api::PredictorDeath> kept_death(Env& env, const std::string& path) {
  const auto text = read_file(env.fs, path);
  if (!text && text.error().code == Code::not_found) return std::nullopt;
  auto kept = text ? json::parse_lenient<KeptDeath>(*text, "the kept death") : Result<KeptDeath>(fail(text.error()));
  if (kept && kept->format == death_format) return std::move(kept->death);
  env.log.error("kept_death_not_read",
                {{"path", path}, {"error", kept ? "its format is of another Millrace" : kept.error().message}});
  return std::nullopt;
}

void leave_out(std::vector<serve::WantedModel>& wanted, const api::PredictorDeath& death) {
  const auto at = std::ranges::find(wanted, death.model, &serve::WantedModel::name);
  if (at == wanted.end() || !at->watched || at->watched->release != death.release) return;
  const auto is_dead = [&](const serve::VersionRef& ref) { return ref.number == death.version; };
  if (at->release && is_dead(at->release->candidate)) at->release.reset();
  if (at->previous && is_dead(*at->previous)) at->previous.reset();
  std::erase_if(at->others, is_dead);
  if (at->current && is_dead(*at->current)) at->current = std::exchange(at->previous, std::nullopt);
  at->probation = false;
  at->watched.reset();
}

bool is_over(const std::vector<serve::WantedModel>& wanted, const api::PredictorDeath& death) {
  const auto at = std::ranges::find(wanted, death.model, &serve::WantedModel::name);
  return at == wanted.end() || (at->watched && at->watched->release != death.release);
}

}  // namespace millrace::remote
