#include "cli/loadtest_rows.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <format>
#include <limits>

#include "base/json.hpp"
#include "base/text.hpp"
#include "base/tree.hpp"

namespace millrace::cli {

namespace {

constexpr int made_up_count = 16;
constexpr std::size_t rows_max = 100'000;

struct MetadataTensor {
  std::string name, datatype;
  std::vector<std::int64_t> shape;
};
struct Metadata {
  std::vector<MetadataTensor> inputs;
};

bool is_float(std::string_view datatype) { return datatype == "FP64" || datatype == "FP32"; }
bool is_whole(std::string_view datatype) { return datatype.starts_with("INT") || datatype.starts_with("UINT"); }

std::unexpected<Error> bad_rows(const std::string& file, std::string_view what) {
  return fail(Code::invalid_argument, "cli.bad_rows", std::format("{}: {}", file, what));
}

bool missing_word(std::string_view text) {
  for (const std::string_view word : {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"}) {
    if (text == word) return true;
  }
  return false;
}

// Cells of one record of CSV, which `at` moves past; quoted ones may hold commas, line ends and doubled quotes.
std::vector<std::optional<std::string>> csv_record(std::string_view text, std::size_t& at) {
  std::vector<std::optional<std::string>> cells;
  for (bool more = true; more;) {
    std::string cell;
    const bool quoted = at < text.size() && text[at] == '"';
    if (quoted) {
      for (++at; at < text.size(); ++at) {
        if (text[at] == '"' && (at + 1 >= text.size() || text[at + 1] != '"')) break;
        if (text[at] == '"') ++at;
        cell += text[at];
      }
      ++at;
    }
    while (at < text.size() && text[at] != ',' && text[at] != '\n') cell += text[at++];
    more = at < text.size() && text[at] == ',';
    ++at;
    if (!more && cell.ends_with('\r')) cell.pop_back();
    cells.push_back(!quoted && missing_word(cell) ? std::nullopt : std::optional(std::move(cell)));
  }
  return cells;
}

Result<LoadRows> csv_rows(std::string_view text, const std::string& file, const std::vector<LoadColumn>& known) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::size_t at = 0;
  const auto header = csv_record(text, at);
  LoadRows out{.columns = {}, .rows = {}, .origin = file};
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < header.size(); ++i) {
    const auto found = std::ranges::find(known, header[i].value_or(""), &LoadColumn::name);
    if (found == known.end()) continue;  // the target, or what the model does not look at
    out.columns.push_back(*found);
    places.push_back(i);
  }
  if (places.empty()) return bad_rows(file, "its first line names none of the model's inputs");
  while (at < text.size()) {
    const auto cells = csv_record(text, at);
    if (cells.size() == 1 && !cells.front()) continue;  // an empty line
    if (cells.size() != header.size())
      return bad_rows(
          file, std::format("row {} has {} cells, the header {}", out.rows.size() + 1, cells.size(), header.size()));
    auto& row = out.rows.emplace_back();
    for (const auto place : places) row.push_back(cells[place]);
    if (out.rows.size() == rows_max) break;
  }
  return out;
}

std::string cell_text(const Tree& value) {
  if (value.is(Tree::Kind::integer)) return std::to_string(value.as_integer());
  if (value.is(Tree::Kind::boolean)) return value.as_boolean() ? "true" : "false";
  if (!value.is(Tree::Kind::real)) return value.as_text();
  std::string text;
  append_json_number(text, value.as_number());
  return text;
}

// What the column is when it holds `value` too.
std::string wider(const std::string& datatype, const Tree& value) {
  if (value.is(Tree::Kind::null)) return datatype;
  const std::string seen = value.is(Tree::Kind::integer)   ? "INT64"
                           : value.is(Tree::Kind::real)    ? "FP64"
                           : value.is(Tree::Kind::boolean) ? "BOOL"
                                                           : "BYTES";
  if (datatype.empty() || datatype == seen) return seen;
  if ((datatype == "INT64" && seen == "FP64") || (datatype == "FP64" && seen == "INT64")) return "FP64";
  return "BYTES";
}

Result<LoadRows> json_rows(const std::string& file, const std::vector<Tree>& objects,
                           const std::vector<LoadColumn>& known) {
  LoadRows out{.columns = {}, .rows = {}, .origin = file};
  for (const auto& object : objects) {
    auto& row = out.rows.emplace_back(out.columns.size());
    for (const auto& [name, at, value] : object.members()) {
      if (value.is(Tree::Kind::table) || value.is(Tree::Kind::array))
        return bad_rows(file,
                        std::format("row {}: {} is {}, not one value", out.rows.size(), name, kind_name(value.kind())));
      auto column = std::ranges::find(out.columns, name, &LoadColumn::name);
      if (column == out.columns.end()) {
        out.columns.push_back({name, "", 1});
        for (auto& each : out.rows) each.emplace_back();
        column = std::prev(out.columns.end());
      }
      column->datatype = wider(column->datatype, value);
      if (!value.is(Tree::Kind::null)) row[static_cast<std::size_t>(column - out.columns.begin())] = cell_text(value);
    }
  }
  for (auto& column : out.columns) {
    const auto same = std::ranges::find(known, column.name, &LoadColumn::name);
    if (column.datatype.empty()) column.datatype = "FP64";  // never there
    if (same != known.end() && column.datatype != "BYTES") column.datatype = same->datatype;
  }
  return out;
}

void append_cell(std::string& out, const std::optional<std::string>& cell, const std::string& datatype) {
  if (!cell) {
    out += "null";
  } else if (datatype == "BYTES") {
    append_json_text(out, *cell);
  } else {
    out += *cell;
  }
}

// The rows of one body, beginning with `first`, round and round.
template <class Use>
void each_row(const LoadRows& rows, std::size_t first, int count, Use use) {
  for (int i = 0; i < count; ++i) use(rows.rows[(first + static_cast<std::size_t>(i)) % rows.rows.size()]);
}

LoadBody predict_body(const LoadRows& rows, std::size_t first, int count) {
  std::string out = count > 1 ? "[" : "";
  each_row(rows, first, count, [&](const auto& row) {
    if (out.size() > 1) out += ',';
    out += '{';
    for (std::size_t i = 0; i < rows.columns.size(); ++i) {
      if (i > 0) out += ',';
      append_json_text(out, rows.columns[i].name);
      out += ':';
      append_cell(out, row[i], rows.columns[i].datatype);
    }
    out += '}';
  });
  return {out + (count > 1 ? "]" : ""), "application/json"};
}

template <class T>
Result<void> put_number(std::string& out, const std::string& text) {
  T value{};
  if constexpr (std::is_same_v<T, bool>) {
    value = text == "true" || text == "1";
  } else {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      return fail(Code::invalid_argument, "cli.bad_rows", std::format("'{}' is not a number", text));
  }
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
  return ok();
}

Result<void> put_binary(std::string& out, const std::optional<std::string>& cell, const std::string& datatype) {
  if (datatype == "BYTES") {
    const auto& text = cell ? *cell : std::string();
    const auto length = static_cast<std::uint32_t>(text.size());
    char bytes[sizeof length];
    std::memcpy(bytes, &length, sizeof length);
    out.append(bytes, sizeof bytes);
    out += text;
    return ok();
  }
  const auto text = cell.value_or("nan");
  if (datatype == "FP64") return put_number<double>(out, text);
  if (datatype == "FP32") return put_number<float>(out, text);
  if (datatype == "INT64") return put_number<std::int64_t>(out, text);
  if (datatype == "INT32") return put_number<std::int32_t>(out, text);
  if (datatype == "UINT8") return put_number<std::uint8_t>(out, text == "nan" ? "0" : text);
  if (datatype == "BOOL") return put_number<bool>(out, text);
  return fail(Code::unimplemented, "cli.not_available",
              std::format("not available yet: tensors of {} in binary; use --protocol v2", datatype));
}

// A whole number or a boolean has no bits for "missing": such a column goes as FP64, where NaN says it.
LoadRows with_room_for_missing(LoadRows rows) {
  std::size_t cell = 0;
  for (auto& column : rows.columns) {
    bool missing = false;
    for (int i = 0; i < column.width; ++i, ++cell)
      missing = missing || std::ranges::any_of(rows.rows, [&](const auto& row) { return !row[cell]; });
    if (!missing || is_float(column.datatype) || column.datatype == "BYTES") continue;
    if (column.datatype == "BOOL") {
      for (auto& row : rows.rows) {
        if (auto& value = row[cell - 1]) value = *value == "true" || *value == "1" ? "1" : "0";
      }
    }
    column.datatype = "FP64";
  }
  return rows;
}

Result<LoadBody> v2_body(const LoadRows& rows, std::size_t first, int count, bool binary) {
  std::string json = binary ? R"({"parameters":{"binary_data_output":true,"missing_text":""},"inputs":[)"
                            : R"({"parameters":{"null_is_missing":true},"inputs":[)";
  std::string tensors;
  std::size_t cell = 0;
  for (const auto& column : rows.columns) {
    json += std::format(R"({}{{"name":)", cell == 0 ? "" : ",");
    append_json_text(json, column.name);
    json += std::format(R"(,"datatype":"{}","shape":[{}{}],)", column.datatype, count,
                        column.width > 1 ? std::format(",{}", column.width) : "");
    const auto before = tensors.size();
    std::string data;
    Result<void> done;
    each_row(rows, first, count, [&](const auto& row) {
      for (std::size_t i = cell; i < cell + static_cast<std::size_t>(column.width); ++i) {
        if (binary) {
          if (auto put = put_binary(tensors, row[i], column.datatype); !put && done) done = put;
          continue;
        }
        if (!data.empty()) data += ',';
        append_cell(data, row[i], column.datatype);
      }
    });
    TRY_VOID(done);
    json += binary ? std::format(R"("parameters":{{"binary_data_size":{}}}}})", tensors.size() - before)
                   : "\"data\":[" + data + "]}";
    cell += static_cast<std::size_t>(column.width);
  }
  json += "]}";
  if (!binary) return LoadBody{std::move(json), "application/json"};
  const auto json_bytes = json.size();
  return LoadBody{std::move(json) + tensors, "application/octet-stream", json_bytes};
}

}  // namespace

LoadRows example_rows(const api::ModelExamples& examples) {
  LoadRows out;
  for (const auto& input : examples.inputs) {
    out.columns.push_back({input.name, input.type == "float64"   ? "FP64"
                                       : input.type == "int64"   ? "INT64"
                                       : input.type == "boolean" ? "BOOL"
                                                                 : "BYTES"});
  }
  out.rows = examples.rows;
  out.origin = std::format("{} example rows of {}:{}", out.rows.size(), examples.model, examples.version);
  return out;
}

Result<LoadRows> made_up_rows(std::string_view metadata_json, Rng& rng) {
  auto metadata = json::parse_lenient<Metadata>(metadata_json, "the model's metadata");
  if (!metadata || metadata->inputs.empty())
    return fail(Code::invalid_argument, "cli.bad_metadata",
                "the model's metadata (/v2/models/NAME) names no inputs; give rows with --rows FILE");
  LoadRows out;
  for (const auto& input : metadata->inputs) {
    std::int64_t width = 1;
    for (std::size_t i = 1; i < input.shape.size(); ++i) width *= std::max<std::int64_t>(input.shape[i], 1);
    out.columns.push_back({input.name, input.datatype, static_cast<int>(std::min<std::int64_t>(width, 1 << 20))});
  }
  for (int i = 0; i < made_up_count; ++i) {
    auto& row = out.rows.emplace_back();
    for (const auto& column : out.columns) {
      for (int k = 0; k < column.width; ++k) {
        if (column.datatype == "BYTES") {
          row.emplace_back(std::string(1, static_cast<char>('a' + rng.below(26))));
        } else if (column.datatype == "BOOL") {
          row.emplace_back(rng.below(2) == 0 ? "false" : "true");
        } else if (is_whole(column.datatype)) {
          row.emplace_back(std::to_string(rng.below(100)));
        } else {
          row.emplace_back(std::format("{:.3f}", rng.unit() * 10));
        }
      }
    }
  }
  out.origin = std::format("{} rows made up from the model's metadata", made_up_count);
  return out;
}

Result<LoadRows> file_rows(std::string_view text, const std::string& file, bool csv,
                           const std::vector<LoadColumn>& known) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return bad_rows(file, "holds nothing");
  LoadRows out;
  if (csv) {
    TRY(out, csv_rows(text, file, known));
  } else if (text[begin] == '[') {
    TRY(const auto tree, parse_json_tree(std::format("{{\"rows\":{}}}", text), file));
    TRY(out, json_rows(file, tree.find("rows")->items(), known));
  } else {
    std::vector<Tree> objects;
    for (std::size_t at = begin; at < text.size() && objects.size() < rows_max;) {
      const auto end = std::min(text.find('\n', at), text.size());
      const auto line = text.substr(at, end - at);
      at = end + 1;
      if (line.find_first_not_of(" \t\r") == line.npos) continue;
      TRY(auto object, parse_json_tree(line, std::format("{}, row {}", file, objects.size() + 1)));
      objects.push_back(std::move(object));
    }
    TRY(out, json_rows(file, objects, known));
  }
  if (out.rows.empty() || out.columns.empty()) return bad_rows(file, "holds no rows");
  out.origin = std::format("{} rows of {}", with_thousands(static_cast<std::int64_t>(out.rows.size())), file);
  return out;
}

Result<std::vector<LoadBody>> load_bodies(const LoadRows& rows, LoadProtocol protocol, int rows_each) {
  constexpr std::size_t bytes_max = 256 << 20;
  if (rows.rows.empty())
    return fail(Code::invalid_argument, "cli.bad_rows", "the model has no example rows; give some with --rows FILE");
  if (protocol == LoadProtocol::predict &&
      std::ranges::any_of(rows.columns, [](const auto& column) { return column.width != 1; }))
    return fail(Code::invalid_argument, "cli.bad_rows",
                "the model takes whole tensors, not rows of named values; use --protocol v2 or v2-binary");
  const auto room = protocol == LoadProtocol::v2_binary ? with_room_for_missing(rows) : rows;
  std::vector<LoadBody> bodies;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < rows.rows.size() && bytes < bytes_max; ++i) {
    const auto first = i * static_cast<std::size_t>(rows_each);
    if (protocol == LoadProtocol::predict) {
      bodies.push_back(predict_body(room, first, rows_each));
    } else {
      TRY(auto body, v2_body(room, first, rows_each, protocol == LoadProtocol::v2_binary));
      bodies.push_back(std::move(body));
    }
    bytes += bodies.back().bytes.size();
  }
  return bodies;
}

}  // namespace millrace::cli
