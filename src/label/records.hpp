// The labels as records in the metadata store. Functions over a transaction or a snapshot that the caller holds, so
// that one transaction can take labels and do more.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fault.hpp"
#include "label/label.hpp"
#include "meta/meta.hpp"

namespace millrace::label {

std::vector<meta::Migration> migrations();

struct Intake {
  std::int64_t accepted = 0;
  std::int64_t duplicates = 0;  // said before, or twice in this batch: nothing was added for them
  std::int64_t last_seq = 0;    // of the model's newest label, 0 when it has none
};

// Takes all of a batch of one model or none of it, in its order. Safe to repeat: what is known already is counted as
// duplicate. Labels without a named time get `now` or, where that is not after the last one, the next microsecond: no
// two of them share a time. Emits `labels.added` (key: the model; payload {"model","count","seq"}) when something was
// added.
//   invalid_argument     label.mixed_models
//   already_exists       label.id_reused     a client's label id that stands for something else; names the place
// Fault points: label.add.halfway, label.add.before_commit.
Result<Intake> add(meta::Tx& tx, Faults& faults, std::string_view model, std::span<const Label> labels, TimePoint now);

struct LabelFilter {
  std::int64_t after_seq = 0;
  std::optional<TimePoint> arrived_after;
  std::vector<Origin> origins = {Origin::human, Origin::system};  // the trusted ones
};
// Labels with a value. For `retrain.when = "new_labels >= N"`: after_seq of the labels that the last training saw.
Result<std::int64_t> count(meta::Reader& reader, std::string_view model, const LabelFilter& filter);
Result<std::int64_t> last_seq(meta::Reader& reader, std::string_view model);

// All labels of a model (whatever their origin), by seq, after `after_seq`, at most `max`: page until it is empty. What
// an export and a join read.
Result<std::vector<Label>> labels_after(meta::Reader& reader, std::string_view model, std::int64_t after_seq,
                                        std::size_t max);

// Whether a label that came before may be about this prediction: it names it, or its key at its time or later.
Result<bool> speaks_of(meta::Reader& reader, std::string_view model, const Id& prediction, std::string_view key,
                       TimePoint time);

}  // namespace millrace::label
