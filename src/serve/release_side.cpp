#include "serve/release_side.hpp"

#include <cstdint>

namespace millrace::serve {

double release_side(std::string_view release, std::string_view key) {
  constexpr std::uint64_t fnv_prime = 0x100000001B3ULL;
  std::uint64_t x = 0xCBF29CE484222325ULL;
  const auto take = [&](char byte) { x = (x ^ static_cast<unsigned char>(byte)) * fnv_prime; };
  for (const char byte : release) take(byte);
  take('\0');
  for (const char byte : key) take(byte);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1p-53;
}

}  // namespace millrace::serve
