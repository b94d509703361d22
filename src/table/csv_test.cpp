#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <zlib.h>

#include "table/csv_internal.hpp"
#include "table/parse_internal.hpp"
#include "table/table.hpp"
#include "table/testing/make.hpp"

namespace millrace::table {
namespace {

using testing::all_rows;
using testing::memory_file;
using testing::print_rows;
using testing::print_schema;
using testing::shared_data;

std::string read(const std::string& text, const CsvOptions& options = {}) {
  auto reader = open_file(memory_file(text), options);
  if (!reader) return reader.error().reason + ": " + reader.error().message;
  std::string out = print_schema((*reader)->schema()) + "\n";
  while (true) {
    auto batch = (*reader)->next();
    if (!batch) return batch.error().reason + ": " + batch.error().message;
    if (!*batch) return out;
    std::vector<Row> rows;
    for (std::int64_t r = 0; r < (*batch)->rows(); r++) rows.push_back((*batch)->row(r));
    out += print_rows(rows);
  }
}

struct CsvCase {
  const char* what;
  std::string text;
  std::string expected;  // schema and rows; or the beginning of the error
};

TEST(Csv, Table) {
  const CsvCase cases[] = {
      {"plain", "a,b\n1,x\n2,y\n", "a int64, b text\n1|x\n2|y\n"},
      {"no line end at the end", "a,b\n1,x", "a int64, b text\n1|x\n"},
      {"CRLF", "a,b\r\n1,x\r\n", "a int64, b text\n1|x\n"},
      {"CR", "a,b\r1,x\r", "a int64, b text\n1|x\n"},
      {"byte order mark",
       "\xef\xbb\xbf"
       "a,b\n1,2\n",
       "a int64, b int64\n1|2\n"},
      {"semicolons", "a;b\n1,5;2\n", "a text, b int64\n1,5|2\n"},
      {"tabs with an empty cell", "a\tb\tc\n1\t\t3\n", "a int64, b text, c int64\n1|-|3\n"},
      {"pipes", "a|b\n1|2\n", "a int64, b int64\n1|2\n"},
      {"quotes", "a,b\n\"x, \"\"y\"\"\",\"two\nlines\"\n", "a text, b text\nx, \"y\"|two\nlines\n"},
      {"blanks around", "a , b\n 1 ,  x y \n 2 , \"q\" \n", "a int64, b text\n1|x y\n2|q\n"},
      {"quote inside a cell", "a,b\n5\" pipe,1\n", "a text, b int64\n5\" pipe|1\n"},
      {"missing markers", "a,b,c\n1,?,NA\n,x,2\n", "a int64, b text, c int64\n1|-|-\n-|x|2\n"},
      {"blank lines", "a,b\n\n1,2\n\n\n3,4\n\n", "a int64, b int64\n1|2\n3|4\n"},
      {"one column", "a\n1\n2\n", "a int64\n1\n2\n"},
      {"one column of words", "name\nanna\nbob\n", "name text\nanna\nbob\n"},
      {"header only", "a,b\n", "a text, b text\n"},
      {"doubled names", "a,a,a_2,,\n1,2,3,4,5\n",
       "a int64, a_3 int64, a_2 int64, column_4 int64, column_5 int64\n1|2|3|4|5\n"},
      {"no header: numbers first", "5,x\n6,y\n", "column_1 int64, column_2 text\n5|x\n6|y\n"},
      {"no header: a word comes again", "red,big\nblue,big\nred,small\n",
       "column_1 text, column_2 text\nred|big\nblue|big\nred|small\n"},
      {"header of words over words", "color,size\nred,big\nblue,small\n",
       "color text, size text\nred|big\nblue|small\n"},
      {"years as names", "country,name,1999\nPT,x,1.5\n",
       "column_1 text, column_2 text, column_3 float64\ncountry|name|1999\nPT|x|1.5\n"},
      {"types widen over the whole file", "a,b\n1,2020-01-01\n2.5,2020-01-02 03:04:05\n",
       "a float64, b timestamp\n1|2020-01-01T00:00:00Z\n2.5|2020-01-02T03:04:05Z\n"},
      {"names of digits stay text", "zip,order\n01234,18446744073709551616\n99999,1\n",
       "zip text, order text\n01234|18446744073709551616\n99999|1\n"},
      {"truth values", "a\nTrue\nfalse\n", "a boolean\ntrue\nfalse\n"},
      {"dates", "d\n2020-02-29\n", "d date\n2020-02-29\n"},
      {"empty", "", "table.empty_file: the file is empty"},
      {"only blank lines", "\n\n", "table.empty_file"},
      {"ragged", "a,b\n1,2\n3\n4,5\n", "table.bad_csv: line 3: the row has 1 columns where 2 are expected"},
      {"ragged after an embedded line end", "a,b\n\"x\ny\",2\n1,2,3\n", "table.bad_csv: line 4: the row has 3 columns"},
      {"open quote", "a,b\n1,2\n3,\"x\n4,5\n", "table.bad_csv: line 3: a quote opened"},
      {"after a quote", "a,b\n1,\"x\"y\n", "table.bad_csv: line 2: text after the closing quote of cell 2"},
      {"Latin-1", "a,b\n1,x\n2,caf\xe9\n", "table.not_utf8: line 3: byte 0xe9 is not UTF-8"},
      {"UTF-16",
       std::string("\xff\xfe"
                   "a\0,\0",
                   6),
       "table.bad_csv: line 1: the file is UTF-16"},
      {"zero byte", std::string("a,b\n1,\0\n", 8), "table.bad_csv: line 2: a zero byte"},
      {"binary", "a,b\n\x01\xe9,2\n", "table.bad_csv: line 2: control characters"},
      {"JSON", "[{\"a\":1}]", "table.bad_file: the file is JSON"},
      {"zip", "PK\x03\x04xxxx", "table.bad_file: the file is a zip"},
  };
  for (const CsvCase& c : cases) {
    const std::string got = read(c.text);
    if (c.expected.starts_with("table.")) {
      EXPECT_TRUE(got.starts_with(c.expected)) << c.what << ": " << got;
    } else {
      EXPECT_EQ(got, c.expected) << c.what;
    }
  }
}

TEST(Csv, OptionsWinOverSniffing) {
  CsvOptions options;
  options.delimiter = ' ';
  options.header = false;
  options.names = {"x", "y"};
  EXPECT_EQ(read("1 2\n3 4\n", options), "x int64, y int64\n1|2\n3|4\n");
  options.names = {"x"};
  EXPECT_TRUE(read("1 2\n", options).starts_with("table.bad_csv: line 1: 1 column names were given"));
  CsvOptions header;
  header.header = true;
  EXPECT_EQ(read("1999,2000\n1,2\n", header), "1999 int64, 2000 int64\n1|2\n");
  CsvOptions nulls;
  nulls.nulls = {"-"};
  EXPECT_EQ(read("a,b\n-,NA\n", nulls), "a text, b text\n-|NA\n");
  CsvOptions latin1;
  latin1.latin1 = true;
  EXPECT_EQ(read("a,b\n1,caf\xe9\n", latin1), "a int64, b text\n1|caf\xc3\xa9\n");
  CsvOptions types;
  types.types.fields = {{"a", Type::float64}, {"b", Type::text}};
  EXPECT_EQ(read("a,b\n1,2\n", types), "a float64, b text\n1|2\n");
  CsvOptions fallback;
  fallback.fallback.fields = {{"a", Type::date}, {"b", Type::date}};
  EXPECT_EQ(read("a,b\n,2\n", fallback), "a date, b int64\n-|2\n");
  types.types.fields = {{"a", Type::int64}};
  EXPECT_EQ(read("a,b\n1,2\nx,3\n", types), "table.bad_csv: line 3: column 'a': 'x' is not a whole number");
}

std::string gzip(const std::string& text) {
  std::string out(compressBound(text.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(Csv, Gzip) {
  EXPECT_EQ(read(gzip("a,b\n1,2\n")), "a int64, b int64\n1|2\n");
  EXPECT_EQ(read(gzip("a,b\n1,2\n") + gzip("3,4\n")), "a int64, b int64\n1|2\n3|4\n");
  const std::string whole = gzip("a,b\n1,2\n");
  EXPECT_TRUE(read(whole.substr(0, whole.size() - 9)).starts_with("table.bad_gzip"));
  EXPECT_TRUE(read(gzip("")).starts_with("table.empty_file"));
}

TEST(Csv, RecordsLargerThanTheBuffer) {
  const std::string big(900'000, 'x');
  const std::string text = "a,b\n1,\"" + big + "\n\"\"\"\n2," + big + "\n";
  const auto rows = all_rows(open_file(memory_file(text)));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(std::get<std::string>(rows[0][1]).size(), big.size() + 2);
  EXPECT_EQ(std::get<std::string>(rows[1][1]), big);
}

// What any writer that quotes when it must has written comes back cell by cell, however the text is cut into pieces.
RC_GTEST_PROP(Csv, QuotedRecordsReadBack, ()) {
  const auto cell = rc::gen::container<std::string>(rc::gen::element('a', '"', ',', '\n', '\r', ' ', ';', 'z'));
  const auto cells = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::string>>(cell));
  std::string text;
  for (std::size_t i = 0; i < cells.size(); i++) {
    text += i ? ",\"" : "\"";
    for (const char c : cells[i]) text += c == '"' ? std::string("\"\"") : std::string(1, c);
    text += "\"";
  }
  text += "\n";
  const std::string whole = text + "next";
  CsvRecord record;
  RC_ASSERT(parse_csv_record(whole, true, ',', record) == CsvParse::record);
  RC_ASSERT(record.consumed == text.size());
  RC_ASSERT(record.cells.size() == cells.size());
  for (std::size_t i = 0; i < cells.size(); i++) {
    std::string trimmed = cells[i];
    while (!trimmed.empty() && trimmed.front() == ' ') trimmed.erase(0, 1);
    while (!trimmed.empty() && trimmed.back() == ' ') trimmed.pop_back();
    RC_ASSERT(record.cells[i] == trimmed);
  }
  for (std::size_t cut = 0; cut < text.size(); cut++) {
    CsvRecord part;
    RC_ASSERT(parse_csv_record(std::string_view(text).substr(0, cut), false, ',', part) != CsvParse::record);
  }
}

RC_GTEST_PROP(Csv, AnyBytesEndInRowsOrAnError, (const std::string& bytes)) { read(bytes); }

TEST(Csv, VeryWideTables) {
  std::string header, row;
  for (int i = 0; i < 40'000; i++) {
    header += (i ? ";measurement_" : "measurement_") + std::to_string(i);
    row += (i ? ";" : "") + std::to_string(i);
  }
  auto reader = open_file(memory_file(header + "\n" + row + "\n" + row + "\n"));
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->schema().fields.at(39'999), (Field{"measurement_39999", Type::int64}));
  EXPECT_EQ(all_rows(**reader).size(), 2u);
}

TEST(Csv, BadUtf8) {
  EXPECT_EQ(find_bad_utf8("abc"), 3u);
  const std::string good = "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80 and more text";
  EXPECT_EQ(find_bad_utf8(good), good.size());
  for (const std::string bad :
       {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xc3", "\x80"}) {
    EXPECT_EQ(find_bad_utf8("0123456789" + bad), 10u);
  }
}

struct RealFile {
  const char* name;
  std::size_t rows, columns;
  const char* schema;  // its beginning
};

TEST(Csv, RealFiles) {
  const RealFile files[] = {
      {"adult_train.csv.gz", 32561, 15, "column_1 int64, column_2 text, column_3 int64, column_4 text"},
      {"adult_test.csv.gz", 16281, 15, "column_1 int64, column_2 text"},
      {"airlines_44k.csv.gz", 43978, 31, "Year int64, Month int64, DayofMonth int64, DayOfWeek int64, DepTime int64"},
      {"bike_hour.csv.gz", 17379, 17, "instant int64, dteday text, season int64"},
      {"california_housing.csv.gz", 20640, 10, "longitude float64, latitude float64, housing_median_age float64"},
      {"compas_two_years.csv.gz", 7214, 53,
       "id int64, name text, first text, last text, compas_screening_date date, sex text, dob date"},
      {"covtype_20k.csv.gz", 20000, 55, "column_1 int64"},
      {"credit_default.csv.gz", 30000, 25, "ID int64, LIMIT_BAL float64, SEX int64"},
      {"daily_min_temp.csv.gz", 3650, 2, "Date date, Temp float64"},
      {"diamonds.csv.gz", 53940, 10, "carat float64, cut text"},
      {"elec2.csv.gz", 45312, 7, "period float64, nswprice float64"},
      {"german_credit.csv.gz", 1000, 21, "column_1 text, column_2 int64"},
      {"higgs_test.tsv.gz", 500, 29, "column_1 int64, column_2 float64"},
      {"iris.csv.gz", 150, 5, "sepal_length float64"},
      {"mnist_test_10k.csv.gz", 10000, 785, "column_1 int64"},
      {"nyc_taxis.csv.gz", 6433, 14, "pickup timestamp, dropoff timestamp, passengers int64, distance float64"},
      {"penguins.csv.gz", 344, 7, "species text, island text, bill_length_mm float64"},
      {"titanic.csv.gz", 891, 12, "PassengerId int64, Survived int64, Pclass int64, Name text, Sex text, Age float64"},
      {"wine_red.csv.gz", 1599, 12, "column_1 float64"},
      {"flights_200k.arrow", 200000, 3, ""},
  };
  for (const RealFile& file : files) {
    const auto bytes = shared_data(file.name);
    if (!bytes) GTEST_SKIP() << "MILLRACE_SHARED is not set";
    CsvOptions options;
    options.latin1 = file.name == std::string_view("airlines_44k.csv.gz");  // two broken bytes in line 27988
    auto reader = open_file(bytes, options);
    ASSERT_TRUE(reader) << file.name << ": " << reader.error().message;
    EXPECT_TRUE(print_schema((*reader)->schema()).starts_with(file.schema))
        << file.name << ": " << print_schema((*reader)->schema());
    EXPECT_EQ((*reader)->schema().fields.size(), file.columns) << file.name;
    std::size_t rows = 0;
    while (true) {
      auto batch = (*reader)->next();
      ASSERT_TRUE(batch) << batch.error().message;
      if (!*batch) break;
      rows += static_cast<std::size_t>((*batch)->rows());
    }
    EXPECT_EQ(rows, file.rows) << file.name;
  }
}

}  // namespace
}  // namespace millrace::table
