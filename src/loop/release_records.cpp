#include "loop/release_records.hpp"

#include <string.h>

#include <algorithm>
#include <format>

#include "base/json.hpp"

namespace millrace::loop {

meta::Migration release_migration() {
  return {"loop", 4, R"sql(
CREATE TABLE loop_releases (
  id TEXT PRIMARY KEY,
  model TEXT NOT NULL,
  candidate BIGINT NOT NULL,
  previous BIGINT,
  steps TEXT NOT NULL,
  step BIGINT NOT NULL,
  since_us BIGINT NOT NULL,
  began_us BIGINT NOT NULL,
  ended_us BIGINT,
  outcome TEXT NOT NULL,
  why TEXT NOT NULL,
  cause TEXT NOT NULL,
  counts TEXT NOT NULL,
  candidate_before BIGINT NOT NULL,
  death TEXT
);
CREATE INDEX loop_releases_by_model ON loop_releases (model, id);
)sql"};
}

namespace {

constexpr std::string_view release_columns =
    "id, model, candidate, previous, steps, step, since_us, began_us, ended_us, outcome, why, cause, counts, "
    "candidate_before, death";

Result<Release> release_from(const meta::Row& row) {
  Release out;
  out.id = row.text(0);
  out.model = row.text(1);
  out.candidate = row.integer(2);
  out.previous = row.maybe_integer(3);
  TRY(out.steps, json::parse<std::vector<std::string>>(row.text(4), "a release's steps"));
  out.step = row.integer(5);
  out.since = row.time(6);
  out.began = row.time(7);
  out.ended = row.maybe_time(8);
  out.outcome = row.text(9);
  out.why = row.text(10);
  out.cause = row.text(11);
  TRY(out.counts, json::parse<ReleaseCounts>(row.text(12), "a release's counts"));
  out.candidate_before = row.integer(13);
  if (const auto death = row.maybe_text(14)) {
    TRY(out.death, json::parse<ReleaseDeath>(*death, "a death in a release"));
  }
  return out;
}

Result<void> emit_release(meta::Tx& tx, const Release& one) {
  return tx.emit({"model.release", one.model,
                  std::format(R"({{"release":"{}","version":{},"step":{},"outcome":"{}"}})", one.id, one.candidate,
                              one.step, one.outcome)});
}

std::vector<LastRequest> last_requests(const serve::Death& death) {
  std::vector<LastRequest> out;
  for (const auto& one : death.requests)
    out.push_back({one.id.text(), format_time(one.at), one.version, one.rows, one.answered});
  return out;
}

std::optional<std::string> death_text(const Release& one) {
  return one.death ? std::optional(json::render(*one.death)) : std::nullopt;
}

}  // namespace

bool ReleaseDeath::tells_of(std::string_view who, std::string_view when) const {
  return (predictor == who && at == when) ||
         std::ranges::any_of(others, [&](const auto& one) { return one.predictor == who && one.at == when; });
}

std::string signal_name(int signal) {
  const char* name = sigabbrev_np(signal);
  return name ? std::format("SIG{}", name) : std::format("signal {}", signal);
}

bool add_death(Release& release, const serve::Death& death, const std::string& predictor) {
  const auto at = format_time(death.at);
  if (release.model != death.watched.model || release.candidate != death.watched.version) return false;
  if (!release.under_way() && predictor.empty()) return false;
  if (release.death && release.death->tells_of(predictor, at)) return false;
  if (release.death && release.death->others.size() >= ReleaseDeath::kOthersMax) return false;
  if (release.death) {
    release.death->others.push_back({predictor, death.signal, signal_name(death.signal), at, last_requests(death)});
  } else {
    release.death = ReleaseDeath{.signal = death.signal,
                                 .name = signal_name(death.signal),
                                 .version = death.watched.version,
                                 .at = at,
                                 .requests = last_requests(death),
                                 .predictor = predictor,
                                 .others = {}};
  }
  return true;
}

ReleaseStep Release::at() const {
  const auto place = static_cast<std::size_t>(step);
  return place < steps.size() ? parse_release_step(steps[place]).value_or(ReleaseStep{}) : ReleaseStep{};
}

Result<void> add_release(meta::Tx& tx, const Release& one) {
  TRY_VOID(tx.exec("INSERT INTO loop_releases (" + std::string(release_columns) +
                       ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
                   {one.id, one.model, one.candidate, meta::value(one.previous), json::render(one.steps), one.step,
                    meta::value(one.since), meta::value(one.began), meta::value(one.ended), one.outcome, one.why,
                    one.cause, json::render(one.counts), one.candidate_before, meta::value(death_text(one))}));
  return emit_release(tx, one);
}

Result<void> update_release(meta::Tx& tx, const Release& one) {
  TRY(auto before, tx.query_one("SELECT step, outcome FROM loop_releases WHERE id = $1", {one.id}));
  TRY_VOID(
      tx.exec("UPDATE loop_releases SET step = $2, since_us = $3, ended_us = $4, outcome = $5, why = $6, counts = $7, "
              "candidate_before = $8, death = $9 WHERE id = $1",
              {one.id, one.step, meta::value(one.since), meta::value(one.ended), one.outcome, one.why,
               json::render(one.counts), one.candidate_before, meta::value(death_text(one))}));
  if (before && before->integer(0) == one.step && before->text(1) == one.outcome) return {};
  return emit_release(tx, one);
}

Result<std::vector<Release>> releases_under_way(meta::Reader& reader) {
  TRY(auto rows, reader.query("SELECT " + std::string(release_columns) +
                              " FROM loop_releases WHERE ended_us IS NULL ORDER BY id"));
  std::vector<Release> out;
  for (const auto& row : rows) {
    TRY(auto one, release_from(row));
    out.push_back(std::move(one));
  }
  return out;
}

Result<std::optional<Release>> find_release(meta::Reader& reader, std::string_view id) {
  TRY(auto row, reader.query_one("SELECT " + std::string(release_columns) + " FROM loop_releases WHERE id = $1",
                                 {std::string(id)}));
  if (!row) return std::nullopt;
  TRY(auto out, release_from(*row));
  return std::optional(std::move(out));
}

Result<std::optional<Release>> release_under_way(meta::Reader& reader, std::string_view model) {
  TRY(auto row,
      reader.query_one("SELECT " + std::string(release_columns) +
                           " FROM loop_releases WHERE model = $1 AND ended_us IS NULL ORDER BY id DESC LIMIT 1",
                       {std::string(model)}));
  if (!row) return std::nullopt;
  TRY(auto out, release_from(*row));
  return std::optional(std::move(out));
}

Result<std::vector<Release>> list_releases(meta::Reader& reader, std::string_view model, std::int64_t limit,
                                           std::int64_t offset) {
  TRY(auto rows, reader.query("SELECT " + std::string(release_columns) +
                                  " FROM loop_releases WHERE model = $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
                              {std::string(model), limit, offset}));
  std::vector<Release> out;
  for (const auto& row : rows) {
    TRY(auto one, release_from(row));
    out.push_back(std::move(one));
  }
  return out;
}

Result<std::int64_t> count_releases(meta::Reader& reader, std::string_view model) {
  TRY(auto rows, reader.query("SELECT count(*) FROM loop_releases WHERE model = $1", {std::string(model)}));
  return rows[0].integer(0);
}

Result<void> end_release(meta::Tx& tx, std::string_view model, std::string_view outcome, const std::string& why,
                         TimePoint now) {
  TRY(auto one, release_under_way(tx, model));
  if (!one) return {};
  one->ended = now;
  one->outcome = outcome;
  one->why = why;
  return update_release(tx, *one);
}

Result<bool> died_serving(meta::Reader& reader, std::string_view model, std::int64_t version) {
  TRY(auto row,
      reader.query_one("SELECT outcome FROM loop_releases WHERE model = $1 AND candidate = $2 ORDER BY id DESC LIMIT 1",
                       {std::string(model), version}));
  return row && row->text(0) == "died";
}

}  // namespace millrace::loop
