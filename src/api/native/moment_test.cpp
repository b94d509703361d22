#include "api/native/moment.hpp"

#include <gtest/gtest.h>

namespace millrace::api {
namespace {

TEST(Moment, AsPeopleWriteIt) {
  const auto now = *parse_time("2026-11-22T15:00:00Z"), first = *parse_time("2026-11-01T08:30:00Z");
  struct Case {
    const char* text;
    const char* moment;  // or the reason of the refusal
  };
  const Case cases[] = {
      {"2026-11-20T09:40:00Z", "2026-11-20T09:40:00.000000Z"},
      {"2026-11-20T10:40:00+01:00", "2026-11-20T09:40:00.000000Z"},
      {"2026-11-20 09:40", "2026-11-20T09:40:00.000000Z"},
      {"2026-11-20", "2026-11-20T00:00:00.000000Z"},
      {"2h ago", "2026-11-22T13:00:00.000000Z"},
      {"-2h", "2026-11-22T13:00:00.000000Z"},
      {"90 m ago", "2026-11-22T13:30:00.000000Z"},
      {"3d ago", "2026-11-19T15:00:00.000000Z"},
      {"0s ago", "2026-11-22T15:00:00.000000Z"},
      {"2026-11-22T15:00:00Z", "2026-11-22T15:00:00.000000Z"},
      {"2026-11-01T08:30:00Z", "2026-11-01T08:30:00.000000Z"},
      {"2026-11-01T08:29:59.999999Z", "api.before_project"},
      {"2026-11-01", "api.before_project"},
      {"52w ago", "api.before_project"},
      {"15000000w ago", "api.before_project"},
      {"2026-11-22T15:00:00.000001Z", "api.moment_to_come"},
      {"2027-01-01", "api.moment_to_come"},
      {"", "api.bad_moment"},
      {"yesterday", "api.bad_moment"},
      {"2h", "api.bad_moment"},
      {"--2h", "api.bad_moment"},
      {"-", "api.bad_moment"},
      {" ago", "api.bad_moment"},
      {"2026-13-01", "api.bad_moment"},
      {"2026-11-20T25:00:00Z", "api.bad_moment"},
      {"99999999999999999999d ago", "api.bad_moment"},
      {"\xff\x01", "api.bad_moment"},
  };
  for (const auto& [text, moment] : cases) {
    const auto got = parse_moment(text, now, first);
    EXPECT_EQ(got ? format_time(*got) : got.error().reason, moment) << text;
  }
}

}  // namespace
}  // namespace millrace::api
