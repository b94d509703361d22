#include "base/aead.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/fs.hpp"

namespace millrace {
namespace {

std::vector<std::byte> from_hex(std::string_view hex) {
  std::vector<std::byte> out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return out;
}
template <std::size_t n>
std::array<std::uint8_t, n> array_of(std::string_view hex) {
  std::array<std::uint8_t, n> out{};
  const auto bytes = from_hex(hex);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(bytes.at(i));
  return out;
}

// Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", and case 13: nothing at all is sealed.
TEST(Aead, AgreesWithThePublishedVectors) {
  AeadKey key;
  key.bytes = array_of<32>("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
  const auto nonce = array_of<12>("cafebabefacedbaddecaf888");
  const auto additional = from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const auto plain = from_hex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
      "ba637b39");
  const auto expected = from_hex(
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
      "bcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
  Aead aead(key);
  std::vector<std::byte> out(plain.size() + aead_tag_bytes);
  aead.seal(nonce, additional, plain, out);
  EXPECT_EQ(out, expected);
  std::vector<std::byte> back(plain.size());
  ASSERT_TRUE(aead.open(nonce, additional, out, back));
  EXPECT_EQ(back, plain);

  Aead zero{AeadKey{}};
  std::vector<std::byte> tag(aead_tag_bytes);
  zero.seal({}, {}, {}, tag);
  EXPECT_EQ(tag, from_hex("530f8afbc74536b9a963b4f1c4cb738b"));
  EXPECT_TRUE(zero.open({}, {}, tag, {}));
}

TEST(Aead, WhatIsNotAsItWasSealedIsNotOpened) {
  Aead aead{AeadKey{}};
  const auto plain = as_bytes("some bytes"), additional = as_bytes("more");
  std::vector<std::byte> sealed(plain.size() + aead_tag_bytes), out(plain.size());
  aead.seal({1}, additional, plain, sealed);
  for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    auto flipped = sealed;
    flipped[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    EXPECT_FALSE(aead.open({1}, additional, flipped, out)) << bit;
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    std::vector<std::byte> room(size);
    EXPECT_FALSE(aead.open({1}, additional, std::span(sealed).first(size), room)) << size;
  }
  EXPECT_FALSE(aead.open({2}, additional, sealed, out));
  EXPECT_FALSE(aead.open({1}, as_bytes("less"), sealed, out));
  EXPECT_TRUE(aead.open({1}, additional, sealed, out)) << "and is, after all that";
}

}  // namespace
}  // namespace millrace
