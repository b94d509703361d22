// Releases: what is on its way to serve, and what became of those before. Every function runs in the caller's
// transaction; what changes emits `model.release` there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "loop/release.hpp"
#include "meta/meta.hpp"
#include "serve/last_words.hpp"

namespace millrace::loop {

// One of the last requests before a process died.
struct LastRequest {
  std::string id;  // of the prediction, of the request's first row
  std::string at;
  std::int64_t version = 0;
  std::int64_t rows = 0;
  bool answered = false;  // false: it was being computed
};

// The same version ended this predictor too.
struct OtherDeath {
  std::string predictor;
  int signal = 0;
  std::string name;
  std::string at;
  std::vector<LastRequest> requests;
};

// What a process said when it died of a signal.
struct ReleaseDeath {
  static constexpr std::size_t kOthersMax = 100;
  int signal = 0;
  std::string name;  // "SIGABRT"
  std::int64_t version = 0;
  std::string at;
  std::vector<LastRequest> requests;  // newest first
  std::string predictor;              // whose process it was; "": the server's own
  std::vector<OtherDeath> others;     // at most kOthersMax
  bool tells_of(std::string_view predictor, std::string_view at) const;
};

struct Release {
  std::string id;
  std::string model;
  std::int64_t candidate = 0;
  std::optional<std::int64_t> previous;
  std::vector<std::string> steps;
  std::int64_t step = 0;  // place in `steps`
  TimePoint since{};      // the step began
  TimePoint began{};
  std::optional<TimePoint> ended;
  std::string outcome;  // "" under way, finished, back, ended (by hand), replaced (by a newer one), died
  std::string why;      // of the outcome
  std::string cause;    // who began it
  ReleaseCounts counts;
  std::int64_t candidate_before = 0;  // of counts.candidate: before this step
  std::optional<ReleaseDeath> death;

  ReleaseStep at() const;  // the present step
  bool under_way() const { return !ended; }
};

std::string signal_name(int signal);  // "SIGABRT"
// Notes a death of the candidate: of the server's own process, or of a predictor on another machine by its name.
// Whether that changes anything: each is noted once, and of a release that is over only those on other machines. Pure.
bool add_death(Release& release, const serve::Death& death, const std::string& predictor);

meta::Migration release_migration();  // of the loop's tables

Result<void> add_release(meta::Tx& tx, const Release& release);
Result<void> update_release(meta::Tx& tx, const Release& release);
Result<std::vector<Release>> releases_under_way(meta::Reader& reader);  // of all models
Result<std::optional<Release>> find_release(meta::Reader& reader, std::string_view id);
Result<std::optional<Release>> release_under_way(meta::Reader& reader, std::string_view model);
Result<std::vector<Release>> list_releases(meta::Reader& reader, std::string_view model, std::int64_t limit,
                                           std::int64_t offset);  // newest first
Result<std::int64_t> count_releases(meta::Reader& reader, std::string_view model);
// Ends the one under way, if there is one.
Result<void> end_release(meta::Tx& tx, std::string_view model, std::string_view outcome, const std::string& why,
                         TimePoint now);
// A version of which the last release ended in the process's death is not loaded unasked.
Result<bool> died_serving(meta::Reader& reader, std::string_view model, std::int64_t version);

}  // namespace millrace::loop
