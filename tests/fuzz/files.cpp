// Files that come from elsewhere than this process; the first byte says which: backup manifests and their lists,
// checkpoints, what a job and a trainer's command say, labels on their way to a job, blob headers, verdicts.
#include "backup/folder_internal.hpp"
#include "base/text.hpp"
#include "blob/header_internal.hpp"
#include "eval/gates.hpp"
#include "fuzz/fuzz.hpp"
#include "loop/labels_text.hpp"
#include "train/checkpoint_internal.hpp"
#include "train/command_reports_internal.hpp"
#include "train/job_files.hpp"

using namespace millrace;

namespace {

template <class Parse, class Render>
void reads_back(std::string_view text, Parse parse, Render render) {
  auto parsed = parse(text);
  if (!fuzz::answered(parsed)) return;
  const std::string rendered = render(*parsed);
  auto again = parse(rendered);
  fuzz::require(again && render(*again) == rendered, "what was read reads back");
}

void checkpoint(std::string_view bytes) {
  const auto parsed = train::parse_checkpoint(bytes);
  if (!parsed) return;
  const auto again = train::parse_checkpoint(train::render_checkpoint(*parsed));
  fuzz::require(again && again->snapshot == parsed->snapshot, "a checkpoint reads back");
}

// The digest in its head is right, so that the rest of it is what is tried.
void sealed_checkpoint(std::string_view bytes) {
  train::Checkpoint made;
  made.rounds = static_cast<int>(fuzz::take_choice(bytes)) + 1;
  made.identity = printable(fuzz::take_until(bytes, "\n"));
  made.snapshot = std::string(bytes);
  const auto parsed = train::parse_checkpoint(train::render_checkpoint(made));
  fuzz::require(parsed && parsed->snapshot == made.snapshot && parsed->identity == made.identity, "whatever it holds");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::as_text(data, size);
  switch (fuzz::take_choice(text) % 12) {
    case 0:
      reads_back(text, [](auto t) { return backup::parse_manifest(t, "m"); }, [](auto& m) { return backup::render(m); });
      break;
    case 1: reads_back(text, backup::parse_lines, backup::render_lines); break;
    case 2: checkpoint(text); break;
    case 3: sealed_checkpoint(text); break;
    case 4:
      reads_back(text, train::parse_job_spec, [](auto& spec) { return train::render(spec); });
      break;
    case 5:
      reads_back(text, train::parse_failure, [](auto& failure) { return train::render(failure); });
      break;
    case 6:
      reads_back(text, train::parse_progress, [](auto& progress) { return train::render(progress); });
      break;
    case 7: (void)train::parse_report(text); break;
    case 8: reads_back(text, loop::parse_labels_text, loop::render_labels); break;
    case 9: (void)fuzz::answered(blob::decode(as_bytes(text))); break;
    case 10: reads_back(text, eval::parse_verdict, eval::render_verdict); break;
    case 11: reads_back(text, eval::parse_evidence, eval::render_evidence); break;
  }
  return 0;
}
