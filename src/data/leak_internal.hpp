#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "table/table.hpp"

namespace millrace::data {

// Names the inputs of `inference` that alone tell its target in the sample: AUC above 0.99, one class against the rest
// (the mean over classes, weighted by rows); regression: rank correlation above 0.99.
// A number is judged by its order and by the mean target of its range, a word by the mean target of its category; means
// come from the other half of the rows, so that rare words prove nothing.
std::vector<std::string> find_leaks(const std::vector<table::Batch>& sample, const Inference& inference);

// The chance that a positive row has the larger score, ties counted half. nullopt when one side is empty.
std::optional<double> auc_of(const std::vector<double>& scores, const std::vector<char>& positive);

}  // namespace millrace::data
