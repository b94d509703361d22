// Values of sensitive columns are not shown: null stays null, everything else becomes one fixed text. Pure.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "data/dataset.hpp"

namespace millrace::data {

inline constexpr std::string_view mask_text = "***";

using ColumnNames = std::set<std::string, std::less<>>;

// In statistics: smallest, largest and frequent values, and what is computed of single values (mean, deviation,
// quantiles, histogram). Counts stay: of rows, nulls, distinct values. Samples of checks go.
void mask(Analysis& analysis, const ColumnNames& columns);

}  // namespace millrace::data
