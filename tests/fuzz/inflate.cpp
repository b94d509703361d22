// A compressed body, gzip (first byte even) or deflate: no more comes out than is allowed, whatever is in it.
#include "fuzz/fuzz.hpp"
#include "net/inflate_internal.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::as_text(data, size);
  const std::string coding = (fuzz::take_choice(text) & 1) != 0 ? "deflate" : "gzip";
  const std::string body(text);
  std::uint64_t taken = 0;
  auto out = net::inflate_body(body, coding, 100'000, [&](std::uint64_t bytes) {
    taken += bytes;
    return true;
  });
  fuzz::require(taken <= 200'000, "memory is asked for within the bound");
  if (fuzz::answered(out)) fuzz::require(out->size() <= 100'000 && out->size() <= taken, "within the bound");
  return 0;
}
