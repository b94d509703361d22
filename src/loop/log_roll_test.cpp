// The prediction log before and after it became Parquet: the same lines, the same answers.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "base/testing/env.hpp"
#include "base/testing/reason.hpp"
#include "blob/testing/memory.hpp"
#include "data/query.hpp"
#include "loop/job_run.hpp"
#include "loop/labels_text.hpp"
#include "loop/log_read.hpp"
#include "loop/log_records.hpp"
#include "loop/service.hpp"
#include "meta/testing/temp_store.hpp"

namespace millrace::loop {
namespace {

using serve::LoggedPrediction;
using serve::LogSchema;
using table::Type;

const LogSchema first{"m",
                      1,
                      {{"flag", Type::boolean},
                       {"n", Type::int64},
                       {"x", Type::float64},
                       {"text", Type::text},
                       {"day", Type::date},
                       {"seen", Type::timestamp}},
                      {"No", "Yes"}};
const LogSchema second{"m", 2, {{"x", Type::float64}, {"n", Type::float64}, {"Time", Type::text}}, {"No", "Yes"}};
const LogSchema other{"other", 1, {{"n", Type::int64}}, {}};

struct Line {
  LogSchema schema;
  LoggedPrediction line;
};
bool same_value(const table::Value& a, const table::Value& b) {
  const auto *x = std::get_if<double>(&a), *y = std::get_if<double>(&b);
  if (x && y)
    return (std::isnan(*x) && std::isnan(*y)) || std::bit_cast<std::uint64_t>(*x) == std::bit_cast<std::uint64_t>(*y);
  return a == b;
}

class LogRoll : public testing::Test {
 protected:
  TestEnv t;
  blob::MemoryStore blobs{t.clock};
  JobContext context{
      {t.env, t.dir, [](const TaskProgress&) {}, [] { return false; }}, blobs, nullptr, {}, 1, 0, "", {}};
  IdMaker ids{t.clock, t.rng};
  std::string dir = t.path("log");
  std::unique_ptr<serve::PredictionLog> log = *serve::PredictionLog::open({dir, 8192}, t.env);
  std::map<std::int64_t, serve::PredictionLog::Handle> handles = {
      {1, log->schema(first)}, {2, log->schema(second)}, {0, log->schema(other)}};
  std::vector<Line> all;  // as they were logged

  void add(const LogSchema& schema, table::Row inputs, std::vector<float> scores, std::int32_t decision,
           const std::string& key = "") {
    t.clock.advance(std::chrono::minutes(7));
    LoggedPrediction line{ids.make(), t.clock.now(), key, scores, decision, std::move(inputs)};
    auto& handle = handles[schema.model == "m" ? schema.version : 0];
    ASSERT_TRUE(log->append(handle, line.id, line.time, key, line.scores, decision, line.inputs));
    if (schema.model == "m") all.push_back({schema, std::move(line)});
  }
  void add_some(int count) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
    for (int i = 0; i < count; ++i) {
      switch (i % 5) {
        case 0:
          add(first,
              {true, std::int64_t{i}, 0.1 * i, std::string("a ☃ \"b\"\n"), table::Date{-i}, table::Timestamp{i - 7}},
              {0.3f}, 0, "k1");
          break;
        case 1:
          add(first, table::Row(6), {0.7f}, 1);
          break;
        case 2:
          add(first,
              {false, std::numeric_limits<std::int64_t>::max(), nan, std::string(), table::Date{20'000},
               table::Timestamp{1'700'000'000'000'001}},
              {std::nextafter(0.5f, 1.f)}, 1, "k2");
          break;
        case 3:
          add(second, {-0.0, -inf, std::string("noon")}, {0.25f}, 0, "k3");
          break;
        case 4:
          add(other, {std::int64_t{i}}, {1.5f}, -1);
          break;
      }
    }
  }
  RollJob job() {
    log->close_segment();
    RollJob out{dir, after, *log->closed_through(), layouts, 50};
    return out;
  }
  std::uint64_t after = 0;
  std::map<std::string, LogLayout> layouts;
  LogView view{dir, "m", 0, {}, {}};
  void take(const RollJob& done, const RollResult& result) {
    after = done.through;
    view.after = done.through;
    for (const auto& model : result.models) {
      layouts[model.model] = model.layout;
      if (model.model != "m") continue;
      view.layout = model.layout;
      for (const auto& part : model.parts) view.parts.push_back(part.part);
    }
    for (const auto& segment : *serve::list_segments(t.env.fs, dir)) {
      ASSERT_TRUE(segment.number > after || t.env.fs.remove(segment.path));
    }
  }
  // Each line once, exactly as it was logged.
  void expect_all() {
    std::map<Id, const Line*> expected;
    std::vector<Id> sorted;
    for (const auto& line : all) {
      expected[line.line.id] = &line;
      sorted.push_back(line.line.id);
    }
    std::ranges::sort(sorted);
    for (bool inputs : {false, true}) {
      std::size_t seen = 0;
      auto on_line = [&](const LogSchema& schema, LoggedPrediction&& line) -> Result<void> {
        ++seen;
        auto* logged = expected[line.id];
        EXPECT_TRUE(logged) << "a line that nobody logged";
        if (!logged) return {};
        EXPECT_EQ(schema.version, logged->schema.version);
        EXPECT_EQ(schema.classes, logged->schema.classes);
        EXPECT_EQ(line.time, logged->line.time);
        EXPECT_EQ(line.key, logged->line.key);
        EXPECT_EQ(line.scores, logged->line.scores);
        EXPECT_EQ(line.decision, logged->line.decision);
        if (inputs) {
          EXPECT_EQ(schema.inputs, logged->schema.inputs);
          EXPECT_TRUE(std::ranges::equal(line.inputs, logged->line.inputs, same_value)) << "version " << schema.version;
        }
        return {};
      };
      if (inputs) {
        ASSERT_TRUE(read_log_inputs(view, sorted, context, on_line));
      } else {
        auto lines = read_log_lines(view, context, on_line);
        ASSERT_TRUE(lines) << lines.error().message;
        EXPECT_EQ(*lines, static_cast<std::int64_t>(all.size()));
      }
      EXPECT_EQ(seen, all.size());
    }
  }
};

TEST_F(LogRoll, EveryLineIsTheSameBeforeAndAfter) {
  add_some(40);
  expect_all();
  for (int round = 0; round < 3; ++round) {
    auto now = job();
    auto result = run_roll(now, context);
    ASSERT_TRUE(result) << result.error().message;
    auto again = run_roll(now, context);
    ASSERT_TRUE(again);
    EXPECT_EQ(render_job(*again), render_job(*result)) << "the same segments, the same blobs";
    ASSERT_EQ(result->models.size(), 2u);
    EXPECT_EQ(result->damaged, 0);
    std::int64_t rows = 0, hours = 0;
    for (const auto& part : result->models[0].parts) {
      rows += part.part.rows;
      for (const auto& hour : part.hours) hours += hour.rows;
      EXPECT_LE(part.first_us, part.last_us);
    }
    EXPECT_EQ(rows, hours);
    EXPECT_EQ(result->models[0].columns.front().count, rows) << "statistics are of the new rows";
    take(now, *result);
    expect_all();
    add_some(200 * (round + 1));  // several segments
    expect_all();
  }
  EXPECT_GT(view.parts.size(), 3u);
}

TEST_F(LogRoll, TheDatasetAnswersQueries) {
  add_some(100);
  auto now = job();
  take(now, *run_roll(now, context));
  add_some(10);
  auto ask = [&](const std::string& sql) {
    auto out = data::query(context.task, blobs, {.sql = sql, .parts = view.parts, .schema = view.layout.schema});
    EXPECT_TRUE(out) << out.error().message;
    return out ? out->rows : decltype(out->rows)();
  };
  EXPECT_EQ(ask("SELECT count(*) FROM data")[0][0], "80");
  EXPECT_EQ(ask("SELECT count(*) FROM data WHERE version = 2")[0][0], "20");
  EXPECT_EQ(ask("SELECT DISTINCT decision, \"score.Yes\" FROM data WHERE key = 'k3'")[0],
            (std::vector<std::optional<std::string>>{"No", "0.25"}));
  EXPECT_EQ(ask("SELECT DISTINCT \"input.Time\", \"input.n\", n FROM data WHERE key = 'k3'")[0],
            (std::vector<std::optional<std::string>>{"noon", "-inf", std::nullopt}))
      << "an input called like a column of ours, and one whose type changed";
  auto id = all[7].line.id.text();
  EXPECT_EQ(ask("SELECT prediction_id FROM data WHERE prediction_id = '" + id + "'")[0][0], id);
  EXPECT_EQ(ask("SELECT text IS NULL, text = '' FROM data WHERE key = 'k2'")[0],
            (std::vector<std::optional<std::string>>{"false", "true"}));
}

TEST_F(LogRoll, AssemblyAndLiveQualityAreTheSameBeforeAndAfter) {
  add_some(100);
  std::vector<label::Label> labels;
  for (std::size_t i = 0; i < all.size(); i += 3) {
    label::Label one;
    one.model = "m";
    if (i % 2) {
      one.key = "k1";
    } else {
      one.prediction = all[i].line.id;
    }
    one.time = all[i].line.time + std::chrono::minutes(1);
    one.value = i % 4 ? "Yes" : "No";
    one.seq = static_cast<std::int64_t>(i) + 1;
    one.arrived = t.clock.now();
    labels.push_back(one);
  }
  AssembleJob input;
  input.model = "m";
  input.labels = blobs.put(render_labels(labels))->digest.hex();
  input.labels_seq = labels.back().seq;
  input.now_us = t.clock.now().time_since_epoch().count();
  input.mature_us = Duration(std::chrono::days(30)).count();
  input.trust = {"human", "system"};
  input.schema = {{"flag", "boolean"}, {"n", "float64"},      {"x", "float64"},
                  {"text", "text"},    {"seen", "timestamp"}, {"y", "text"}};
  input.spec = {"m", "binary", "y", {"No", "Yes"}, "Yes", {}, "", {}};
  auto both = [&] {
    input.log = view;
    auto rows = run_assemble(input, context);
    auto live = run_live(input, context);
    EXPECT_TRUE(rows) << rows.error().message;
    EXPECT_TRUE(live) << live.error().message;
    return rows && live ? render_job(*rows) + render_job(*live) : std::string();
  };
  auto before = both();
  EXPECT_NE(before.find("\"rows\":"), std::string::npos);
  auto now = job();
  take(now, *run_roll(now, context));
  EXPECT_EQ(both(), before) << "the same blob of rows, the same numbers";
  auto result = run_live(input, context);
  EXPECT_EQ(result->versions.size(), 2u);
  EXPECT_EQ(result->versions[0].predictions + result->versions[1].predictions, static_cast<std::int64_t>(all.size()));
}

TEST_F(LogRoll, OneTransactionAndOnlyOnce) {
  meta::TempStore store(all_migrations());
  add_some(50);
  auto now = job();
  auto result = *run_roll(now, context);
  auto commit = [&] {
    return store->write([&](meta::Tx& tx) { return add_roll(tx, now, result, "by hand", t.clock.now()); });
  };
  EXPECT_EQ(commit().value(), true);
  EXPECT_EQ(commit().value(), false) << "it is rolled already";
  auto read = [&](auto what) { return store->read([&](meta::Reader& r) { return what(r); }).value(); };
  EXPECT_EQ(read([](meta::Reader& r) { return rolled_through(r); }), now.through);
  auto found = read([&](meta::Reader& r) { return log_view(r, "m", dir); });
  EXPECT_EQ(found.after, now.through);
  auto version = read([](meta::Reader& r) { return data::newest_usable(r, "m.predictions"); });
  ASSERT_TRUE(version);
  EXPECT_EQ(version->number, 1);
  EXPECT_EQ(version->rows, 40);
  EXPECT_EQ(version->content.parts, found.parts);
  EXPECT_EQ(version->content.schema, found.layout.schema);
  EXPECT_EQ(read([](meta::Reader& r) { return data::newest_usable(r, "other.predictions"); })->rows, 10);
  EXPECT_EQ(read([](meta::Reader& r) { return log_layouts(r); }).size(), 2u);
  take(now, result);

  // The next one goes on top; then retention lets the first go.
  auto between = t.clock.now();
  t.clock.advance(std::chrono::days(3));
  add_some(20);
  now = job();
  result = *run_roll(now, context);
  EXPECT_EQ(commit().value(), true);
  take(now, result);
  expect_all();
  version = read([](meta::Reader& r) { return data::newest_usable(r, "m.predictions"); });
  EXPECT_EQ(version->number, 2);
  EXPECT_EQ(version->rows, 56);
  const auto keep = std::chrono::days(2);
  auto let_go = [&](TimePoint when) {
    auto due = store->read([&](meta::Reader& r) { return lines_due(r, "m", keep, when); }).value();
    auto rows = store->write([&](meta::Tx& tx) { return let_lines_go(tx, "m", keep, when); }).value();
    EXPECT_EQ(due, rows > 0);
    return rows;
  };
  EXPECT_EQ(let_go(between), 0);
  EXPECT_EQ(let_go(t.clock.now()), 40);
  EXPECT_EQ(let_go(t.clock.now()), 0);
  found = read([&](meta::Reader& r) { return log_view(r, "m", dir); });
  version = read([](meta::Reader& r) { return data::newest_usable(r, "m.predictions"); });
  EXPECT_EQ(version->number, 3);
  EXPECT_EQ(version->rows, 16);
  EXPECT_EQ(version->content.parts, found.parts);
  auto old = store->read([&](meta::Reader& r) -> Result<void> {
    TRY(auto first_version, data::get_version(r, "m.predictions", 1));
    return data::check_readable(r, first_version);
  });
  EXPECT_EQ(reason_of(old), "data.rows_gone");
}

}  // namespace
}  // namespace millrace::loop
