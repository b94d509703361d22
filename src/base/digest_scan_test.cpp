#include "base/digest_scan.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(DigestScan, FindsWhatATextNames) {
  const std::string a(64, 'a'), b = sha256("b").hex();
  const auto found = digests_in("{\"parts\":[{\"digest\":\"" + a + "\"},{\"digest\":\"" + b + "\"}]," + a + "}");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].hex(), a);
  EXPECT_EQ(found[1].hex(), b);
  EXPECT_EQ(digests_in(b).size(), 1u) << "at both ends";
  for (const std::string& no : {std::string(), a + "a", a.substr(1), std::string(64, 'A'), a.substr(1) + "g"})
    EXPECT_TRUE(digests_in(no).empty()) << no;
}

}  // namespace
}  // namespace millrace
