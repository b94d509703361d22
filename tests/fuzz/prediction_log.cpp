// A segment of the prediction log, whatever its state: read, looked at, mended.
#include "fuzz/fuzz.hpp"
#include "serve/log_check.hpp"
#include "serve/prediction_log.hpp"

using namespace millrace;

namespace {

struct Seen {
  bool read = false;
  std::uint64_t lines = 0, damaged = 0;
};

Seen read(std::string_view bytes) {
  fuzz::OneFileFs disk(bytes);
  Seen seen;
  auto stats = serve::read_prediction_segment(disk, "s", [&](const serve::LogSchema& schema, serve::LoggedPrediction&&) {
    fuzz::require(schema.inputs.size() < bytes.size(), "a schema is not larger than the file");
    return ok();
  });
  if (!fuzz::answered(stats)) return seen;
  return {true, stats->lines, stats->damaged};
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = fuzz::as_text(data, size);
  const auto seen = read(bytes);
  fuzz::OneFileFs disk(bytes);
  auto check = serve::check_segment(disk, "s", 1);
  if (!fuzz::answered(check)) return 0;
  fuzz::require(check->used <= size + 64 + 7, "nothing ends behind the file");
  (void)check->lines_lost_max();
  if (seen.read && check->whole()) fuzz::require(seen.lines == check->lines, "a whole segment reads as it was counted");
  (void)fuzz::answered(serve::segment_made(disk, "s"));
  auto mended = serve::mended_segment(disk, "s", 1);
  if (!fuzz::answered(mended)) return 0;
  fuzz::OneFileFs mended_disk(*mended);
  auto again = serve::check_segment(mended_disk, "s", 1);
  fuzz::require(again && (again->whole() || again->unmade), "a mended segment is whole");
  fuzz::require(again->lines >= check->lines, "and has every line that could be read");
  return 0;
}
