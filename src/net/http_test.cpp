#include "net/http.hpp"

#include <gtest/gtest.h>

namespace millrace::net {
namespace {

TEST(Http, ErrorsHaveOneShape) {
  auto plain = error_response({Code::not_found, "registry.no_model", "no model 'a\"b'"});
  EXPECT_EQ(plain.status, 404);
  EXPECT_EQ(plain.content_type, "application/json");
  EXPECT_EQ(plain.body,
            R"({"error":{"code":"not_found","reason":"registry.no_model","message":"no model 'a\"b'","next":""}})");
  auto full = error_response(
      {Code::resource_exhausted, "x.full", "full"},
      {.next = "wait", .field = "rows[3].age", .expected = "number", .got = "string", .retry_after_seconds = 2});
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(
      full.body,
      R"({"error":{"code":"resource_exhausted","reason":"x.full","message":"full","next":"wait","field":"rows[3].age","expected":"number","got":"string"}})");
  ASSERT_EQ(full.headers.size(), 1u);
  EXPECT_EQ(full.headers[0], (std::pair<std::string, std::string>{"Retry-After", "2"}));
}

TEST(Http, WhatGoesByItselfSaysWhenToAskAgain) {
  struct Case {
    Error error;
    int status;
    const char* retry_after;  // nullptr: asking again is no use
  };
  for (const auto& [error, status, retry_after] : std::initializer_list<Case>{
           {{Code::resource_exhausted, "fs.disk_full", ""}, 507, "5"},
           {{Code::resource_exhausted, "meta.disk_full", ""}, 507, "5"},
           {{Code::resource_exhausted, "meta.busy", ""}, 429, "1"},
           {{Code::unavailable, "meta.sync_failed", ""}, 503, "1"},
           {{Code::permission_denied, "fs.denied", ""}, 503, "1"},
           {{Code::permission_denied, "meta.denied", ""}, 503, "1"},
           {{Code::permission_denied, "net.forbidden", ""}, 403, nullptr},
           {{Code::not_found, "x.y", ""}, 404, nullptr},
           {{Code::internal, "x.y", ""}, 500, nullptr},
       }) {
    const auto response = error_response(error);
    EXPECT_EQ(response.status, status) << error.reason;
    ASSERT_EQ(response.headers.size(), retry_after ? 1u : 0u) << error.reason;
    if (retry_after) {
      EXPECT_EQ(response.headers[0], (std::pair<std::string, std::string>{"Retry-After", retry_after}));
    }
  }
}

TEST(Http, ErrorsStayUtf8WhateverTheyQuote) {
  EXPECT_EQ(render_error({Code::internal, "a.b", "x\xff\xc3(\xe2\x82\xac"}),
            "{\"error\":{\"code\":\"internal\",\"reason\":\"a.b\",\"message\":\"x\xEF\xBF\xBD\xEF\xBF\xBD("
            "\xe2\x82\xac\",\"next\":\"\"}}");
}

TEST(Http, DecodesPercents) {
  EXPECT_EQ(percent_decode("a%2Fb%20c+d"), "a/b c+d");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  for (auto broken : {"%", "%4", "%zz", "100%", "a%2"}) EXPECT_EQ(percent_decode(broken), broken);
  EXPECT_EQ(percent_decode("%41"), "A");
}

TEST(Http, ReadsQueries) {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(parse_query("a=1&b=x%26y&&c&d=&=e&a=2"),
            (Pairs{{"a", "1"}, {"b", "x&y"}, {"c", ""}, {"d", ""}, {"", "e"}, {"a", "2"}}));
  EXPECT_TRUE(parse_query("").empty());
  Request request{.query_parameters = parse_query("a=1&a=2")};
  EXPECT_EQ(request.query("a"), "1");
  EXPECT_EQ(request.query_all("a").size(), 2u);
  EXPECT_FALSE(request.query("b"));
}

TEST(Http, FindsHeadersInAnyCase) {
  Request request{.headers = {{"content-TYPE", "text/csv"}}};
  EXPECT_EQ(request.header("Content-Type"), "text/csv");
  EXPECT_EQ(request.header("Content-Typ"), "");
}

TEST(Http, TakesTraceIdsOnlyWhenTheyAreOnes) {
  EXPECT_EQ(trace_id("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), "0af7651916cd43dd8448eb211c80319c");
  for (auto broken :
       {"", "00-0af7651916cd43dd8448eb211c80319c", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    EXPECT_EQ(trace_id(broken), "") << broken;
}

TEST(Http, ReadsRanges) {
  struct Case {
    std::string header;
    std::uint64_t size;
    std::string answer;  // "offset+length", "all", "416"
  };
  for (const auto& c : std::vector<Case>{{"", 10, "all"},
                                         {"bytes=0-", 10, "0+10"},
                                         {"bytes=2-4", 10, "2+3"},
                                         {"bytes=2-99", 10, "2+8"},
                                         {"bytes=-3", 10, "7+3"},
                                         {"bytes=-30", 10, "0+10"},
                                         {"bytes=9-9", 10, "9+1"},
                                         {"bytes=10-", 10, "416"},
                                         {"bytes=-0", 10, "416"},
                                         {"bytes=0-", 0, "416"},
                                         {"bytes=1-2,4-5", 10, "all"},
                                         {"bytes=4-2", 10, "all"},
                                         {"lines=1-2", 10, "all"},
                                         {"bytes=a-b", 10, "all"},
                                         {"bytes=-", 10, "all"}}) {
    auto range = parse_range(c.header, c.size);
    std::string answer = !range    ? "416"
                         : !*range ? "all"
                                   : std::to_string((*range)->first) + "+" + std::to_string((*range)->second);
    EXPECT_EQ(answer, c.answer) << c.header;
  }
}

TEST(Http, AnswersFilesWithWhatResumingNeeds) {
  Request request{.headers = {{"range", "bytes=4-"}, {"if-range", "\"v1\""}}};
  auto part = file_response(request, "/f", 10, "application/octet-stream", "v1");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.file->offset, 4u);
  EXPECT_EQ(part.file->length, 6u);
  auto changed = file_response(request, "/f", 10, "application/octet-stream", "v2");
  EXPECT_EQ(changed.status, 200);
  EXPECT_EQ(changed.file->length, 10u);
  Request cached{.headers = {{"if-none-match", "\"v1\""}}};
  EXPECT_EQ(file_response(cached, "/f", 10, "text/plain", "v1").status, 304);
  Request beyond{.headers = {{"range", "bytes=10-"}}};
  EXPECT_EQ(file_response(beyond, "/f", 10, "text/plain", "").status, 416);
}

}  // namespace
}  // namespace millrace::net
