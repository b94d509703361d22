// What the loop itself keeps: project files as they were applied, runs' plans, live quality. Every function runs in the
// caller's transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace::loop {

std::vector<meta::Migration> migrations();

struct StoredProject {
  std::int64_t number = 0;  // from 1, grows by one per change
  std::string name;
  std::string text;    // as it was given
  std::string digest;  // of the resolved file
  TimePoint applied{};
  std::string by;
};
Result<StoredProject> add_project(meta::Tx& tx, StoredProject project);
Result<std::optional<StoredProject>> newest_project(meta::Reader& reader);
// The one in use at a moment.
Result<std::optional<StoredProject>> project_at(meta::Reader& reader, TimePoint at);
Result<std::optional<StoredProject>> get_project(meta::Reader& reader, std::int64_t number);

// One row per training run: what it took, so that the retrain rules know what is new since.
struct Training {
  std::string run;
  std::int64_t dataset_version = 0;
  std::int64_t dataset_rows = 0;
  std::int64_t labels_usable = 0;
  std::int64_t labels_seq = 0;
  std::string model_digest;
  std::string plan;    // JSON of RunPlan
  bool counts = true;  // quick and self-test trainings do not count for the rules
  TimePoint started{};
};
Result<void> add_training(meta::Tx& tx, const Training& training);
Result<void> update_plan(meta::Tx& tx, std::string_view run, std::string_view plan);
Result<std::optional<Training>> newest_training(meta::Reader& reader);  // of those that count
Result<std::optional<Training>> training_of(meta::Reader& reader, std::string_view run);

// All of them, in no order, one page in memory at a time.
Result<void> each_training(meta::Reader& reader, const std::function<void(const Training&)>& visit);

struct StoredLive {
  std::string model;
  std::int64_t labels_seq = 0;
  std::string result;  // JSON of LiveResult
  TimePoint at{};
};
Result<void> put_live(meta::Tx& tx, const StoredLive& live);
Result<std::optional<StoredLive>> get_live(meta::Reader& reader, std::string_view model);

// What was asked of a dataset's source when it was last read (a digest): another question, and it is read again.
Result<void> put_question(meta::Tx& tx, std::string_view dataset, std::string_view question);
Result<std::optional<std::string>> get_question(meta::Reader& reader, std::string_view dataset);

// When something that the server does by itself from time to time was last done, and what came out.
struct StoredChore {
  std::string name;
  std::string result;  // JSON
  TimePoint at{};
};
Result<void> put_chore(meta::Tx& tx, const StoredChore& chore);
Result<std::optional<StoredChore>> get_chore(meta::Reader& reader, std::string_view name);

}  // namespace millrace::loop
