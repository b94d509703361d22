#include "model/testing/models.hpp"

#include <charconv>
#include <cmath>

#include "base/rng.hpp"
#include "model/xgboost_library.hpp"

namespace millrace::model::testing {

std::vector<Input> sample_inputs() {
  using table::Type;
  return {{.name = "age", .type = Type::int64, .encoding = Encoding::number, .required = true},
          {.name = "income", .type = Type::float64, .encoding = Encoding::number},
          {.name = "member", .type = Type::boolean, .encoding = Encoding::boolean, .required = true},
          {.name = "city",
           .type = Type::text,
           .encoding = Encoding::category,
           .categories = {"Lima", "Oslo", "Porto", "Zürich"}},
          {.name = "joined", .type = Type::date, .encoding = Encoding::date_parts, .required = true},
          {.name = "seen_at", .type = Type::timestamp, .encoding = Encoding::date_parts}};
}

Manifest sample_manifest(TaskType task) {
  Manifest m{.name = "sample", .task = task, .target = "answer"};
  m.inputs = sample_inputs();
  m.key = "customer";
  m.ignored = {"note"};
  if (task == TaskType::binary) {
    m.classes = {"no", "yes"};
    m.positive = "yes";
  } else if (task == TaskType::multiclass) {
    m.classes = {"bus", "car", "tram"};
  } else {
    m.target_type = table::Type::float64;
  }
  m.engine = {.name = "xgboost", .file = "model.ubj"};
  m.provenance = {.trainer = "test", .created = "2026-11-20T09:40:00.000000Z"};
  return m;
}

std::vector<table::Row> sample_rows(std::uint64_t seed, std::size_t count) {
  static const std::vector<std::string> kCities = {"Lima", "Oslo", "Porto", "Zürich", "Nowhere", "", "東京"};
  SeededRng rng(seed);
  std::vector<table::Row> rows;
  for (std::size_t i = 0; i < count; ++i) {
    table::Row row;
    row.emplace_back(rng.below(50) == 0 ? std::int64_t{9'007'199'254'740'993}
                                        : static_cast<std::int64_t>(rng.below(90)));
    row.push_back(rng.below(5) == 0 ? table::Value{} : table::Value{std::floor(rng.unit() * 1e6) / 7});
    row.emplace_back(rng.below(2) == 0);
    row.push_back(rng.below(6) == 0 ? table::Value{} : table::Value{kCities[rng.below(kCities.size())]});
    row.emplace_back(table::Date{static_cast<std::int32_t>(rng.below(40'000)) - 10'000});
    row.push_back(rng.below(4) == 0
                      ? table::Value{}
                      : table::Value{table::Timestamp{static_cast<std::int64_t>(rng.below(4'000'000'000'000'000)) -
                                                      1'000'000'000'000'000}});
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<std::string> sample_artifact(TaskType task, std::uint64_t seed, int rounds) {
  TRY(auto library, XgboostLibrary::open(""));
  Manifest manifest = sample_manifest(task);
  const Encoder encoder(manifest.inputs);
  const auto rows = sample_rows(seed, 400);
  std::vector<float> features(rows.size() * static_cast<std::size_t>(encoder.features())), target(rows.size());
  EncodeStats stats;
  SeededRng rng(seed);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    TRY_VOID(encoder.encode_row(rows[i], features.data() + i * static_cast<std::size_t>(encoder.features()), stats));
    const double signal = static_cast<double>(std::get<std::int64_t>(rows[i][0]) % 90) / 90 + 0.3 * rng.unit();
    target[i] = task == TaskType::regression ? static_cast<float>(100 * signal)
                : task == TaskType::binary   ? (signal > 0.6 ? 1.0f : 0.0f)
                                             : std::floor(static_cast<float>(signal * 2.3));
  }
  TRY(auto matrix, Matrix::dense(library, features, rows.size(), 1));
  const std::string labels = array_interface(target.data(), target.size());
  TRY_VOID(library->check(library->XGDMatrixSetInfoFromInterface(matrix.get(), "label", labels.c_str()), "labels"));
  const DMatrixHandle cached[] = {matrix.get()};
  TRY(auto booster, Booster::create(library, cached));
  const char* objective = task == TaskType::regression ? "reg:squarederror"
                          : task == TaskType::binary   ? "binary:logistic"
                                                       : "multi:softprob";
  TRY_VOID(booster.set("objective", objective));
  if (task == TaskType::multiclass) TRY_VOID(booster.set("num_class", "3"));
  TRY_VOID(booster.set("nthread", "1"));
  TRY_VOID(booster.set("verbosity", "0"));
  for (int round = 0; round < rounds; ++round) {
    TRY_VOID(library->check(library->XGBoosterUpdateOneIter(booster.get(), round, matrix.get()), "training"));
  }
  TRY(auto ubj, booster.save_ubj());
  return build_artifact(std::move(manifest), ubj, sample_rows(99, 8));
}

Result<std::string> constant_artifact(TaskType task, double answer) {
  return constant_artifact(sample_manifest(task), answer);
}

Result<std::string> constant_artifact(Manifest manifest, double answer) {
  const auto task = manifest.task;
  manifest.engine = {.name = "constant", .file = "model.json"};
  const double output = task == TaskType::binary ? std::log(answer / (1 - answer)) : answer;
  std::vector<float> outputs(static_cast<std::size_t>(output_count(manifest)), static_cast<float>(output));
  return build_artifact(std::move(manifest), constant_engine_file(outputs), {});
}

namespace {

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      static constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

std::string json_row(const std::vector<Input>& inputs, const table::Row& row) {
  std::string out = "{";
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (i > 0) out += ",";
    out += json_string(inputs[i].name) + ":";
    const table::Value& value = row[i];
    const auto* number = std::get_if<double>(&value);
    if (table::is_null(value) || (number && !std::isfinite(*number))) {
      out += "null";
    } else if (number) {
      char text[40];
      out.append(text, std::to_chars(text, text + sizeof text, *number).ptr);
    } else if (std::holds_alternative<bool>(value) || std::holds_alternative<std::int64_t>(value)) {
      out += table::to_text(value);
    } else {
      out += json_string(table::to_text(value));
    }
  }
  return out + "}";
}

}  // namespace millrace::model::testing
