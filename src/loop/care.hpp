// What the records say about the files of their folder: for whoever checks and mends one (millrace doctor). Every
// function runs in the caller's transaction.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::loop {

// Why a blob must be there. `part`: rows of a dataset version. `rows`: labelled rows that a training learned from.
// `code`: project file and code that a run was started with.
enum class BlobUse { model, baseline, part, rolled, rows, code };

struct BlobReference {
  Digest digest;
  BlobUse use = BlobUse::model;
  std::string of;      // "churn:3", "customers@2", a run's id
  std::string name;    // of the model or dataset
  std::string again;   // of a model: the version whose rebuilding makes it again; "" none does
  std::string source;  // of a part that a file holds: "customers.csv"; of a model that was imported: the file's name
  std::string state;   // of a model: "which is current"; else ""
};
// Every blob that a record promises, each once, by its most important use.
Result<std::vector<BlobReference>> blob_references(meta::Reader& reader, TimePoint now);

// What cannot be right in the records, in words: numbers with gaps, aliases that point nowhere, leases of nobody.
Result<std::vector<std::string>> contradictions(meta::Reader& reader, TimePoint now);

// Segments of the prediction log that were made, header and all, and are not rolled yet: their files are there, or were
// lost. In order.
Result<std::vector<serve::PredictionLog::Made>> noted_segments(meta::Reader& reader);
// Notes those that this process made; repeating changes nothing.
Result<void> note_segments(meta::Tx& tx, const serve::PredictionLog::Made& made, TimePoint now);
// No segment gets one of these numbers again: up to here they are rolled, or were made.
Result<std::uint64_t> segment_numbers_used(meta::Reader& reader);
// The file is lost, and its lines with it.
Result<void> forget_segment(meta::Tx& tx, std::uint64_t number, TimePoint now);

// What was lost and given up: known, so no reason to be told again.
struct Loss {
  std::string digest;
  std::string what;
  std::string at;
};
Result<std::vector<Loss>> losses(meta::Reader& reader);
// A model version's bytes, a dataset's part, ... are recorded as gone. Repeating changes nothing.
Result<void> give_up(meta::Tx& tx, const BlobReference& blob, TimePoint now);

}  // namespace millrace::loop
