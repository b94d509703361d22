#include "loop/log_layout.hpp"

#include <algorithm>
#include <format>

namespace millrace::loop {

namespace {

constexpr std::string_view ending = ".predictions";

// The first columns, always there.
enum Place : std::size_t { place_id, place_time, place_version, place_key, place_decision, first_other };
const std::vector<data::ColumnField>& first_columns() {
  static const std::vector<data::ColumnField> columns = {
      {"prediction_id", "text"}, {"time", "timestamp"}, {"version", "int64"}, {"key", "text"}, {"decision", "text"}};
  return columns;
}

// SQL does not tell upper from lower case in names.
std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

bool taken(const std::vector<data::ColumnField>& schema, std::string_view name) {
  return std::ranges::any_of(schema, [&](const auto& field) { return lower(field.name) == lower(name); });
}

// Adds the first of these names that is free: the wished one, with the prefix, with the type too, then numbered. SQL
// wants names that are not empty.
std::string add_column(LogLayout& layout, const std::string& wish, std::string_view prefix, const std::string& type) {
  auto prefixed = std::string(prefix) + wish;
  std::string name = wish;
  if (name.empty() || taken(layout.schema, name)) name = prefixed;
  if (taken(layout.schema, name)) name = prefixed + ":" + type;
  for (int n = 2; taken(layout.schema, name); ++n) name = std::format("{}:{}_{}", prefixed, type, n);
  layout.schema.push_back({name, type});
  return name;
}

std::string score_column(LogLayout& layout, const std::string& of) {
  for (const auto& kind : layout.kinds) {
    for (const auto& score : kind.scores) {
      if (score.name == of) return score.column;
    }
  }
  return add_column(layout, of.empty() ? "value" : "score." + of, "score.", "float64");
}

std::string input_column(LogLayout& layout, const std::string& name, const std::string& type) {
  for (const auto& kind : layout.kinds) {
    for (const auto& input : kind.inputs) {
      if (input.name == name && input.type == type) return input.column;
    }
  }
  return add_column(layout, name, "input.", type);
}

std::size_t place_of(const table::Schema& schema, std::string_view column) {
  return static_cast<std::size_t>(schema.index_of(column));
}

// A line is written with its schema's types; a whole number where a fraction may stand is that number.
Result<table::Value> as_type(const table::Value& value, table::Type type, std::string_view name) {
  if (table::is_null(value) || value.index() == static_cast<std::size_t>(type) + 1) return value;
  if (type == table::Type::float64 && std::holds_alternative<std::int64_t>(value))
    return table::Value(static_cast<double>(std::get<std::int64_t>(value)));
  return fail(Code::invalid_argument, "loop.log_row",
              std::format("a logged '{}' is no {}: {}", name, table::type_name(type),
                          table::excerpt(table::to_text(value), 60)));
}

template <class T>
Result<T> get(const table::Value& value, std::string_view column) {
  if (const auto* found = std::get_if<T>(&value)) return *found;
  return fail(Code::data_loss, "loop.log_row", std::format("a row of logged predictions has no {}", column));
}

}  // namespace

const LogKind* LogLayout::kind_of(std::int64_t version) const {
  for (const auto& one : versions) {
    if (one.version == version) return &kinds[static_cast<std::size_t>(one.kind)];
  }
  return nullptr;
}

std::string predictions_dataset(std::string_view model) { return std::string(model) + std::string(ending); }

std::optional<std::string> model_of_predictions(std::string_view dataset) {
  if (!dataset.ends_with(ending) || dataset.size() == ending.size()) return std::nullopt;
  return std::string(dataset.substr(0, dataset.size() - ending.size()));
}

bool extend(LogLayout& layout, const serve::LogSchema& schema, std::size_t scores) {
  const LogLayout before = layout;
  if (layout.schema.empty()) layout.schema = first_columns();
  LogKind kind;
  if (const auto* known = layout.kind_of(schema.version)) kind = *known;
  if (kind.classes.empty()) kind.classes = schema.classes;
  // One score per class; of two classes only the second's is logged; a regression logs its value.
  std::vector<std::string> of = schema.classes;
  if (of.empty()) of = {""};
  if (scores == 1 && of.size() == 2) of.erase(of.begin());
  of.resize(scores);
  for (std::size_t i = 0; i < of.size(); ++i) {
    if (i < kind.scores.size() && kind.scores[i].name == of[i]) continue;
    kind.scores.resize(i);
    kind.scores.push_back({of[i], score_column(layout, of[i])});
  }
  for (const auto& field : schema.inputs) {
    std::string type(table::type_name(field.type));
    auto same = [&](const LogInput& one) { return one.name == field.name && one.type == type; };
    if (std::ranges::any_of(kind.inputs, same)) continue;
    kind.inputs.push_back({field.name, type, input_column(layout, field.name, type)});
  }
  auto at = std::ranges::find(layout.kinds, kind);
  auto number = at - layout.kinds.begin();
  if (at == layout.kinds.end()) layout.kinds.push_back(std::move(kind));
  auto version = std::ranges::find(layout.versions, schema.version, &LogVersion::version);
  if (version == layout.versions.end()) {
    layout.versions.push_back({schema.version, number});
  } else {
    version->kind = number;
  }
  return !(layout == before);
}

bool extend(LogLayout& layout, const serve::LoggedPrediction& line) {
  const bool why = line.why != serve::Why::current && layout.why.empty();
  const bool live = line.live && layout.live.empty();
  if (why) layout.why = add_column(layout, "why", "logged.", "text");
  if (live) layout.live = add_column(layout, "live_id", "logged.", "text");
  return why || live;
}

LogRows::LogRows(const LogLayout& layout, std::string model) {
  for (const auto& field : layout.schema) {
    auto type = table::parse_type(field.type);
    whole_.fields.push_back({field.name, type ? *type : table::Type::text});
  }
  if (!layout.why.empty()) why_ = place_of(whole_, layout.why);
  if (!layout.live.empty()) live_ = place_of(whole_, layout.live);
  std::vector<std::string> columns;
  for (const auto& field : first_columns()) columns.push_back(field.name);
  for (const auto& kind : layout.kinds) {
    for (const auto& score : kind.scores) {
      if (std::ranges::find(columns, score.column) == columns.end()) columns.push_back(score.column);
    }
  }
  if (!whole_.fields.empty()) {
    for (const auto& column : columns) light_.fields.push_back(whole_.fields[place_of(whole_, column)]);
  }
  for (const auto& one : layout.versions) {
    const auto& kind = layout.kinds[static_cast<std::size_t>(one.kind)];
    Version version;
    version.version = one.version;
    version.schema = {model, one.version, {}, kind.classes};
    for (const auto& score : kind.scores) {
      version.scores.push_back(place_of(whole_, score.column));
      version.light_scores.push_back(place_of(light_, score.column));
    }
    for (const auto& input : kind.inputs) {
      auto place = place_of(whole_, input.column);
      version.inputs.push_back(place);
      version.schema.inputs.push_back({input.name, whole_.fields[place].type});
    }
    versions_.push_back(std::move(version));
  }
  std::ranges::sort(versions_, {}, &Version::version);
}

const LogRows::Version* LogRows::find(std::int64_t version) const {
  auto at = std::ranges::lower_bound(versions_, version, {}, &Version::version);
  return at == versions_.end() || at->version != version ? nullptr : &*at;
}

Result<table::Row> LogRows::row_of(const serve::LogSchema& schema, const serve::LoggedPrediction& line) const {
  const auto* version = find(schema.version);
  if (!version || line.scores.size() > version->scores.size() || line.inputs.size() > schema.inputs.size())
    return fail(Code::invalid_argument, "loop.log_row",
                std::format("prediction {} of version {} has no place in the dataset", line.id.text(), schema.version));
  table::Row row(whole_.fields.size());
  row[place_id] = line.id.text();
  row[place_time] = table::Timestamp{line.time.time_since_epoch().count()};
  row[place_version] = schema.version;
  if (!line.key.empty()) row[place_key] = line.key;
  if (line.decision >= 0 && static_cast<std::size_t>(line.decision) < schema.classes.size())
    row[place_decision] = schema.classes[static_cast<std::size_t>(line.decision)];
  if (line.why != serve::Why::current && why_) row[*why_] = std::string(serve::why_name(line.why));
  if (line.live && live_) row[*live_] = line.live->text();
  for (std::size_t i = 0; i < line.scores.size(); ++i) row[version->scores[i]] = static_cast<double>(line.scores[i]);
  bool same = version->schema.inputs == schema.inputs;
  for (std::size_t i = 0; i < line.inputs.size(); ++i) {
    auto at = i;
    if (!same) {
      auto found = std::ranges::find(version->schema.inputs, schema.inputs[i]);
      if (found == version->schema.inputs.end())
        return fail(Code::invalid_argument, "loop.log_row", "no column for input '" + schema.inputs[i].name + "'");
      at = static_cast<std::size_t>(found - version->schema.inputs.begin());
    }
    auto place = version->inputs[at];
    TRY(row[place], as_type(line.inputs[i], whole_.fields[place].type, schema.inputs[i].name));
  }
  return row;
}

Result<LogRows::Line> LogRows::line_of(const table::Row& row, bool inputs) const {
  Line out;
  TRY(auto id, get<std::string>(row[place_id], "prediction_id"));
  TRY(out.line.id, Id::parse(id));
  TRY(auto time, get<table::Timestamp>(row[place_time], "time"));
  out.line.time = TimePoint(Duration(time.us));
  TRY(auto number, get<std::int64_t>(row[place_version], "version"));
  const auto* version = find(number);
  if (!version)
    return fail(Code::data_loss, "loop.log_row", std::format("nothing is known of version {} of a logged row", number));
  out.schema = &version->schema;
  if (const auto* key = std::get_if<std::string>(&row[place_key])) out.line.key = *key;
  if (const auto* decision = std::get_if<std::string>(&row[place_decision])) {
    const auto& classes = version->schema.classes;
    if (auto at = std::ranges::find(classes, *decision); at != classes.end())
      out.line.decision = static_cast<std::int32_t>(at - classes.begin());
  }
  for (auto place : inputs ? version->scores : version->light_scores) {
    const auto* score = std::get_if<double>(&row[place]);
    if (!score) break;
    out.line.scores.push_back(static_cast<float>(*score));
  }
  if (!inputs) return out;
  for (auto place : version->inputs) out.line.inputs.push_back(row[place]);
  if (const auto* why = why_ ? std::get_if<std::string>(&row[*why_]) : nullptr)
    out.line.why = serve::parse_why(*why).value_or(serve::Why::current);
  if (const auto* live = live_ ? std::get_if<std::string>(&row[*live_]) : nullptr) {
    TRY(out.line.live, Id::parse(*live));
  }
  return out;
}

}  // namespace millrace::loop
