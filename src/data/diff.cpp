#include "data/diff.hpp"

#include <algorithm>
#include <cmath>
#include <format>

#include "table/value.hpp"

namespace millrace::data {

namespace {

// Four significant digits: enough to see a shift.
std::string shown(double value) { return std::format("{:.4g}", value); }
std::string percent(std::int64_t part, std::int64_t whole) {
  return std::format("{:.1f} %", whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0);
}

std::string cut(const std::string& text) { return table::excerpt(text, 40); }

const ColumnProfile* find(const Analysis& analysis, const std::string& name) {
  const auto found = std::ranges::find(analysis.columns, name, &ColumnProfile::name);
  return found == analysis.columns.end() ? nullptr : &*found;
}

void add(std::string& line, std::string_view what, const std::string& before, const std::string& after) {
  if (before == after) return;
  line += (line.empty() ? "" : ", ") + std::string(what) + " " + before + " -> " + after;
}

std::string value_changes(const ColumnProfile& a, const ColumnProfile& b) {
  std::string line;
  if (a.mean && b.mean) {
    add(line, "mean", shown(*a.mean), shown(*b.mean));
    if (a.std_dev && b.std_dev) add(line, "deviation", shown(*a.std_dev), shown(*b.std_dev));
  }
  add(line, "min", cut(a.min), cut(b.min));
  add(line, "max", cut(a.max), cut(b.max));
  add(line, "nulls", percent(a.nulls, a.nulls + a.count), percent(b.nulls, b.nulls + b.count));
  add(line, "distinct", std::to_string(a.distinct), std::to_string(b.distinct));
  // Of categories: the shares of the most frequent ones, where they moved by a point or more.
  for (const ValueCount& value : b.top) {
    if (a.mean || b.mean) break;
    const auto was = std::ranges::find(a.top, value.value, &ValueCount::value);
    if (was == a.top.end() || a.count == 0 || b.count == 0 || b.distinct > 50) continue;
    const double before = static_cast<double>(was->count) / static_cast<double>(a.count);
    const double after = static_cast<double>(value.count) / static_cast<double>(b.count);
    if (std::abs(before - after) >= 0.01)
      add(line, "'" + cut(value.value) + "'", percent(was->count, a.count), percent(value.count, b.count));
  }
  return line;
}

std::int64_t rows_of(const std::vector<Part>& parts) {
  std::int64_t rows = 0;
  for (const Part& part : parts) rows += part.rows;
  return rows;
}

// Parts of `a` that `b` does not have; a part that is in there twice counts twice.
std::vector<Part> missing_from(const std::vector<Part>& a, std::vector<Part> b) {
  std::vector<Part> out;
  for (const Part& part : a) {
    const auto found = std::ranges::find(b, part);
    if (found == b.end()) {
      out.push_back(part);
    } else {
      b.erase(found);
    }
  }
  return out;
}

}  // namespace

VersionDiff diff(const VersionContent& before, const VersionContent& after) {
  VersionDiff out;
  out.old_rows = before.analysis.rows;
  out.new_rows = after.analysis.rows;
  out.parts_added = missing_from(after.parts, before.parts);
  out.parts_removed = missing_from(before.parts, after.parts);
  for (const ColumnField& field : after.schema) {
    const auto was = std::ranges::find(before.schema, field.name, &ColumnField::name);
    if (was == before.schema.end()) {
      out.columns.push_back({field.name, "added", field.name + ": new, " + field.type});
      continue;
    }
    if (was->type != field.type) {
      out.columns.push_back({field.name, "type", field.name + ": " + was->type + " -> " + field.type});
    }
    const ColumnProfile* a = find(before.analysis, field.name);
    const ColumnProfile* b = find(after.analysis, field.name);
    const std::string changes = a && b ? value_changes(*a, *b) : "";
    if (!changes.empty()) out.columns.push_back({field.name, "values", field.name + ": " + changes});
  }
  for (const ColumnField& field : before.schema) {
    if (std::ranges::find(after.schema, field.name, &ColumnField::name) == after.schema.end()) {
      out.columns.push_back({field.name, "removed", field.name + ": gone"});
    }
  }
  out.lines.push_back(std::format("rows {} -> {}: {} added in {} parts, {} removed in {} parts", out.old_rows,
                                  out.new_rows, rows_of(out.parts_added), out.parts_added.size(),
                                  rows_of(out.parts_removed), out.parts_removed.size()));
  for (const ColumnDiff& column : out.columns) out.lines.push_back(column.line);
  return out;
}

}  // namespace millrace::data
