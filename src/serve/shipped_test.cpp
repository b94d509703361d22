#include "serve/shipped.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <format>

#include "base/testing/env.hpp"
#include "serve/log_check.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::serve {
namespace {

LogSchema shipped_schema(std::int64_t version) { return {"m", version, {{"x", table::Type::int64}}, {"No", "Yes"}}; }

struct End {
  explicit End(TestEnv& t, std::string name) : t(t), dir(t.path(name)) { open(); }
  void open() { log = *PredictionLog::open({dir, 1 << 16}, t.env); }
  void add(std::int64_t x, std::int64_t version = 1) {
    if (!handles.contains(version)) handles[version] = log->schema(shipped_schema(version));
    const float scores[] = {0.5f};
    const table::Row row{x};
    ASSERT_TRUE(log->append(handles[version], ids.make(), t.clock.now(), std::format("k{}", x), scores, 1, row));
  }
  std::vector<std::string> lines() {
    std::vector<std::string> out;
    EXPECT_TRUE(
        read_prediction_log(t.env.fs, dir, [&](const LogSchema& schema, LoggedPrediction&& line) -> Result<void> {
          out.push_back(std::format("{}:{} {}", schema.model, schema.version, line.key));
          return {};
        }));
    return out;
  }
  std::string segment(std::size_t at = 0) { return list_segments(t.env.fs, dir)->at(at).path; }

  TestEnv& t;
  std::string dir;
  IdMaker ids{t.clock, t.rng};
  std::unique_ptr<PredictionLog> log;
  std::map<std::int64_t, PredictionLog::Handle> handles;
};

TEST(Shipped, LinesStandInTheOtherLogAsInTheirOwn) {
  TestEnv t;
  End from(t, "from"), to(t, "to");
  to.add(100, 7);  // its own, with the same number of a schema
  for (int x = 0; x < 5; ++x) from.add(x, x % 2 + 1);
  auto piece = *read_piece(t.env.fs, from.segment(), 0, false);
  EXPECT_EQ(piece.lines, 5u);
  EXPECT_EQ(check_piece({"p", "s", 0, piece.to}, piece.items), 5u);
  ASSERT_TRUE(to.log->append_shipped({"p", "s", 0, piece.to}, piece.items));
  to.add(101, 7);
  // What comes later needs the schemas of before.
  from.add(5, 1);
  const auto next = *read_piece(t.env.fs, from.segment(), piece.to, false);
  EXPECT_EQ(next.lines, 1u);
  ASSERT_TRUE(to.log->append_shipped({"p", "s", piece.to, next.to}, next.items));
  EXPECT_EQ(to.lines(), (std::vector<std::string>{"m:7 k100", "m:1 k0", "m:2 k1", "m:1 k2", "m:2 k3", "m:1 k4",
                                                  "m:7 k101", "m:1 k5"}));
  EXPECT_EQ(read_piece(t.env.fs, from.segment(), next.to, true)->lines, 0u);
  const auto check = check_segment(t.env.fs, to.segment(), 1);
  EXPECT_TRUE(check->whole());
  EXPECT_EQ(check->lines, 8u);
  std::uint64_t pieces = 0, end = 0;
  std::vector<std::string> joined_by;
  ASSERT_TRUE(read_shipped(t.env.fs, to.dir, 0, [&](const ShippedFrom& one, std::string_view items) {
    ++pieces;
    end = one.to;
    EXPECT_EQ(one.predictor + one.segment, "ps");
    for (const auto& line : shipped_lines(items)) joined_by.push_back(line.model + " " + line.key);
  }));
  EXPECT_EQ(pieces, 2u);
  EXPECT_EQ(end, next.to);
  EXPECT_EQ(joined_by, (std::vector<std::string>{"m k0", "m k1", "m k2", "m k3", "m k4", "m k5"}));
  const auto line = shipped_lines(next.items).at(0);
  bool same = false;
  ASSERT_TRUE(read_prediction_log(t.env.fs, from.dir, [&](const LogSchema&, LoggedPrediction&& one) -> Result<void> {
    same = same || (one.id == line.id && one.time == line.time && one.key == line.key);
    return {};
  }));
  EXPECT_TRUE(same);
}

TEST(Shipped, ALineThatIsBeingWrittenIsWaitedFor) {
  TestEnv t;
  End from(t, "from");
  for (int x = 0; x < 3; ++x) from.add(x);
  const auto path = from.segment();
  auto bytes = *read_file(t.env.fs, path);
  std::vector<std::size_t> at;
  for (auto i = bytes.find("MRPL"); i != bytes.npos; i = bytes.find("MRPL", i + 1)) at.push_back(i);
  ASSERT_EQ(at.size(), 4u);  // a schema and the lines
  std::memset(bytes.data() + at[2], 0, 4);
  ASSERT_TRUE(write_file(t.env.fs, path, bytes));
  const auto open = *read_piece(t.env.fs, path, 0, false);
  EXPECT_EQ(open.lines, 1u);
  EXPECT_EQ(open.to, at[2]);
  const auto closed = *read_piece(t.env.fs, path, open.to, true);  // its writer is dead
  EXPECT_EQ(closed.lines, 1u);
}

TEST(Shipped, PiecesAreBounded) {
  TestEnv t;
  End from(t, "from");
  std::vector<std::string> all;
  for (int x = 0; x < 400; ++x) from.add(x);
  from.log = *PredictionLog::open({from.dir, 8 << 20}, t.env);
  from.handles.clear();
  for (int x = 0; x < 8000; ++x) from.add(x);
  const auto path = from.segment(list_segments(t.env.fs, from.dir)->size() - 1);
  std::uint64_t at = 0, lines = 0, pieces = 0;
  for (;; ++pieces) {
    const auto piece = *read_piece(t.env.fs, path, at, true);
    if (piece.lines == 0) break;
    EXPECT_LE(piece.items.size(), kPieceBytes + (64 << 10));
    lines += piece.lines;
    at = piece.to;
  }
  EXPECT_EQ(lines, 8000u);
  EXPECT_GT(pieces, 1u);
}

TEST(Shipped, AFailedSyncLeavesNothing) {
  TestEnv t;
  End from(t, "from"), to(t, "to");
  from.add(1);
  const auto piece = *read_piece(t.env.fs, from.segment(), 0, false);
  ASSERT_TRUE(t.faults.arm("serve.log.before_sync=error"));
  EXPECT_FALSE(to.log->append_shipped({"p", "s", 0, piece.to}, piece.items));
  ASSERT_TRUE(t.faults.arm(""));
  EXPECT_TRUE(to.lines().empty());
  ASSERT_TRUE(to.log->append_shipped({"p", "s", 0, piece.to}, piece.items));
  EXPECT_EQ(to.lines().size(), 1u);
}

TEST(Shipped, WhatIsNoPieceIsRefused) {
  TestEnv t;
  End from(t, "from");
  from.add(1);
  const auto piece = *read_piece(t.env.fs, from.segment(), 0, false);
  const ShippedFrom good{"p", "s", 0, piece.to};
  const auto reason = [&](const ShippedFrom& where, const std::string& items) {
    const auto done = check_piece(where, items);
    return done ? std::string() : done.error().reason;
  };
  EXPECT_EQ(reason(good, piece.items), "");
  EXPECT_EQ(reason({"", "s", 0, 8}, piece.items), "serve.bad_piece");
  EXPECT_EQ(reason({"p", std::string(200, 's'), 0, 8}, piece.items), "serve.bad_piece");
  EXPECT_EQ(reason({"p", "s", 8, 8}, piece.items), "serve.bad_piece");
  for (std::size_t cut = 1; cut < piece.items.size(); cut += 7) {
    const auto short_one = piece.items.substr(0, piece.items.size() - cut);
    // Cut between two items it is a whole piece with fewer lines.
    if (const auto done = check_piece(good, short_one)) EXPECT_EQ(*done, 0u) << cut;
  }
  auto line_first = piece.items;
  line_first[0] = 2;
  EXPECT_EQ(reason(good, line_first), "serve.bad_piece");
  line_first[0] = 3;
  EXPECT_EQ(reason(good, line_first), "serve.bad_piece");
}

TEST(Shipped, ASegmentIsToldFromOneThatHasItsNumberAgain) {
  TestEnv t;
  std::string first;
  {
    End one(t, "log");
    one.add(1);
    first = **segment_key(t.env.fs, one.segment(), 1);
  }
  ASSERT_TRUE(t.env.fs.remove_all(t.path("log")));
  t.clock.advance(std::chrono::seconds(1));
  End again(t, "log");
  again.add(1);
  EXPECT_NE(**segment_key(t.env.fs, again.segment(), 1), first);
}

}  // namespace
}  // namespace millrace::serve
