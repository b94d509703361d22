#include "table/table.hpp"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <gtest/gtest.h>
#include <parquet/arrow/writer.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/testing/reason.hpp"
#include "table/testing/make.hpp"

namespace millrace::table {
namespace {

using testing::all_rows;
using testing::memory_file;
using testing::print_rows;
using testing::print_schema;

const Schema six = {{{"b", Type::boolean},
                     {"i", Type::int64},
                     {"f", Type::float64},
                     {"t", Type::text},
                     {"d", Type::date},
                     {"z", Type::timestamp}}};

// Rows of all types with nulls, negative, huge, empty and Unicode values.
std::vector<Row> sample_rows(int count) {
  std::vector<Row> out;
  for (int i = 0; i < count; i++) {
    Row row = {Value{i % 2 == 0},     Value{std::int64_t{i} * 922'337'203'685 - 461'168'601'842},
               Value{i / 7.0 - 3},    Value{i % 5 == 0 ? std::string() : "wört " + std::to_string(i % 100)},
               Value{Date{i - 5000}}, Value{Timestamp{std::int64_t{i} * 1'000'003 - 7}}};
    row[static_cast<std::size_t>(i) % 6] = Value{};
    out.push_back(std::move(row));
  }
  return out;
}

std::unique_ptr<BatchReader> reader_of(const std::vector<Row>& rows, std::size_t batch_rows) {
  std::vector<Batch> batches;
  for (std::size_t at = 0; at < rows.size(); at += batch_rows) {
    const auto end = rows.begin() + static_cast<std::ptrdiff_t>(std::min(rows.size(), at + batch_rows));
    batches.push_back(Batch::from_rows(six, {rows.begin() + static_cast<std::ptrdiff_t>(at), end}).value());
  }
  return read_batches(six, std::move(batches));
}

std::unique_ptr<Engine> engine(Engine::OpenFile files = {}) {
  auto out = Engine::open({.memory_bytes = 256 << 20, .threads = 2, .temp_dir = ""}, std::move(files));
  if (!out) ADD_FAILURE() << out.error().message;
  return std::move(*out);
}

TEST(Batch, RowsAndBack) {
  const auto rows = sample_rows(100);
  const Batch batch = Batch::from_rows(six, rows).value();
  EXPECT_EQ(batch.rows(), 100);
  for (std::size_t r = 0; r < rows.size(); r++) EXPECT_EQ(batch.row(static_cast<std::int64_t>(r)), rows[r]);
  EXPECT_EQ(batch.slice(10, 5).row(2), rows[12]);
  const Batch taken = batch.take({99, 0, 0, 50});
  EXPECT_EQ(taken.rows(), 4);
  EXPECT_EQ(taken.row(0), rows[99]);
  EXPECT_EQ(taken.row(2), rows[0]);
  EXPECT_EQ(batch.take({}).rows(), 0);
}

TEST(Batch, WithColumnsBehind) {
  const Batch batch = Batch::from_rows({{{"i", Type::int64}}}, {{Value{std::int64_t{1}}}, {Value{}}}).value();
  const Batch more =
      with_columns(batch, {{"n", std::vector{0.5, 1.5}}, {"t", std::vector<std::string>{"a", ""}}}).value();
  EXPECT_EQ(more.schema().fields.size(), 3u);
  EXPECT_EQ(more.row(0), (Row{Value{std::int64_t{1}}, Value{0.5}, Value{std::string("a")}}));
  EXPECT_EQ(more.row(1), (Row{Value{}, Value{1.5}, Value{std::string()}}));
  EXPECT_EQ(with_columns(batch.slice(1, 1), {{"n", std::vector{2.0}}})->row(0), (Row{Value{}, Value{2.0}}));
  EXPECT_EQ(reason_of(with_columns(batch, {{"n", std::vector{0.5}}})), "table.bad_value");
}

TEST(Batch, RefusesOtherTypes) {
  EXPECT_EQ(reason_of(Batch::from_rows({{{"i", Type::int64}}}, {{Value{1.0}}})), "table.bad_value");
  EXPECT_EQ(reason_of(Batch::from_rows({{{"i", Type::int64}}}, {{Value{}, Value{}}})), "table.bad_value");
  const auto floats = arrow::MakeEmptyArray(arrow::float32()).ValueOrDie();
  const auto foreign = arrow::RecordBatch::Make(arrow::schema({arrow::field("x", arrow::float32())}), 0, {floats});
  EXPECT_EQ(reason_of(Batch::wrap(foreign)), "table.bad_column");
}

TEST(Parquet, RoundTripAndEqualBytes) {
  const auto rows = sample_rows(150'000);
  const std::string bytes = write_parquet(six, *reader_of(rows, 70'000)).value();
  // The bytes depend on the rows, not on how they were cut into batches.
  EXPECT_TRUE(bytes == write_parquet(six, *reader_of(rows, 1'234)).value());
  auto reader = open_parquet(memory_file(bytes), 1000).value();
  EXPECT_EQ(reader->schema(), six);
  EXPECT_TRUE(all_rows(*reader) == rows);
  EXPECT_TRUE(all_rows(open_file(memory_file(bytes))) == rows);
}

TEST(Parquet, OnlySomeColumns) {
  const auto rows = sample_rows(70'000);
  const std::string bytes = write_parquet(six, *reader_of(rows, 70'000)).value();
  const std::vector<std::string> wanted = {six.fields[4].name, "not there", six.fields[1].name};
  auto reader = open_parquet(memory_file(bytes), wanted).value();
  EXPECT_EQ(reader->schema(), (Schema{{six.fields[1], six.fields[4]}})) << "in the file's order";
  const auto some = all_rows(*reader);
  ASSERT_EQ(some.size(), rows.size());
  for (std::size_t r = 0; r < rows.size(); r++) ASSERT_EQ(some[r], (Row{rows[r][1], rows[r][4]}));
}

TEST(Parquet, EmptyTableAndBrokenFile) {
  const std::string bytes = write_parquet(six, *reader_of({}, 1)).value();
  auto reader = open_parquet(memory_file(bytes)).value();
  EXPECT_EQ(reader->schema(), six);
  EXPECT_TRUE(all_rows(*reader).empty());
  EXPECT_EQ(open_parquet(memory_file("PAR1 and nonsense")).error().code, Code::invalid_argument);
  std::string cut = write_parquet(six, *reader_of(sample_rows(5000), 5000)).value();
  for (std::size_t i = 100; i < cut.size() / 2; i += 7) cut[i] = static_cast<char>(cut[i] ^ 0x55);
  auto broken = open_parquet(memory_file(cut));
  if (broken) {
    EXPECT_EQ(reason_of(collect(**broken)), "table.bad_file");
  }
}

TEST(Conform, ColumnsByNameWidenedOrNull) {
  const Schema wanted = {{{"t", Type::text}, {"f", Type::float64}, {"gone", Type::date}, {"z", Type::timestamp}}};
  const auto source = [&](const char* text) { return open_file(memory_file(text), {.fallback = wanted}); };
  auto both =
      concat(wanted, {[&] { return source("f,t,z,more\n1,2,2020-01-01,9\n,3.5,,9\n"); },
                      [&] { return source("t,f\n"); }, [&] { return source("z,f,t\n2020-01-01 01:00:00,2.5,x\n"); }});
  EXPECT_EQ(both->schema(), wanted);
  EXPECT_EQ(print_rows(all_rows(*both)), "2|1|-|2020-01-01T00:00:00Z\n3.5|-|-|-\nx|2.5|-|2020-01-01T01:00:00Z\n");
  auto narrow = concat({{{"a", Type::int64}}}, {[&] { return source("a\n1.5\n"); }});
  EXPECT_EQ(reason_of(narrow->next()), "table.bad_schema");
  EXPECT_EQ(widest(Type::boolean, Type::int64), std::nullopt);
}

// What other writers put into Parquet: dictionaries, decimals, small and unsigned integers, times of all units and
// zones.
TEST(Parquet, ForeignTypes) {
  const auto build = [](auto builder, auto... values) {
    (static_cast<void>(builder->Append(values)), ...);
    static_cast<void>(builder->AppendNull());
    return builder->Finish().ValueOrDie();
  };
  auto* pool = arrow::default_memory_pool();
  const auto zoned = arrow::timestamp(arrow::TimeUnit::MILLI, "Europe/Lisbon");
  const auto nano = arrow::timestamp(arrow::TimeUnit::NANO);
  const auto decimal = arrow::decimal128(10, 2);
  arrow::StringDictionaryBuilder words;
  static_cast<void>(words.Append("x"));
  static_cast<void>(words.AppendNull());
  static_cast<void>(words.Append("x"));
  const arrow::ArrayVector columns = {
      words.Finish().ValueOrDie(),
      build(std::make_unique<arrow::Decimal128Builder>(decimal), arrow::Decimal128(12345), arrow::Decimal128(-1)),
      build(std::make_unique<arrow::UInt64Builder>(), 1ULL, 18446744073709551615ULL),
      build(std::make_unique<arrow::Int16Builder>(), 7, -7),
      build(std::make_unique<arrow::FloatBuilder>(), 0.5f, -2.0f),
      build(std::make_unique<arrow::TimestampBuilder>(zoned, pool), 1500, -1500),
      build(std::make_unique<arrow::TimestampBuilder>(nano, pool), 1999, -1),
      build(std::make_unique<arrow::LargeStringBuilder>(), "long", "strings"),
      build(std::make_unique<arrow::LargeBinaryBuilder>(), "1", "2"),
  };
  arrow::FieldVector fields;
  for (std::size_t i = 0; i < columns.size(); i++)
    fields.push_back(arrow::field("c" + std::to_string(i), columns[i]->type()));
  const auto table = arrow::Table::Make(arrow::schema(fields), columns);
  auto sink = arrow::io::BufferOutputStream::Create().ValueOrDie();
  const auto keep = parquet::ArrowWriterProperties::Builder().store_schema()->build();
  ASSERT_TRUE(parquet::arrow::WriteTable(*table, pool, sink, 1000, parquet::default_writer_properties(), keep).ok());
  const std::string bytes = sink->Finish().ValueOrDie()->ToString();
  auto reader = open_parquet(memory_file(bytes)).value();
  EXPECT_EQ(print_schema(reader->schema()),
            "c0 text, c1 float64, c2 float64, c3 int64, c4 float64, c5 timestamp, c6 timestamp, c7 text, c8 text");
  const std::string expected =
      "x|123.45|1|7|0.5|1970-01-01T00:00:01.500000Z|1970-01-01T00:00:00.000001Z|long|1\n"
      "-|-0.01|18446744073709551616|-7|-2|1969-12-31T23:59:58.500000Z|1969-12-31T23:59:59.999999Z|strings|2\n"
      "x|-|-|-|-|-|-|-|-\n";
  EXPECT_EQ(print_rows(all_rows(*reader)), expected);

  // DuckDB reads the same file to the same values, with a filter and a projection.
  auto duck = engine([&](const std::string&) { return memory_file(bytes); });
  EXPECT_EQ(print_rows(all_rows(duck->query("SELECT * FROM read_parquet('blob:f')"))), expected);
  EXPECT_EQ(print_rows(all_rows(duck->query("SELECT c3, c0 FROM read_parquet('blob:f') WHERE c1 > 0"))), "7|x\n");
}

TEST(Engine, SixTypesThroughDuckDbAndBack) {
  auto duck = engine();
  const auto rows = sample_rows(10'000);
  ASSERT_TRUE(duck->add_table("t", *reader_of(rows, 3'000)));
  EXPECT_TRUE(all_rows(duck->query("SELECT * FROM t")) == rows);
  // Replaced, not added to; a name that needs quotes.
  ASSERT_TRUE(duck->add_table("t", *reader_of(sample_rows(3), 3)));
  ASSERT_TRUE(duck->add_table("my \"table\"", *reader_of(sample_rows(3), 3)));
  EXPECT_EQ(print_rows(all_rows(duck->query("SELECT count(*) FROM t"))), "3\n");
  EXPECT_EQ(print_rows(all_rows(duck->query("SELECT count(*) FROM " + sql_name("my \"table\"")))), "3\n");
}

TEST(Engine, ReadsOwnParquetWithFilterAndProjection) {
  const auto rows = sample_rows(200'000);
  const std::string bytes = write_parquet(six, *reader_of(rows, 50'000)).value();
  auto duck = engine([&](const std::string& name) -> Result<std::shared_ptr<const ReadableFile>> {
    if (name != "abc") return fail(Code::not_found, "test.none", "no blob " + name);
    return memory_file(bytes);
  });
  EXPECT_TRUE(all_rows(duck->query("SELECT * FROM read_parquet('blob:abc')")) == rows);
  std::vector<Row> expected;
  for (const Row& row : rows) {
    if (!is_null(row[1]) && std::get<std::int64_t>(row[1]) > 0 && !is_null(row[3]) &&
        std::get<std::string>(row[3]) == "wört 7") {
      expected.push_back({row[3], row[1], row[5]});
    }
  }
  ASSERT_GT(expected.size(), 100u);
  EXPECT_TRUE(all_rows(duck->query("SELECT t, i, z FROM read_parquet('blob:abc') WHERE i > 0 AND t = ?1",
                                   {Value{std::string("wört 7")}})) == expected);
  EXPECT_EQ(print_rows(all_rows(duck->query("SELECT count(*) FROM read_parquet(['blob:abc', 'blob:abc'])"))),
            "400000\n");
  EXPECT_EQ(reason_of(duck->query("SELECT * FROM read_parquet('blob:other')")), "table.io");
}

TEST(Engine, DuckDbsOwnTypes) {
  auto duck = engine();
  auto reader = duck->query(
      "SELECT 1::TINYINT a, 18446744073709551615::UBIGINT b, 170141183460469231731687303715884105727::HUGEINT c, "
      "1.25::DECIMAL(9,2) d,"
      " 1.5::FLOAT e, 'x'::ENUM('x','y') f, [1,2] g, {'k': 1} h, INTERVAL 3 DAY i, TIME '01:02:03' j,"
      " TIMESTAMP_NS '2020-01-01 00:00:00.000001999' k, 'infinity'::DATE l, NULL m, sum(n) o, "
      " 12345678901234567890.12345::DECIMAL(38,5) p -- a comment\n FROM range(3) t(n);\n");
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(print_schema((*reader)->schema()),
            "a int64, b float64, c float64, d float64, e float64, f text, g text, h text, i text, j text, k timestamp, "
            "l date, m "
            "text, o float64, p float64");
  EXPECT_EQ(print_rows(all_rows(**reader)),
            "1|18446744073709551616|1.7014118346046923e+38|1.25|1.5|x|[1, 2]|{'k': 1}|3 days|01:02:03|"
            "2020-01-01T00:00:00.000001Z|-|-|3|12345678901234569216\n");
}

TEST(Engine, Errors) {
  auto duck = engine();
  EXPECT_EQ(reason_of(duck->query("SELEC 1")), "table.bad_sql");
  EXPECT_EQ(reason_of(duck->query("SELECT * FROM nothing_here")), "table.bad_sql");
  EXPECT_EQ(reason_of(duck->query("SELECT 1; SELECT 2")), "table.bad_sql");
  EXPECT_EQ(reason_of(duck->query("SELECT ?1 + ?2", {Value{std::int64_t{1}}})), "table.bad_sql");
  auto late = duck->query("SELECT CASE WHEN n = 4999 THEN error('late') ELSE n::VARCHAR END FROM range(5000) t(n)");
  if (late) {
    EXPECT_EQ(reason_of(collect(**late)), "table.bad_sql");
  }
  EXPECT_EQ(print_rows(all_rows(duck->query("SELECT ?2, ?1", {Value{true}, Value{Date{0}}}))), "1970-01-01|true\n");
}

TEST(Engine, OnlyBlobsWhenToldSo) {
  const std::string bytes = write_parquet(six, *reader_of(sample_rows(5), 5)).value();
  auto duck = Engine::open({.memory_bytes = 64 << 20, .threads = 1, .temp_dir = "", .local_files = false},
                           [&](const std::string&) { return memory_file(bytes); })
                  .value();
  EXPECT_EQ(print_rows(all_rows(duck->query("SELECT count(*) FROM read_parquet('blob:x')"))), "5\n");
  for (const char* sql :
       {"SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'", "COPY (SELECT 1) TO '/tmp/x.csv'",
        "ATTACH '/tmp/x.db'", "INSTALL httpfs", "SET enable_external_access = true",
        "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM glob('/etc/*')"}) {
    auto refused = duck->query(sql);
    EXPECT_FALSE(refused && collect(**refused)) << sql;
  }
}

TEST(Engine, MemoryIsBounded) {
  // 2 million wide rows sorted need far more than 48 MB: without a place to spill that is an error, with one it works.
  const std::string sql =
      "SELECT * FROM (SELECT hash(n) h, repeat('x', 40) || n AS t FROM range(2000000) t(n)) ORDER BY h";
  auto tight = Engine::open({.memory_bytes = 48 << 20, .threads = 1, .temp_dir = ""}).value();
  auto refused = tight->query(sql);
  const Error error = refused ? collect(**refused).error() : refused.error();
  EXPECT_EQ(error.reason, "table.memory");
  EXPECT_EQ(error.code, Code::resource_exhausted);

  const std::string dir = std::filesystem::temp_directory_path() / ("millrace_spill_" + std::to_string(::getpid()));
  auto spilling = Engine::open({.memory_bytes = 96 << 20, .threads = 1, .temp_dir = dir}).value();
  auto sorted = spilling->query(sql);
  ASSERT_TRUE(sorted) << sorted.error().message;
  std::int64_t rows = 0;
  double last = -1;
  while (true) {
    auto batch = (*sorted)->next();
    ASSERT_TRUE(batch) << batch.error().message;
    if (!*batch) break;
    rows += (*batch)->rows();
    EXPECT_GE((*batch)->column(0).float64_at(0), last);
    last = (*batch)->column(0).float64_at((*batch)->rows() - 1);
  }
  EXPECT_EQ(rows, 2'000'000);
  std::filesystem::remove_all(dir);
}

TEST(Engine, InterruptStopsAQuery) {
  auto duck = engine();
  std::atomic<bool> stop = false;
  std::thread other([&] {
    while (!stop) {
      duck->interrupt();
      std::this_thread::yield();
    }
  });
  auto reader = duck->query("SELECT count(*) FROM range(100000000000) a(n) WHERE n % 7 = 3");
  const Error error = reader ? collect(**reader).error() : reader.error();
  stop = true;
  other.join();
  EXPECT_EQ(error.reason, "table.cancelled");
}

TEST(Engine, BigStrings) {
  auto duck = engine();
  auto reader = duck->query("SELECT repeat('ab', 1000000 + n::INT) AS t FROM range(40) t(n)").value();
  std::int64_t rows = 0;
  while (true) {
    const auto batch = reader->next().value();
    if (!batch) break;
    for (std::int64_t r = 0; r < batch->rows(); r++) {
      EXPECT_EQ(batch->column(0).text_at(r).size(), 2u * static_cast<std::size_t>(1'000'000 + rows + r));
    }
    rows += batch->rows();
  }
  EXPECT_EQ(rows, 40);
}

TEST(Engine, ReaderOutlivesEngine) {
  auto duck = engine();
  auto reader = duck->query("SELECT n FROM range(100000) t(n)").value();
  duck.reset();
  EXPECT_EQ(all_rows(*reader).size(), 100000u);
}

TEST(Engine, ReadFile) {
  auto duck = engine([](const std::string&) { return memory_file("a,b\n1,2\n"); });
  EXPECT_EQ(print_rows(all_rows(duck->read_file("blob:x", {}))), "1|2\n");
  EXPECT_EQ(reason_of(duck->read_file("/nowhere/file.csv", {})), "fs.not_found");
}

}  // namespace
}  // namespace millrace::table
