#include "base/error_codes.hpp"

#include <gtest/gtest.h>

#include "base/check.hpp"

namespace millrace {
namespace {

TEST(ErrorCodes, NamesGoThroughText) {
  for (int i = 0; i <= 16; ++i) EXPECT_EQ(code_from_name(code_name(static_cast<Code>(i))), static_cast<Code>(i));
  EXPECT_EQ(code_name(Code::invalid_argument), "invalid_argument");
  EXPECT_FALSE(code_from_name("INVALID_ARGUMENT"));
}

TEST(ErrorCodes, HttpStatusIsOfTheRightClass) {
  EXPECT_EQ(http_status(Code::ok), 200);
  for (int i = 1; i <= 16; ++i) {
    const auto code = static_cast<Code>(i);
    const bool ours = code == Code::unknown || code == Code::deadline_exceeded || code == Code::unimplemented ||
                      code == Code::internal || code == Code::unavailable || code == Code::data_loss;
    EXPECT_EQ(http_status(code) / 100, ours ? 5 : 4) << code_name(code);
  }
}

TEST(ErrorCodes, FromHttp) {
  for (const auto code :
       {Code::ok, Code::invalid_argument, Code::not_found, Code::permission_denied, Code::unauthenticated,
        Code::resource_exhausted, Code::unavailable, Code::unimplemented, Code::deadline_exceeded}) {
    EXPECT_EQ(code_from_http(http_status(code)), code) << code_name(code);
  }
  EXPECT_EQ(code_from_http(204), Code::ok);
  EXPECT_EQ(code_from_http(418), Code::failed_precondition);
  EXPECT_EQ(code_from_http(599), Code::internal);
  EXPECT_EQ(code_from_http(0), Code::unknown);
}

TEST(ErrorCodes, AFullDiskIsNotTheClientsFault) {
  EXPECT_EQ(http_status(Error{Code::resource_exhausted, "fs.disk_full", ""}), 507);
  EXPECT_EQ(http_status(Error{Code::resource_exhausted, "meta.disk_full", ""}), 507);
  EXPECT_EQ(http_status(Error{Code::resource_exhausted, "meta.busy", ""}), 429);
  EXPECT_EQ(code_from_http(507), Code::resource_exhausted);
}

TEST(ErrorCodes, ExitStatus) {
  EXPECT_EQ(exit_code({Code::ok, "", ""}), 0);
  EXPECT_EQ(exit_code({Code::not_found, "registry.no_such_model", ""}), 1);
  EXPECT_EQ(exit_code({Code::failed_precondition, "registry.gate_not_passed", ""}), 2);
  EXPECT_EQ(exit_code({Code::failed_precondition, "registry.waiting_for_approval", ""}), 3);
  EXPECT_EQ(exit_code({Code::failed_precondition, "loop.nothing_to_do", ""}), 4);
  EXPECT_EQ(exit_code({Code::invalid_argument, "cli.unknown_option", ""}), 64);
}

TEST(CheckDeathTest, SaysWhatWasExpected) {
  check(true, "fine");
  EXPECT_DEATH(check(false, "the answer is 42"), "error_codes_test.cpp:.*broken invariant: the answer is 42");
}

}  // namespace
}  // namespace millrace
