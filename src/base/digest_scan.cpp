#include "base/digest_scan.hpp"

#include <algorithm>

namespace millrace {

std::vector<Digest> digests_in(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  constexpr std::size_t length = 64;
  std::vector<Digest> out;
  for (std::size_t at = text.find_first_of(digits); at != text.npos;) {
    const std::size_t end = std::min(text.find_first_not_of(digits, at), text.size());
    if (end - at == length) {
      if (auto digest = Digest::parse(text.substr(at, length))) out.push_back(*digest);
    }
    at = text.find_first_of(digits, end);
  }
  return out;
}

}  // namespace millrace
