// Writes the seeds that only the product can make, with checksums that are zero (no_checksums.cpp): fuzz_seeds CORPUS.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "blob/header_internal.hpp"
#include "backup/folder_internal.hpp"
#include "fuzz/fuzz.hpp"
#include "loop/labels_text.hpp"
#include "model/artifact.hpp"
#include "queue/format_internal.hpp"
#include "queue/local_internal.hpp"
#include "serve/prediction_log.hpp"
#include "train/checkpoint_internal.hpp"
#include "train/job_files.hpp"

using namespace millrace;

namespace {

std::filesystem::path corpus;

void write(const char* target, const char* name, std::string_view bytes) {
  std::filesystem::create_directories(corpus / target);
  std::ofstream(corpus / target / name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}
void write(const char* target, const char* name, char choice, const std::string& bytes) {
  write(target, name, choice + bytes);
}

model::Manifest manifest() {
  using table::Type;
  model::Manifest m;
  m.name = "seed";
  m.target = "left";
  m.classes = {"no", "yes"};
  m.positive = "yes";
  m.inputs = {{.name = "age", .type = Type::int64, .required = true},
              {.name = "city", .type = Type::text, .encoding = model::Encoding::category, .categories = {"A", "B"}},
              {.name = "joined", .type = Type::date, .encoding = model::Encoding::date_parts}};
  m.key = "id";
  m.engine = {.name = "constant", .version = "1", .file = "model.json"};
  m.provenance = {.trainer = "test", .parameters = {{"depth", "6"}}, .created = "2026-11-20T09:40:00.000000Z"};
  m.facts = {.rows = 10, .class_rows = {7, 3}, .importance = {{"age", 1.0}}};
  m.golden = {{.inputs = {"1", std::nullopt, "2020-01-01"}, .outputs = {0.5f}}};
  return m;
}

void models() {
  const std::string engine = R"({"format":1,"outputs":[0.5]})";
  const auto artifact = model::write_artifact(manifest(), engine).value();
  write("artifact", "binary", artifact);
  write("manifest", "binary", model::render_manifest(model::read_artifact(artifact)->manifest));
}

void prediction_log() {
  const auto dir = std::filesystem::temp_directory_path() / "millrace-fuzz-seeds";
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  RealFs fs;
  SystemClock clock;
  SeededRng rng(1);
  Faults faults;
  auto quiet = null_log();
  Env env{fs, clock, rng, faults, *quiet};
  {
    auto log = serve::PredictionLog::open({.dir = dir.string(), .segment_bytes = 4096}, env).value();
    const auto handle = log->schema({.model = "m",
                                     .version = 1,
                                     .inputs = {{"a", table::Type::float64}, {"c", table::Type::text}},
                                     .classes = {"no", "yes"}});
    for (int i = 0; i < 3; ++i) {
      const table::Row inputs = {0.5 * i, std::string("red")};
      const float score = 0.25f;
      (void)log->append(handle, Id{}, TimePoint(std::chrono::hours(24 * 365 * 56)), "k", std::span(&score, 1), i % 2, inputs);
    }
  }
  for (const auto& file : std::filesystem::directory_iterator(dir)) {
    std::ifstream in(file.path(), std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    write("prediction_log", "whole", bytes);
    bytes.resize(700);
    write("prediction_log", "cut", bytes);
  }
  std::filesystem::remove_all(dir);
}

void event_queue() {
  const queue::SegmentHeader header{.salt = 7, .first_seq = 1};
  const auto head = queue::encode(header);
  std::string bytes(reinterpret_cast<const char*>(head.data()), head.size());
  for (std::uint64_t seq : {1, 3}) {
    queue::Chunk chunk{.first_seq = seq};
    for (std::uint64_t i = 0; i < 2; ++i)
      queue::append_record(chunk, {.subject = "model.swapped", .payload = R"({"model":"m"})", .dedup_id = seq + i},
                           TimePoint(std::chrono::hours(24 * 365 * 56)));
    bytes += queue::encode_frame(chunk, bytes.size(), header.salt);
  }
  write("event_queue", "two_frames", bytes);
  write("event_queue", "consumers", queue::render_consumers({{"monitor", "model.", 12}}));
}

void files() {
  backup::Manifest backup{.id = "20261122T091500Z", .made = "2026-11-22T09:15:00Z", .program = "millrace", .from = "/data"};
  backup.files.push_back({"meta.db", std::string(64, 'a'), 100, 90});
  write("files", "backup", '\0', backup::render(backup));
  write("files", "lines", '\1', backup::render_lines({{sha256("x"), 5}, {sha256("y"), 0}}));
  const train::Checkpoint checkpoint{10, 7, 0.25, "id", "snapshot"};
  write("files", "checkpoint", '\2', train::render_checkpoint(checkpoint));
  write("files", "sealed_checkpoint", '\3', "\tid\nbytes");
  write("files", "job", '\4', train::render(train::JobSpec{.job = "j", .kind = "train", .input = "{}"}));
  write("files", "failure", '\5', train::render(train::FailureFile{"data", "invalid_argument", "data.bad", "line 3"}));
  write("files", "progress", '\6', train::render(TaskProgress{.phase = "train", .step = 3, .metrics = {{"loss", 0.5}}}));
  write("files", "report", '\7', R"({"step": 3, "done": 0.1, "metrics": {"loss": 0.7}, "note": "warming up"})");
  label::Label label{.model = "m", .key = "k", .author = "a", .value = "yes"};
  write("files", "labels", '\10', loop::render_labels({label, label}));
  const auto header = blob::encode({.plain_size = 12});
  write("files", "blob", '\11', std::string(reinterpret_cast<const char*>(header.data()), header.size()));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return std::fprintf(stderr, "usage: fuzz_seeds CORPUS\n"), 2;
  corpus = arguments[1];
  models();
  prediction_log();
  event_queue();
  files();
  return 0;
}
