// Bytes from a connection on their way to the HTTP library: cut into pieces anywhere, they must come out the same.
#include "fuzz/fuzz.hpp"
#include "net/framing_internal.hpp"
#include "net/http.hpp"

using namespace millrace;

namespace {

struct Passed {
  std::string bytes;
  std::string refusal;
  bool broken = false;
  int continues = 0;
};

// `piece`: how many bytes arrive at a time.
Passed pass(std::string_view input, std::size_t piece) {
  net::Framing framing({.head_bytes_max = 512, .headers_max = 8, .body_bytes_max = 4096});
  Passed out;
  std::string waiting;
  while (!input.empty()) {
    waiting += input.substr(0, piece);
    input.remove_prefix(std::min(piece, input.size()));
    while (!waiting.empty()) {
      const std::string exact(waiting);
      auto step = framing.take(exact);
      fuzz::require(step.consumed <= exact.size(), "no more is consumed than came");
      out.bytes += step.same ? exact.substr(0, step.consumed) : step.output;
      out.continues += step.send_continue ? 1 : 0;
      out.broken = out.broken || step.body_broken;
      waiting.erase(0, step.consumed);
      if (step.refusal) {
        fuzz::require(step.status >= 400 && step.status < 600, "a refusal has a status");
        out.refusal = step.refusal->reason;
        return out;
      }
      if (step.body_broken) return out;
      if (step.consumed == 0) break;
    }
  }
  return out;
}

// What goes on is well formed: the gate lets all of it pass again, with no refusal.
void check_passed(const Passed& passed) {
  const auto again = pass(passed.bytes, passed.bytes.size() + 1);
  fuzz::require(again.refusal.empty() && !again.broken, "what was let through is let through again");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::as_text(data, size);
  const auto piece = fuzz::take_choice(text) % 32 + 1;
  const auto whole = pass(text, text.size() + 1), cut = pass(text, piece);
  fuzz::require(whole.refusal == cut.refusal && whole.broken == cut.broken, "the same verdict, however it is cut");
  check_passed(whole);
  check_passed(cut);

  (void)net::parse_query(text);
  const auto decoded = net::percent_decode(text);
  fuzz::require(decoded.size() <= text.size(), "decoding makes nothing longer");
  (void)net::trace_id(text);
  if (auto range = net::parse_range(text, 1000); fuzz::answered(range) && *range)
    fuzz::require((*range)->second > 0 && (*range)->first + (*range)->second <= 1000, "a range lies in the file");
  return 0;
}
