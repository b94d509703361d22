#include "base/digest.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Digest, KnownAnswers) {  // FIPS 180-4 examples
  EXPECT_EQ(sha256("").hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abc").head(), 0xba7816bf8f01cfeau);
}

TEST(Digest, PiecesGiveTheSame) {
  Sha256 hasher;
  hasher.update("a");
  hasher.update("");
  hasher.update("bc");
  EXPECT_EQ(hasher.finish(), sha256("abc"));
  EXPECT_EQ(hasher.finish(), sha256("")) << "finish() starts anew";
}

TEST(Digest, GoesThroughText) {
  const auto digest = sha256("x");
  EXPECT_EQ(*Digest::parse(digest.hex()), digest);
  for (const auto& text : {std::string(), std::string(64, 'g'), std::string(63, 'a'), std::string(64, 'A')}) {
    const auto got = Digest::parse(text);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().reason, "base.bad_digest");
  }
}

}  // namespace
}  // namespace millrace
