#include "serve/prediction_log.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <format>
#include <set>
#include <thread>

#include "base/testing/env.hpp"

namespace millrace::serve {
namespace {

const LogSchema schema_a{"churn",
                         3,
                         {{"age", table::Type::int64},
                          {"plan", table::Type::text},
                          {"paid", table::Type::boolean},
                          {"spend", table::Type::float64},
                          {"since", table::Type::date},
                          {"seen", table::Type::timestamp}},
                         {"No", "Yes"}};
const table::Row row_a{
    std::int64_t{41}, std::string("gold ☃"), true, 12.5, table::Date{20000}, table::Timestamp{1'700'000'000'000'000}};
const table::Row nulls(6);

struct Line {
  LogSchema schema;
  LoggedPrediction prediction;
};
std::vector<Line> read_all(TestEnv& t, LogReadStats* stats = nullptr) {
  std::vector<Line> lines;
  auto read = read_prediction_log(t.env.fs, t.path("log"),
                                  [&](const LogSchema& schema, LoggedPrediction&& line) -> Result<void> {
                                    lines.push_back({schema, std::move(line)});
                                    return {};
                                  });
  EXPECT_TRUE(read) << read.error().message;
  if (stats && read) *stats = *read;
  return lines;
}

PredictionLog::Config config(TestEnv& t, std::uint64_t segment_bytes = 1 << 16) {
  return {t.path("log"), segment_bytes};
}

TEST(PredictionLog, EveryTypeComesBack) {
  TestEnv t;
  auto log = *PredictionLog::open(config(t), t.env);
  IdMaker ids(t.clock, t.rng);
  auto handle = log->schema(schema_a);
  auto id = ids.make();
  const float scores[] = {0.71f};
  ASSERT_TRUE(log->append(handle, id, t.clock.now(), "k-1", scores, 1, row_a));
  ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", scores, 0, nulls));
  auto lines = read_all(t);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].schema.model, "churn");
  EXPECT_EQ(lines[0].schema.version, 3);
  EXPECT_EQ(lines[0].schema.inputs, schema_a.inputs);
  EXPECT_EQ(lines[0].schema.classes, schema_a.classes);
  EXPECT_EQ(lines[0].prediction.id, id);
  EXPECT_EQ(lines[0].prediction.key, "k-1");
  EXPECT_EQ(lines[0].prediction.scores, std::vector<float>{0.71f});
  EXPECT_EQ(lines[0].prediction.decision, 1);
  EXPECT_EQ(lines[0].prediction.inputs, row_a);
  EXPECT_EQ(lines[1].prediction.inputs, nulls);
}

// Shares are of the ids, so that processes agree, and a larger one only adds rows.
TEST(PredictionLog, AShareOfTheRows) {
  TestEnv t;
  IdMaker ids(t.clock, t.rng);
  constexpr int rows = 100'000;
  std::vector<Id> in_five;
  int in_quarter = 0;
  for (int i = 0; i < rows; ++i) {
    const auto id = ids.make();
    if (in_share(id, 0.05)) in_five.push_back(id);
    in_quarter += in_share(id, 0.25);
    EXPECT_TRUE(in_share(id, 1));
    EXPECT_FALSE(in_share(id, 0));
  }
  EXPECT_NEAR(static_cast<double>(in_five.size()) / rows, 0.05, 0.003);
  EXPECT_NEAR(static_cast<double>(in_quarter) / rows, 0.25, 0.006);
  for (const auto& id : in_five) EXPECT_TRUE(in_share(id, 0.25)) << id.text();
  // Written down: what one build kept, another must find to be kept.
  const auto known = *Id::parse("01JQ8ZK3V7XW6N2M4R5T9Y0BCD");
  EXPECT_FALSE(in_share(known, 0.9343));
  EXPECT_TRUE(in_share(known, 0.9345));
}

TEST(PredictionLog, TheShareIsInTheSegment) {
  TestEnv t;
  auto log = *PredictionLog::open(config(t), t.env);
  IdMaker ids(t.clock, t.rng);
  auto some = schema_a;
  some.share = 0.125;
  const float scores[] = {0.5f};
  ASSERT_TRUE(log->append(log->schema(schema_a), ids.make(), t.clock.now(), "", scores, 0, row_a));
  ASSERT_TRUE(log->append(log->schema(some), ids.make(), t.clock.now(), "", scores, 0, row_a));
  auto lines = read_all(t);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].schema.share, 1);
  EXPECT_EQ(lines[1].schema.share, 0.125);
}

TEST(PredictionLog, WhyAVersionAnswered) {
  TestEnv t;
  auto log = *PredictionLog::open(config(t), t.env);
  IdMaker ids(t.clock, t.rng);
  const auto handle = log->schema(schema_a);
  const auto live = ids.make();
  const float scores[] = {0.5f};
  const auto all = {Why::current, Why::canary, Why::header, Why::shadow, Why::probation, Why::fallback};
  for (const auto why : all) {
    ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", scores, 0, row_a, why, &live));
    EXPECT_EQ(parse_why(why_name(why)), why);
  }
  const auto lines = read_all(t);
  ASSERT_EQ(lines.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(lines[i].prediction.why, *(all.begin() + i));
    EXPECT_EQ(lines[i].prediction.live, *(all.begin() + i) == Why::shadow ? std::optional(live) : std::nullopt);
    EXPECT_EQ(lines[i].prediction.inputs, row_a);
  }
  EXPECT_FALSE(parse_why("someone"));
}

// A plain line has the bytes that it had before there were releases: 54 of them without key and inputs.
TEST(PredictionLog, APlainLineIsWhatItWas) {
  TestEnv t;
  auto log = *PredictionLog::open(config(t), t.env);
  IdMaker ids(t.clock, t.rng);
  const auto handle = log->schema({"m", 1, {}, {}});
  ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", {}, -1, {}));
  const auto bytes = *read_file(t.env.fs, t.path("log/000000000001.mpl"), 1 << 20);
  const auto at = bytes.rfind("MRPL");
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + at + 4, sizeof length);
  EXPECT_EQ(length, 4u + 16 + 8 + 4 + 4 + 4 + 4);
}

TEST(PredictionLog, ABoundOnItsBytes) {
  TestEnv t;
  auto log = *PredictionLog::open(config(t, 4096), t.env);
  log->set_bytes_max(3 * 4096 + 100);
  IdMaker ids(t.clock, t.rng);
  auto handle = log->schema(schema_a);
  const float scores[] = {0.5f};
  auto append = [&] { return log->append(handle, ids.make(), t.clock.now(), "", scores, 0, row_a); };
  auto last = append();
  while (last) last = append();
  EXPECT_EQ(last.error().reason, "serve.log_bound");
  EXPECT_EQ(last.error().code, Code::resource_exhausted);
  EXPECT_EQ(list_segments(t.env.fs, t.path("log"))->size(), 3u);
  const auto kept = read_all(t).size();
  EXPECT_EQ(kept, log->appended());
  // Rolled and removed: there is room again, after the pause in which nobody asks the disk.
  ASSERT_TRUE(t.env.fs.remove(list_segments(t.env.fs, t.path("log"))->front().path));
  EXPECT_FALSE(append());
  t.clock.advance(std::chrono::seconds(2));
  EXPECT_TRUE(append());
  log->set_bytes_max(0);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(append());
}

TEST(PredictionLog, ManyThreadsManySegmentsManySchemas) {
  TestEnv t;
  auto log = *PredictionLog::open(config(t, 8192), t.env);
  constexpr int threads = 8, each = 400;
  std::vector<PredictionLog::Handle> handles;
  for (int v = 0; v < 5; ++v) {
    auto schema = schema_a;
    schema.version = v;
    handles.push_back(log->schema(schema));
  }
  IdMaker ids(t.clock, t.rng);
  {
    std::vector<std::jthread> workers;
    for (int w = 0; w < threads; ++w) {
      workers.emplace_back([&, w] {
        for (int i = 0; i < each; ++i) {
          const float scores[] = {static_cast<float>(i % 5)};
          ASSERT_TRUE(log->append(handles[static_cast<std::size_t>(i % 5)], ids.make(), t.clock.now(),
                                  std::to_string(w), scores, 1, row_a));
          if (i % 50 == 0) {
            ASSERT_TRUE(log->sync());
          }
        }
      });
    }
  }
  EXPECT_EQ(log->appended(), threads * each);
  LogReadStats stats;
  auto lines = read_all(t, &stats);
  EXPECT_EQ(lines.size(), static_cast<std::size_t>(threads * each));
  EXPECT_GT(stats.segments, 10u);
  EXPECT_EQ(stats.damaged, 0u);
  std::set<Id> distinct;
  for (const auto& line : lines) {
    distinct.insert(line.prediction.id);
    EXPECT_EQ(static_cast<float>(line.schema.version), line.prediction.scores[0]) << "a line under another's schema";
  }
  EXPECT_EQ(distinct.size(), lines.size());
}

TEST(PredictionLog, AcknowledgedLinesSurviveSigkill) {
  TestEnv t;
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  auto child = fork();
  if (child == 0) {
    auto log = *PredictionLog::open(config(t, 8192), t.env);
    auto handle = log->schema(schema_a);
    IdMaker ids(t.clock, t.rng);
    const float scores[] = {0.5f};
    for (;;) {
      auto id = ids.make();
      if (!log->append(handle, id, t.clock.now(), "", scores, 1, row_a)) _exit(1);
      if (write(pipe_ends[1], id.bytes.data(), 16) != 16) _exit(1);  // acknowledged
    }
  }
  close(pipe_ends[1]);
  std::set<Id> acknowledged;
  Id id;
  while (acknowledged.size() < 300 && read(pipe_ends[0], id.bytes.data(), 16) == 16) acknowledged.insert(id);
  kill(child, SIGKILL);
  while (read(pipe_ends[0], id.bytes.data(), 16) == 16) acknowledged.insert(id);
  waitpid(child, nullptr, 0);
  close(pipe_ends[0]);
  ASSERT_GE(acknowledged.size(), 300u);
  std::set<Id> logged;
  for (const auto& line : read_all(t)) logged.insert(line.prediction.id);
  for (const auto& one : acknowledged) EXPECT_TRUE(logged.contains(one));

  auto reopened = *PredictionLog::open(config(t, 8192), t.env);
  auto handle = reopened->schema(schema_a);
  const float scores[] = {0.5f};
  IdMaker ids(t.clock, t.rng);
  ASSERT_TRUE(reopened->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a));
  EXPECT_EQ(read_all(t).size(), logged.size() + 1) << "a new process writes a new segment and keeps the old ones";
}

TEST(PredictionLog, DamageIsSteppedOverAndCounted) {
  TestEnv t;
  auto log = *PredictionLog::open(config(t), t.env);
  auto handle = log->schema(schema_a);
  IdMaker ids(t.clock, t.rng);
  const float scores[] = {0.5f};
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a));
  log.reset();
  auto path = t.path("log/000000000001.mpl");
  auto bytes = *read_file(t.env.fs, path);
  auto first = bytes.find("MRPL", 64 + 64);
  bytes[first + 40] ^= 1;  // inside the first prediction after the schema
  ASSERT_TRUE(write_file(t.env.fs, path, bytes));
  LogReadStats stats;
  EXPECT_EQ(read_all(t, &stats).size(), 9u);
  EXPECT_EQ(stats.damaged, 1u);
}

TEST(PredictionLog, SurvivesAPowerCutUpToTheLastSync) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    TestEnv t(TestEnv::Disk::sim, seed);
    std::set<Id> synced;
    {
      auto log = *PredictionLog::open(config(t, 16384), t.env);
      auto handle = log->schema(schema_a);
      IdMaker ids(t.clock, t.rng);
      const float scores[] = {0.5f};
      auto some = [&](int count, std::set<Id>* keep) {
        for (int i = 0; i < count; ++i) {
          auto id = ids.make();
          ASSERT_TRUE(log->append(handle, id, t.clock.now(), "", scores, 1, row_a));
          if (keep) keep->insert(id);
        }
      };
      some(150, &synced);
      ASSERT_TRUE(log->sync());
      some(150, nullptr);
      t.sim_fs().crash(t.rng);
    }
    std::set<Id> logged;
    for (const auto& line : read_all(t)) {
      EXPECT_EQ(line.prediction.inputs, row_a) << "a torn line was read, seed " << seed;
      logged.insert(line.prediction.id);
    }
    for (const auto& id : synced) EXPECT_TRUE(logged.contains(id)) << "seed " << seed;
  }
}

TEST(PredictionLog, OpeningMakesDurableWhatAKilledProcessLeft) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    TestEnv t(TestEnv::Disk::sim, seed);
    IdMaker ids(t.clock, t.rng);
    const float scores[] = {0.5f};
    {
      auto log = *PredictionLog::open(config(t, 8192), t.env);
      auto handle = log->schema(schema_a);
      for (int i = 0; i < 100; ++i)
        ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "killed", scores, 0, row_a));
      t.sim_fs().die_at(0);
    }
    t.sim_fs().kill();
    {
      auto log = PredictionLog::open(config(t, 8192), t.env);
      ASSERT_TRUE(log) << log.error().message;
      t.sim_fs().die_at(0);
    }
    t.sim_fs().crash(t.rng);
    ASSERT_EQ(read_all(t).size(), 100u) << "seed " << seed;
  }
}

TEST(PredictionLog, AFailedSyncIsNotTheEndOfAllOthers) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    TestEnv t(TestEnv::Disk::sim, seed);
    IdMaker ids(t.clock, t.rng);
    const float scores[] = {0.5f};
    auto log = *PredictionLog::open(config(t, 8192), t.env);
    auto handle = log->schema(schema_a);
    ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "before", scores, 0, row_a));
    t.sim_fs().fail_at(0);
    EXPECT_FALSE(log->sync());
    ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "after", scores, 0, row_a));
    ASSERT_TRUE(log->sync());
    log->close_segment();
    EXPECT_EQ(log->closed_through().value_or(0), 2u);
    t.sim_fs().crash(t.rng);
    int after = 0;
    for (const auto& line : read_all(t)) after += line.prediction.key == "after";
    EXPECT_EQ(after, 1) << "seed " << seed;
  }
}

TEST(PredictionLog, AnInputOutputErrorIsNotAnEmptyLog) {
  TestEnv t(TestEnv::Disk::sim);
  EXPECT_TRUE(list_segments(t.env.fs, t.path("nowhere"))->empty());
  auto log = *PredictionLog::open(config(t), t.env);
  IdMaker ids(t.clock, t.rng);
  const float scores[] = {0.5f};
  ASSERT_TRUE(log->append(log->schema(schema_a), ids.make(), t.clock.now(), "", scores, 0, row_a));
  for (std::uint64_t n = 0; n < 4; ++n) {
    const auto before = t.sim_fs().operations();
    t.sim_fs().fail_at(n);
    const auto segments = list_segments(t.env.fs, t.path("log"));
    if (t.sim_fs().operations() - before > n) {
      EXPECT_FALSE(segments) << "operation " << n << " failed";
    }
    t.sim_fs().clear_faults();
  }
  EXPECT_EQ(list_segments(t.env.fs, t.path("log"))->size(), 1u);
}

// Else a roll of everything waits for it until the next line comes.
TEST(PredictionLog, ASegmentThatCouldNotBeMadeWholeIsClosedWithTheOthers) {
  TestEnv t;
  const float scores[] = {0.5f};
  IdMaker ids(t.clock, t.rng);
  auto log = *PredictionLog::open(config(t), t.env);
  auto handle = log->schema(schema_a);
  auto line = [&] { return log->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a).has_value(); };
  for (const std::string point : {"after_create", "before_header", "after_header"}) {
    ASSERT_TRUE(t.faults.arm("serve.segment." + point + "=error"));
    EXPECT_FALSE(line());
    EXPECT_EQ(list_segments(t.env.fs, t.path("log"))->size(), 0u) << "it is begun anew, not gone on with";
    EXPECT_EQ(*log->closed_through(), 0u) << "the next line would go into it";
    t.clock.advance(std::chrono::seconds(2));
  }
  ASSERT_TRUE(t.faults.arm(""));
  log->close_segment();
  EXPECT_EQ(*log->closed_through(), 1u);
  EXPECT_EQ(log->made(), std::nullopt);
  EXPECT_TRUE(line());
  EXPECT_EQ(list_segments(t.env.fs, t.path("log"))->back().number, 2u);
  EXPECT_EQ(log->made(), (PredictionLog::Made{2, 2}));
  EXPECT_EQ(read_all(t).size(), 1u);
}

// Whoever asks for a prediction does not wait for a disk that said no a moment ago; and what it said is not believed
// for long.
TEST(PredictionLog, AFullDiskIsAskedOnceASecond) {
  TestEnv t(TestEnv::Disk::sim);
  const float scores[] = {0.5f};
  IdMaker ids(t.clock, t.rng);
  auto log = *PredictionLog::open(config(t), t.env);
  auto handle = log->schema(schema_a);
  auto line = [&]() -> std::string {
    auto kept = log->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a);
    return kept ? "kept" : kept.error().reason;
  };
  t.sim_fs().set_capacity(100);
  EXPECT_EQ(line(), "fs.disk_full");
  const auto operations = t.sim_fs().operations();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(line(), "fs.disk_full");
  EXPECT_EQ(t.sim_fs().operations(), operations);
  EXPECT_TRUE(list_segments(t.env.fs, t.path("log"))->empty()) << "what failed takes no room";
  t.sim_fs().clear_faults();
  EXPECT_EQ(line(), "fs.disk_full") << "there was no time to look again";
  t.clock.advance(std::chrono::seconds(1));
  EXPECT_EQ(line(), "kept");
  EXPECT_EQ(read_all(t).size(), 1u);
}

TEST(PredictionLog, ClosedSegmentsNoLongerChangeAndNumbersAreUsedOnce) {
  TestEnv t;
  const float scores[] = {0.5f};
  IdMaker ids(t.clock, t.rng);
  auto fresh = [&](std::uint64_t used) {
    auto settings = config(t);
    settings.numbers_used = used;
    return *PredictionLog::open(settings, t.env);
  };
  {
    auto log = fresh(0);
    auto handle = log->schema(schema_a);
    auto line = [&] { ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a)); };
    EXPECT_EQ(*log->closed_through(), 0u);
    line();
    EXPECT_EQ(*log->closed_through(), 0u) << "it is being written";
    log->close_segment();
    log->close_segment();
    EXPECT_EQ(*log->closed_through(), 1u);
    EXPECT_EQ(list_segments(t.env.fs, t.path("log"))->size(), 1u) << "closing makes no file";
    line();
    EXPECT_EQ(*log->closed_through(), 1u);
    EXPECT_EQ(list_segments(t.env.fs, t.path("log"))->back().number, 2u);
    EXPECT_EQ(list_segments(t.env.fs, t.path("log"), 1)->size(), 1u);
    EXPECT_EQ(**segment_made(t.env.fs, t.path("log/000000000002.mpl")), t.clock.now());
  }
  ASSERT_TRUE(write_file(t.env.fs, t.path("log/notes.mpl"), "not ours"));
  ASSERT_TRUE(write_file(t.env.fs, t.path("log/000000000003.mpl"), ""));
  EXPECT_EQ(read_all(t).size(), 2u) << "an empty file holds nothing; another one is none of ours";
  EXPECT_FALSE(*segment_made(t.env.fs, t.path("log/000000000003.mpl")));
  for (int number : {1, 2, 3}) ASSERT_TRUE(t.env.fs.remove(t.path(std::format("log/{:012}.mpl", number))));
  {
    auto log = fresh(7);  // all of them are elsewhere, and were removed
    EXPECT_EQ(*log->closed_through(), 7u);
    auto handle = log->schema(schema_a);
    ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a));
    EXPECT_EQ(list_segments(t.env.fs, t.path("log"))->front().number, 8u);
  }
  EXPECT_EQ(*fresh(7)->closed_through(), 8u) << "whoever wrote it is gone";
}

TEST(PredictionLog, TheNextSegmentIsMadeAheadOfItsFirstLine) {
  TestEnv t(TestEnv::Disk::sim);
  const float scores[] = {0.5f};
  IdMaker ids(t.clock, t.rng);
  const auto segments = [&] { return list_segments(t.env.fs, t.path("log"))->size(); };
  std::size_t lines = 0;
  {
    auto log = *PredictionLog::open(config(t), t.env);
    const auto handle = log->schema(schema_a);
    const auto line = [&] {
      ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a));
      ++lines;
    };
    log->prepare();
    line();
    log->prepare();
    EXPECT_EQ(segments(), 1u) << "half of the room is left";
    for (int segment = 1; segment <= 3; ++segment) {
      while (log->prepare(), segments() == static_cast<std::size_t>(segment)) line();
      EXPECT_EQ(log->made()->last, static_cast<std::uint64_t>(segment)) << "nothing is in it yet";
      EXPECT_EQ(*log->closed_through(), static_cast<std::uint64_t>(segment - 1));
      log->prepare();
      EXPECT_EQ(segments(), static_cast<std::size_t>(segment) + 1) << "one is enough";
      const auto operations = t.sim_fs().operations();
      while (log->made()->last == static_cast<std::uint64_t>(segment)) line();
      EXPECT_EQ(t.sim_fs().operations(), operations) << "whoever begins it does not wait for the disk";
    }
    while (log->prepare(), segments() == 4) line();
  }
  EXPECT_EQ(segments(), 4u) << "one that nobody needed is taken away";
  EXPECT_EQ(read_all(t).size(), lines);
}

TEST(PredictionLog, AClosedSegmentIsFollowedByTheOneMadeAhead) {
  TestEnv t;
  const float scores[] = {0.5f};
  IdMaker ids(t.clock, t.rng);
  const auto segments = [&] { return *list_segments(t.env.fs, t.path("log")); };
  auto log = *PredictionLog::open(config(t), t.env);
  const auto handle = log->schema(schema_a);
  const auto line = [&] { ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a)); };
  while (log->prepare(), segments().size() < 2) line();
  ASSERT_EQ(log->segments()->size(), 1u) << "the other one has no line";
  EXPECT_EQ(log->segments()->front().number, 1u);
  EXPECT_TRUE(log->segments(1)->empty());
  log->close_segment();
  EXPECT_EQ(*log->closed_through(), 1u);
  line();
  EXPECT_EQ(*log->closed_through(), 1u);
  EXPECT_EQ(segments().size(), 2u);
  // As a killed process leaves it: the number is used up, and there is nothing in it.
  while (log->prepare(), segments().size() < 3) line();
  const auto lines = read_all(t).size();
  auto second = *PredictionLog::open(config(t), t.env);
  EXPECT_EQ(*second->closed_through(), 3u);
  EXPECT_EQ(read_all(t).size(), lines);
}

TEST(PredictionLog, AFullDiskIsNoMatterUntilALineNeedsIt) {
  TestEnv t(TestEnv::Disk::sim);
  const float scores[] = {0.5f};
  IdMaker ids(t.clock, t.rng);
  auto log = *PredictionLog::open(config(t), t.env);
  const auto handle = log->schema(schema_a);
  const auto line = [&] { return log->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a).has_value(); };
  ASSERT_TRUE(line());
  t.sim_fs().set_capacity(100);
  std::size_t kept = 1;
  while (log->prepare(), line()) ++kept;
  EXPECT_GT(kept, 100u);
  EXPECT_EQ(list_segments(t.env.fs, t.path("log"))->size(), 1u) << "what failed takes no room";
  t.sim_fs().clear_faults();
  t.clock.advance(std::chrono::seconds(1));
  EXPECT_TRUE(line());
  EXPECT_EQ(read_all(t).size(), kept + 1);
}

TEST(PredictionLog, AThreadMakesSegmentsAhead) {
  TestEnv t;
  const float scores[] = {0.5f};
  IdMaker ids(t.clock, t.rng);
  auto log = *PredictionLog::open(config(t), t.env);
  const auto handle = log->schema(schema_a);
  std::jthread ahead([&](std::stop_token stop) { log->prepare_until(stop); });
  std::size_t lines = 0;
  for (; log->made().value_or(PredictionLog::Made{}).last < 20; ++lines)
    ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a));
  ahead.request_stop();
  ahead.join();
  EXPECT_EQ(read_all(t).size(), lines);
}

TEST(PredictionLog, NothingClosedIsStillBeingWritten) {
  TestEnv t;
  auto log = *PredictionLog::open(config(t, 1 << 20), t.env);
  auto handle = log->schema(schema_a);
  IdMaker ids(t.clock, t.rng);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> answered{0};
  std::vector<std::jthread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&] {
      const float scores[] = {0.5f};
      // Bounded: who writes faster than is read below would give each round more to read than the one before.
      for (int line = 0; line < 20'000 && !stop; ++line) {
        ASSERT_TRUE(log->append(handle, ids.make(), t.clock.now(), "", scores, 1, row_a));
        ++answered;
      }
    });
  }
  std::uint64_t through = 0, lines = 0;
  auto read_on = [&](std::uint64_t now_through) {  // each segment exactly once, when it is closed
    for (const auto& segment : *list_segments(t.env.fs, t.path("log"), through)) {
      if (segment.number > now_through) break;
      auto stats = read_prediction_segment(t.env.fs, segment.path, [](const auto&, auto&&) { return Result<void>(); });
      ASSERT_TRUE(stats);
      lines += stats->lines;
    }
    through = now_through;
  };
  for (int i = 0; i < 30; ++i) {
    log->close_segment();
    read_on(*log->closed_through());
  }
  stop = true;
  writers.clear();
  log->close_segment();
  read_on(*log->closed_through());
  EXPECT_EQ(lines, answered.load());
}

TEST(PredictionLog, ALineThatDoesNotFitIsRefused) {
  TestEnv t;
  auto log = *PredictionLog::open({t.path("log"), 1 << 16, 1000}, t.env);
  auto handle = log->schema({"m", 1, {{"text", table::Type::text}}, {}});
  const float scores[] = {1.f};
  IdMaker ids(t.clock, t.rng);
  auto refused = log->append(handle, ids.make(), t.clock.now(), "", scores, -1, table::Row{std::string(2000, 'x')});
  EXPECT_EQ(refused.error().reason, "serve.line_too_long");
}

}  // namespace
}  // namespace millrace::serve
