// The labels of a model as text, one JSON object per line: how they travel to jobs, as a blob.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "label/label.hpp"

namespace millrace::loop {

std::string render_labels(const std::vector<label::Label>& labels);
Result<std::vector<label::Label>> parse_labels_text(std::string_view text);

}  // namespace millrace::loop
