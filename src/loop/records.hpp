// What the loop itself keeps: project files as they were applied, runs' plans, live quality. Every function runs in the
// caller's transaction.
#pragma once

#include <cstdint>
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

struct StoredLive {
  std::string model;
  std::int64_t labels_seq = 0;
  std::string result;  // JSON of LiveResult
  TimePoint at{};
};
Result<void> put_live(meta::Tx& tx, const StoredLive& live);
Result<std::optional<StoredLive>> get_live(meta::Reader& reader, std::string_view model);

}  // namespace millrace::loop
