// Small real models for tests of whatever serves or judges them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "model/loaded.hpp"

namespace millrace::model::testing {

// Inputs of every type and encoding: age (int64), income (float64, may be null), member (boolean), city (text, may be
// null), joined (date), seen_at (timestamp, may be null). Key: customer. Ignored: note.
std::vector<Input> sample_inputs();
// Classes: {"no", "yes"}, {"bus", "car", "tram"}, none.
Manifest sample_manifest(TaskType task);
// `count` rows for sample_inputs(): nulls, unseen cities and extremes among them.
std::vector<table::Row> sample_rows(std::uint64_t seed, std::size_t count);
// The artifact of a few trees grown on sample_rows() and made-up targets; the seed changes the answers.
Result<std::string> sample_artifact(TaskType task, std::uint64_t seed = 1, int rounds = 5);
// An artifact that answers this probability (binary) or value (regression), whatever the row.
Result<std::string> constant_artifact(TaskType task, double answer);
Result<std::string> constant_artifact(Manifest manifest, double answer);

// An ONNX file: one MatMul and Add of `features` floats to one output per bias, named `output`, softmaxed where asked.
// weights: row-major, features x outputs.
std::string linear_onnx(int features, const std::vector<float>& weights, const std::vector<float>& biases, bool softmax,
                        const std::string& output = "probabilities");

// {"age":31,"city":"Lima",...}: nulls written as null.
std::string json_row(const std::vector<Input>& inputs, const table::Row& row);

}  // namespace millrace::model::testing
