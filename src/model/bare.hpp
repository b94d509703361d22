// A model file without a manifest, as other programs write it: XGBoost's UBJSON or JSON. It becomes a model with one
// input per feature (numbers, null missing, named as the file names them, else f0, f1, ...) and the engine's own
// prediction as output: Manifest::bare_outputs floats a row.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "model/loaded.hpp"

namespace millrace::model {

// The file's text, not kept. Proven before it is handed out: the whole file reads as what it is, rows that are the same
// every time get finite answers of one width, and our own trees answer bit by bit as XGBoost does (else XGBoost
// answers). With `golden` the answers to its rows are compared too.
//
// golden: {"inputs":[[1,2.5,null],...],"outputs":[[0.25],...],"tolerance":0}: rows of features, null missing, and what
// each must be answered; a number instead of a list where there is one output. Equal as floats, or at most `tolerance`
// apart.
//
// data_loss `model.bad_engine_file`: cut short, damaged, or no model; failed_precondition `model.not_finite`,
// `model.golden_mismatch`; invalid_argument `model.bad_golden`; unavailable `model.engine_missing`.
struct BareFile {
  std::string name;  // of the model
  std::string_view bytes;
  std::string_view golden;  // "" for none
};
Result<std::shared_ptr<const LoadedModel>> load_bare(const BareFile& file, const RuntimeOptions& options);

}  // namespace millrace::model
