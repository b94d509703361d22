// The counts of requests in Prometheus' text format 0.0.4: under Triton's names, for dashboards that know those, and as
// histograms of our own, `millrace_request_seconds`. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "serve/statistics.hpp"

namespace millrace::serve {

// At most so many models have labels of their own, the first by name; all others are summed up as model="other".
inline constexpr std::size_t kLabelledModels_max = 200;

std::string prometheus_text(std::span<const ModelReport> models, std::size_t models_max = kLabelledModels_max);

}  // namespace millrace::serve
