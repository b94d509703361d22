#include "data/profile.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/digest.hpp"
#include "data/testing/place.hpp"
#include "table/testing/make.hpp"

namespace millrace::data {
namespace {

std::vector<ColumnProfile> profile(const std::string& csv, const ProfileOptions& options = {}) {
  auto reader = table::open_file(table::testing::memory_file(csv)).value();
  Profiler profiler(reader->schema(), options);
  while (auto batch = reader->next().value()) profiler.add(*batch);
  return profiler.finish();
}

// The numbers of shared/reference/expected.json (numpy), to 1e-9.
TEST(Profile, EqualsNumpy) {
  if (testing::shared_dir().empty()) GTEST_SKIP() << "MILLRACE_SHARED is not set";
  RealFs fs;
  const std::string csv = read_file(fs, testing::shared_dir() + "/reference/profile.csv").value();
  const auto columns = profile(csv, {.histogram_bins = 10});
  const ColumnProfile& x = columns.at(1);
  EXPECT_EQ(x.name, "x");
  EXPECT_EQ(x.count, 2803);
  EXPECT_EQ(x.nulls, 197);
  EXPECT_NEAR(*x.mean, 1.587303890710527, 1e-9);
  EXPECT_NEAR(*x.std_dev, 1.905298731927725, 1e-9);
  EXPECT_NEAR(std::stod(x.min), 0.02636366731461785, 1e-9);
  EXPECT_NEAR(std::stod(x.max), 23.25094296377562, 1e-9);
  const double quantiles[] = {0.1006428426984064, 0.1921819602250659, 0.5019909877400144, 0.97729591033709,
                              1.9746032138612577, 5.0093116544904905, 9.216944360996091};
  ASSERT_EQ(x.quantiles.size(), 7u);
  for (std::size_t i = 0; i < 7; i++) EXPECT_NEAR(x.quantiles[i].value, quantiles[i], 1e-9) << x.quantiles[i].at;
  EXPECT_EQ(x.histogram->counts, (std::vector<std::int64_t>{2259, 383, 97, 37, 12, 7, 3, 1, 2, 2}));
}

TEST(Profile, EachType) {
  const auto columns = profile(
      "b,i,f,t,d,z,empty\n"
      "true,1,-0,x,2020-01-01,2020-01-01 00:00:00,\n"
      "false,2,0.0,\xc3\xbc\xc3\xbc,2020-01-03,2020-01-01 12:00:00,\n"
      ",4,1e999,x,,2020-01-02 00:00:00,\n");
  const auto line = [](const ColumnProfile& c) {
    std::string out = c.type + " " + std::to_string(c.count) + "+" + std::to_string(c.nulls) + " distinct " +
                      std::to_string(c.distinct) + " " + c.min + ".." + c.max + (c.increasing ? " increasing" : "");
    if (c.mean) out += " mean " + table::to_text(*c.mean);
    for (const ValueCount& v : c.top) out += " " + v.value + ":" + std::to_string(v.count);
    return out;
  };
  EXPECT_EQ(line(columns[0]), "boolean 2+1 distinct 2 false..true false:1 true:1");
  EXPECT_EQ(line(columns[1]), "int64 3+0 distinct 3 1..4 increasing mean 2.3333333333333335 1:1 2:1 4:1");
  EXPECT_EQ(line(columns[2]), "float64 3+0 distinct 2 0..inf mean 0 0:2 inf:1");
  EXPECT_EQ(line(columns[3]), "text 3+0 distinct 2 x..\xc3\xbc\xc3\xbc x:2 \xc3\xbc\xc3\xbc:1");
  EXPECT_NEAR(*columns[3].mean_length, 4.0 / 3, 1e-12);
  EXPECT_EQ(line(columns[4]), "date 2+1 distinct 2 2020-01-01..2020-01-03 mean 18263 2020-01-01:1 2020-01-03:1");
  EXPECT_EQ(columns[5].increasing, true);
  EXPECT_EQ(line(columns[6]), "text 0+3 distinct 0 ..");
}

TEST(Profile, BoundsTurnExactIntoEstimates) {
  std::string csv = "n,t\n";
  for (int i = 0; i < 60'000; i++) csv += std::to_string(i * 7919 % 60'000) + ",w" + std::to_string(i % 30'000) + "\n";
  ProfileOptions tight;
  tight.counted_max = tight.counted_min = 1000;
  tight.kept_max = tight.kept_min = 5000;
  const auto rough = profile(csv, tight);
  EXPECT_FALSE(rough[0].distinct_exact);
  EXPECT_NEAR(static_cast<double>(rough[0].distinct), 60'000, 3'000);
  EXPECT_NEAR(static_cast<double>(rough[1].distinct), 30'000, 1'500);
  EXPECT_FALSE(rough[0].quantiles_exact);
  EXPECT_NEAR(rough[0].quantiles[3].value, 30'000, 1'500);
  EXPECT_NEAR(*rough[0].mean, 29'999.5, 1e-6);
  const auto exact = profile(csv);
  EXPECT_TRUE(exact[0].distinct_exact);
  EXPECT_EQ(exact[1].distinct, 30'000);
}

TEST(Profile, NumbersAtTheEndsOfTheRangeStayJson) {
  const auto columns = profile("a,b\n1.7e308,inf\n-1.7e308,-inf\n1.7e308,nan\n");
  Analysis analysis;
  analysis.columns = columns;
  const auto again = parse_analysis(render(analysis));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, analysis);
}

TEST(Profile, AllValuesOfOneColumn) {
  std::string csv = "a,b\n";
  for (int i = 0; i < 100; i++) csv += "x" + std::to_string(i % 40) + ",y" + std::to_string(i % 40) + "\n";
  const auto columns = profile(csv, {.all_values_of = "b"});
  EXPECT_EQ(columns[0].top.size(), 10u);
  EXPECT_EQ(columns[1].top.size(), 40u);
}

TEST(RowSample, SizeOrderAndRepetition) {
  const table::Schema schema = {{{"n", table::Type::int64}}};
  const auto draw = [&](std::int64_t rows, std::int64_t batch_rows) {
    RowSample sample(100);
    for (std::int64_t at = 0; at < rows; at += batch_rows) {
      std::vector<table::Row> values;
      for (std::int64_t r = at; r < std::min(rows, at + batch_rows); r++) values.push_back({table::Value{r}});
      sample.add(table::Batch::from_rows(schema, values).value());
    }
    return table::testing::print_rows(table::testing::all_rows(*table::read_batches(schema, sample.finish())));
  };
  EXPECT_EQ(draw(50, 7), draw(50, 50));
  EXPECT_EQ(std::ranges::count(draw(50, 7), '\n'), 50);
  const std::string many = draw(100'000, 1'000);
  EXPECT_EQ(many, draw(100'000, 33'333));
  EXPECT_GE(std::ranges::count(many, '\n'), 60);
  EXPECT_LE(std::ranges::count(many, '\n'), 200);
}

}  // namespace
}  // namespace millrace::data
