// The files of the queue: a segment with frames of events, and consumers.json.
#include "fuzz/fuzz.hpp"
#include "queue/format_internal.hpp"
#include "queue/local_internal.hpp"

using namespace millrace;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = fuzz::as_text(data, size);
  if (bytes.starts_with('{')) {
    auto consumers = queue::parse_consumers(bytes, "consumers.json");
    if (!fuzz::answered(consumers)) return 0;
    auto again = queue::parse_consumers(queue::render_consumers(*consumers), "consumers.json");
    fuzz::require(again && again->size() == consumers->size(), "consumers read back");
    return 0;
  }
  const fuzz::BytesFile file(bytes);
  const auto header = queue::decode_segment_header(as_bytes(bytes));
  if (!header) return 0;
  auto again = queue::decode_segment_header(queue::encode(*header));
  fuzz::require(again && *again == *header, "a header reads back");
  auto scan = queue::scan_segment(file, *header);
  if (!fuzz::answered(scan)) return 0;
  fuzz::require(scan->end <= std::max<std::uint64_t>(size, queue::segment_header_bytes), "what is valid ends in the file");
  for (const auto& chunk : scan->unproven) {
    std::span<const std::byte> body = as_bytes(chunk.body);
    while (auto record = queue::take_record(body))
      fuzz::require(record->subject.size() + record->payload.size() <= chunk.body.size(), "a record lies in its frame");
  }
  queue::FrameReader reader(file, size, header->salt);
  for (std::uint64_t at = 0; at < size;) {
    auto frame = reader.search(at);
    if (!fuzz::answered(frame) || !*frame) break;
    fuzz::require((*frame)->offset >= at && (*frame)->next > (*frame)->offset, "a search goes forward");
    at = (*frame)->next;
  }
  return 0;
}
