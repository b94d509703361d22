// For random schemas and rows, the answers inside the training, of batches read from Parquet, of JSON and of CSV
// requests are equal bit by bit. The seed is in each message; MILLRACE_SEED=n runs that one alone.
#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "model/loaded.hpp"
#include "model/testing/models.hpp"
#include "train/matrices_internal.hpp"
#include "train/testing/memory_data.hpp"

namespace millrace::train {
namespace {

using model::TaskType;
using table::Type;
using table::Value;

class Bytes final : public ReadableFile {
 public:
  explicit Bytes(std::string text) : text_(std::move(text)) {}
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= text_.size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(out.size(), text_.size() - offset);
    std::copy_n(reinterpret_cast<const std::byte*>(text_.data()) + offset, count, out.begin());
    return count;
  }
  std::uint64_t size() const override { return text_.size(); }

 private:
  std::string text_;
};

// A random table and how to draw its values.
class World {
 public:
  explicit World(std::uint64_t seed) : rng_(seed) {
    static const std::vector<std::string> kNames = {"a",           "b.c",       "größe",  "x y",  "quo\"te", "年",
                                                    "back\\slash", "new\nline", "comma,", "rows", "inputs",  "😀"};
    static constexpr Type kTypes[] = {Type::boolean, Type::int64, Type::float64,
                                      Type::text,    Type::date,  Type::timestamp};
    const std::size_t columns = 1 + rng_.below(8), offset = rng_.below(kNames.size());
    for (std::size_t i = 0; i < columns; ++i) {
      schema.fields.push_back({kNames[(offset + i) % kNames.size()], kTypes[rng_.below(6)]});
      null_share_.push_back(rng_.below(3) == 0 ? 0 : rng_.unit() * 0.5);
      extreme_.push_back(rng_.below(2) == 0);
      categories_.push_back(1 + rng_.below(40));
    }
    static constexpr TaskType kTasks[] = {TaskType::binary, TaskType::multiclass, TaskType::regression};
    task = kTasks[rng_.below(3)];
  }

  // `fresh`: also values that training did not see.
  table::Row row(bool fresh) {
    table::Row row;
    for (std::size_t i = 0; i < schema.fields.size(); ++i) {
      row.push_back(rng_.unit() < null_share_[i] + (fresh ? 0.05 : 0) ? Value{} : value(i, fresh));
    }
    return row;
  }
  // Depends on the row and on chance, so that trees find something and are not trivial.
  Value target(const table::Row& row) {
    double signal = rng_.unit();
    for (const auto& v : row) {
      if (const auto* x = std::get_if<double>(&v); x && std::isfinite(*x)) signal += std::fabs(std::sin(*x));
      if (const auto* n = std::get_if<std::int64_t>(&v)) signal += static_cast<double>(*n & 3) / 4;
      if (const auto* s = std::get_if<std::string>(&v)) signal += static_cast<double>(s->size() % 3) / 3;
    }
    if (task == TaskType::regression) return signal * 10;
    const int classes = task == TaskType::binary ? 2 : 4;
    return "class " + std::to_string(static_cast<int>(signal * 7) % classes);
  }

  table::Schema schema;
  TaskType task;

 private:
  Value value(std::size_t column, bool fresh) {
    switch (schema.fields[column].type) {
      case Type::boolean:
        return rng_.below(2) == 0;
      case Type::int64: {
        static constexpr std::int64_t kEdges[] = {0,
                                                  -1,
                                                  std::numeric_limits<std::int64_t>::max(),
                                                  std::numeric_limits<std::int64_t>::min(),
                                                  9'007'199'254'740'993,
                                                  (std::int64_t{1} << 60) + (std::int64_t{1} << 36) + 1,
                                                  16'777'217};
        if (extreme_[column])
          return rng_.below(2) == 0 ? kEdges[rng_.below(std::size(kEdges))] : static_cast<std::int64_t>(rng_.next());
        return static_cast<std::int64_t>(rng_.below(100)) - 50;
      }
      case Type::float64: {
        static constexpr double kEdges[] = {
            0.0, -0.0, 5e-324, 1e-45, 1.7976931348623157e308, -1e300, 3.4028235677973366e38, 0.1, 16'777'217.0, 1e22};
        if (extreme_[column]) {
          const auto pick = rng_.below(4);
          if (pick == 0) return std::numeric_limits<double>::quiet_NaN();
          if (pick == 1) return kEdges[rng_.below(std::size(kEdges))];
          const double any = std::bit_cast<double>(rng_.next());
          return std::isfinite(any) ? any : 1.5;
        }
        return std::floor(rng_.unit() * 1000) / 8;
      }
      case Type::text: {
        static const std::vector<std::string> kPieces = {"",   " ", "a",  "ä",    "Ж",   "東京", "😀",      "\"",
                                                         "\\", ",", "\n", "null", "NaN", "0",    "e\u0301", "\x01"};
        const auto pick = rng_.below(categories_[column] + (fresh ? 10 : 0));
        return kPieces[pick % kPieces.size()] + kPieces[pick * 7 % kPieces.size()] + (pick > 30 ? "z" : "");
      }
      case Type::date:
        return table::Date{static_cast<std::int32_t>(rng_.below(extreme_[column] ? 3'600'000 : 4'000)) -
                           (extreme_[column] ? 700'000 : 0)};
      case Type::timestamp: {
        const std::int64_t range = extreme_[column] ? 250'000'000'000'000'000 : 2'000'000'000'000'000;
        return table::Timestamp{static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(range))) -
                                (extreme_[column] ? 60'000'000'000'000'000 : 0)};
      }
    }
    return {};
  }

  SeededRng rng_;
  std::vector<double> null_share_;
  std::vector<bool> extreme_;
  std::vector<std::uint64_t> categories_;
};

std::string csv_cell(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string to_csv(const table::Schema& schema, const std::vector<table::Row>& rows) {
  std::string out;
  for (std::size_t i = 0; i < schema.fields.size(); ++i) out += (i ? "," : "") + csv_cell(schema.fields[i].name);
  for (const auto& row : rows) {
    out += "\n";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto* number = std::get_if<double>(&row[i]);
      const bool null = table::is_null(row[i]) || (number && std::isnan(*number));
      out += (i ? "," : "") + (null ? std::string("NA") : csv_cell(table::to_text(row[i])));
    }
  }
  return out + "\n";
}

std::string to_json(const std::vector<model::Input>& inputs, const std::vector<table::Row>& rows) {
  std::string out = "[";
  for (const auto& row : rows) out += (out.size() > 1 ? "," : "") + model::testing::json_row(inputs, row);
  return out + "]";
}

Result<table::Batch> through_parquet(const table::Schema& schema, const std::vector<table::Row>& rows) {
  TRY(auto batch, table::Batch::from_rows(schema, rows));
  auto reader = table::read_batches(schema, {batch});
  TRY(auto bytes, table::write_parquet(schema, *reader));
  TRY(auto back, table::open_parquet(std::make_shared<Bytes>(std::move(bytes))));
  TRY(auto batches, table::collect(*back));
  if (batches.size() != 1) return fail(Code::internal, "test", "one batch was expected");
  return batches[0];
}

struct Trained {
  std::string artifact;
  std::vector<float> margins;  // XGBoost's own, as it kept them while training, by row and output
};

// As boosted_trees.cpp does it, but looks at the margins that the booster holds for its training rows.
Result<Trained> train(World& world, const std::vector<table::Row>& rows) {
  table::Schema schema = world.schema;
  schema.fields.push_back({"target!", world.task == TaskType::regression ? Type::float64 : Type::text});
  std::vector<table::Row> labelled;
  for (auto row : rows) {
    row.push_back(world.target(row));
    labelled.push_back(std::move(row));
  }
  testing::MemoryData data(schema, labelled, std::vector<bool>(rows.size()), 33);
  TrainInput input{.name = "random", .task = std::string(model::task_name(world.task)), .target = "target!"};
  for (const auto& field : world.schema.fields) input.inputs.push_back({.name = field.name});
  RealFs fs;
  SystemClock clock;
  SeededRng rng(1);
  Faults faults;
  auto log = null_log();
  Env env{fs, clock, rng, faults, *log};
  Task task{.env = env};
  TRY(auto library, model::XgboostLibrary::open(""));
  TRY(auto prepared, prepare(input, data, task));
  const model::Encoder encoder(prepared.fitted.inputs);
  TRY(auto matrices, build_matrices(input, prepared, encoder, 256, library, data, task));
  const DMatrixHandle cached[] = {matrices.train.get()};
  TRY(auto booster, model::Booster::create(library, cached));
  TRY_VOID(booster.set("verbosity", "0"));
  TRY_VOID(booster.set("nthread", "1"));
  TRY_VOID(booster.set("tree_method", "hist"));
  const bool multi = world.task == TaskType::multiclass;
  TRY_VOID(booster.set("objective", multi                            ? "multi:softprob"
                                    : world.task == TaskType::binary ? "binary:logistic"
                                                                     : "reg:squarederror"));
  if (multi) TRY_VOID(booster.set("num_class", std::to_string(prepared.classes.size())));
  for (int round = 0; round < 4; ++round) {
    TRY_VOID(library->check(library->XGBoosterUpdateOneIter(booster.get(), round, matrices.train.get()), "training"));
  }
  const bst_ulong* shape = nullptr;
  bst_ulong dimensions = 0;
  const float* result = nullptr;
  TRY_VOID(library->check(library->XGBoosterPredictFromDMatrix(
                              booster.get(), matrices.train.get(),
                              R"({"type":1,"training":true,"iteration_begin":0,"iteration_end":0,"strict_shape":true})",
                              &shape, &dimensions, &result),
                          "reading the margins"));
  Trained out;
  out.margins.assign(result, result + shape[0] * shape[1]);
  TRY(auto trees, booster.save_ubj());
  model::Manifest manifest = start_manifest(input, prepared, "test", {});
  manifest.engine = {.name = "xgboost", .file = "model.ubj"};
  TRY(out.artifact, model::build_artifact(std::move(manifest), trees, model::make_golden_rows(prepared.fitted, 1)));
  return out;
}

void check(std::uint64_t seed) {
  SCOPED_TRACE("MILLRACE_SEED=" + std::to_string(seed));
  World world(seed);
  std::vector<table::Row> rows, fresh;
  for (int i = 0; i < 120; ++i) rows.push_back(world.row(false));
  for (int i = 0; i < 60; ++i) fresh.push_back(world.row(true));
  auto trained = train(world, rows);
  ASSERT_TRUE(trained) << trained.error().message;
  auto loaded = model::LoadedModel::load(trained->artifact);
  ASSERT_TRUE(loaded) << loaded.error().message;
  const model::LoadedModel& m = **loaded;
  ASSERT_TRUE(m.runtime().own_trees()) << "what we train, we evaluate";
  const auto width = static_cast<std::size_t>(model::output_count(m.manifest()));

  for (const auto* some : {&rows, &fresh}) {
    model::EncodeStats stats;
    auto by_row = m.predict(*some, stats);
    ASSERT_TRUE(by_row) << by_row.error().message;
    auto batch = through_parquet(world.schema, *some);
    ASSERT_TRUE(batch) << batch.error().message;
    auto by_batch = m.predict(*batch, stats);
    ASSERT_TRUE(by_batch) << by_batch.error().message;
    auto json = m.parser().parse_json(to_json(m.manifest().inputs, *some));
    ASSERT_TRUE(json) << json.error().message;
    auto by_json = m.predict(json->rows, stats);
    ASSERT_TRUE(by_json) << by_json.error().message;
    auto csv = m.parser().parse_csv(to_csv(world.schema, *some));
    ASSERT_TRUE(csv) << csv.error().message;
    auto by_csv = m.predict(csv->rows, stats);
    ASSERT_TRUE(by_csv) << by_csv.error().message;
    ASSERT_EQ(*by_row, *by_batch);
    ASSERT_EQ(*by_row, *by_json);
    ASSERT_EQ(*by_row, *by_csv);
    for (std::size_t i = 0; i < some->size(); i += 7) {
      auto alone = m.parser().parse_json(model::testing::json_row(m.manifest().inputs, (*some)[i]));
      ASSERT_TRUE(alone) << alone.error().message;
      ASSERT_EQ((*by_row)[i], m.predict(alone->rows, stats)->at(0)) << "row " << i << " alone";
    }
    if (some != &rows) continue;
    std::vector<float> features, outputs;
    ASSERT_TRUE(m.encoder().encode_batch(*batch, features, stats));
    ASSERT_TRUE(m.runtime().predict(features, rows.size(), outputs));
    ASSERT_EQ(rows.size() * width, trained->margins.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(trained->margins[i]), std::bit_cast<std::uint32_t>(outputs[i]))
          << "in-training margin " << i;
    }
  }
}

TEST(Equality, TrainingBatchAndOnlineAnswersAreBitEqualFor200RandomSchemas) {
  if (const char* one = std::getenv("MILLRACE_SEED")) return check(std::strtoull(one, nullptr, 10));
  for (std::uint64_t seed = 1; seed <= 200 && !HasFatalFailure(); ++seed) check(seed);
}

}  // namespace
}  // namespace millrace::train
