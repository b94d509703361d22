#include "queue/check.hpp"

#include <format>

#include "queue/format_internal.hpp"
#include "queue/local_internal.hpp"

namespace millrace::queue {

namespace {

struct Looked {
  std::string name;
  SegmentHeader header;
  Scan scan;
};

Result<void> look_at_segment(Fs& fs, const std::string& dir, const std::string& name, Check& check,
                             std::vector<Looked>& segments) {
  auto file = fs.open_read(join_path(dir, name));
  // Retention removes files while somebody publishes.
  if (!file) return file.error().code == Code::not_found ? Result<void>() : fail(file.error());
  std::array<std::byte, segment_header_bytes> bytes{};
  TRY(const auto got, (*file)->read(0, bytes));
  const auto header = decode_segment_header(std::span(bytes).first(got));
  if (!header) {
    check.damage.push_back({name, "its header is not whole"});
    return {};
  }
  if (std::format("{:020}.log", header->first_seq) != name) {
    check.damage.push_back(
        {name, std::format("it begins with event {}, not with that of its name", header->first_seq)});
    return {};
  }
  TRY(auto scan, scan_segment(**file, *header));
  for (const auto offset : scan.damaged)
    check.damage.push_back({name, std::format("events at offset {} can't be read", offset)});
  check.dedup_id = std::max(check.dedup_id, scan.dedup_id);
  check.events += scan.next_seq - header->first_seq;
  segments.push_back({name, *header, std::move(scan)});
  return {};
}

}  // namespace

Result<Check> check_local(Fs& fs, const std::string& dir) {
  Check check;
  const auto files = fs.list(dir);
  if (!files) return files.error().code == Code::not_found ? Result<Check>(check) : fail(files.error());
  std::vector<Looked> segments;
  for (const auto& file : *files) {
    if (file.name.ends_with(".log")) TRY_VOID(look_at_segment(fs, dir, file.name, check, segments));
  }
  for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
    const auto& [name, header, scan] = segments[i];
    const auto& next = segments[i + 1].header;
    if (scan.damaged.empty() && next.first_seq > scan.next_seq) {
      check.damage.push_back({name, std::format("events {} to {}, which came after it, are not there", scan.next_seq,
                                                next.first_seq - 1)});
    }
  }
  const auto path = join_path(dir, "consumers.json");
  const auto text = read_file(fs, path);
  if (!text && text.error().code != Code::not_found) return fail(text.error());
  if (text) {
    const auto parsed = parse_consumers(*text, path);
    if (!parsed && parsed.error().code == Code::data_loss)
      check.damage.push_back({"consumers.json", "it can't be read"});
  }
  return check;
}

}  // namespace millrace::queue
