// Bodies of the native API; the first byte says of which request. Labels go on to where they are judged.
#include "api/native/map.hpp"
#include "api/native/wire.hpp"
#include "fuzz/fuzz.hpp"
#include "label/parse.hpp"

using namespace millrace;

namespace {

template <class T>
std::optional<T> body(std::string_view text) {
  auto parsed = api::parse<T>(text);
  if (!fuzz::answered(parsed)) return std::nullopt;
  const auto rendered = api::render(*parsed);
  auto again = api::parse<T>(rendered);
  fuzz::require(again && api::render(*again) == rendered, "a body reads back");
  return *std::move(parsed);
}

void labels(std::string_view text) {
  const auto asked = body<std::vector<api::Label>>(text);
  if (!asked) return;
  const auto raw = api::from_wire(*asked);
  const auto now = TimePoint(std::chrono::hours(24 * 365 * 56));
  for (const auto& classes : {std::vector<std::string>{"no", "yes", "1"}, std::vector<std::string>{}}) {
    auto parsed = label::parse_labels(raw, {.model = "m", .classes = classes, .rows_max = 50}, now);
    if (!fuzz::answered(parsed)) continue;
    for (const auto& one : *parsed) {
      fuzz::require(one.prediction.has_value() != one.key.has_value(), "a label says what it is about");
      (void)label::digest_of(one);
    }
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::as_text(data, size);
  using namespace api;
  switch (fuzz::take_choice(text) % 12) {
    case 0: labels(text); break;
    case 1: body<AcceptRequest>(text); break;
    case 2: body<QueryRequest>(text); break;
    case 3: body<CheckoutRequest>(text); break;
    case 4: body<IngestRequest>(text); break;
    case 5: body<PromoteRequest>(text); break;
    case 6: body<GcRequest>(text); break;
    case 7: body<ApplyRequest>(text); break;
    case 8: body<TrainRequest>(text); break;
    case 9: body<ClaimRequest>(text); break;
    case 10: body<HeartbeatRequest>(text); break;
    case 11: body<EndRequest>(text); break;
  }
  (void)fuzz::answered(parse_error(text));
  return 0;
}
