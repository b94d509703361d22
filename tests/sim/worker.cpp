#include "sim/worker.hpp"

#include <algorithm>
#include <format>
#include <map>
#include <sstream>

#include "base/digest.hpp"
#include "data/ingest.hpp"
#include "label/join.hpp"
#include "loop/labels_text.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::simulator {

namespace {

constexpr std::uint64_t read_max = 64u << 20;

Result<std::string> read_blob(Sim& sim, const std::string& hex) {
  TRY(const auto digest, Digest::parse(hex));
  return sim.m().job_blobs->read(digest, read_max);
}

Result<loop::BlobRef> store_ref(Sim& sim, const std::string& content) {
  TRY(const auto digest, store_as_job(sim, content));
  return loop::BlobRef{digest.hex(), static_cast<std::int64_t>(content.size())};
}

data::Inference inference() {
  data::Inference out;
  out.target = "y";
  out.task = "binary";
  out.classes = {{"No", 1}, {"Yes", 1}};
  out.positive = "Yes";
  out.rows = 2;
  out.columns = {{"x", "float64", "number", "input", ""}, {"y", "text", "", "target", ""}};
  return out;
}

Result<Worked> ingest(Sim& sim, const train::JobLease& lease) {
  TRY(const auto job, loop::parse_job<loop::ReadJob>(lease.input));
  const auto& input = job.input;
  Worked out;
  data::IngestOutput output;
  output.mode = input.mode;
  if (std::ranges::find(input.parent_sources, input.blob) != input.parent_sources.end()) {
    output.unchanged = true;
    out.result = data::render(output);
    return out;
  }
  TRY(const auto raw, read_blob(sim, input.blob));
  TRY(const auto part, store_ref(sim, "part of " + raw));
  output.parts = input.parent_parts;
  output.parts.push_back({part.digest, 2, part.bytes});
  output.new_parts = 1;
  output.new_rows = 2;
  output.schema = {{"x", "float64"}, {"y", "text"}};
  output.analysis.rows = 2 * static_cast<std::int64_t>(output.parts.size());
  output.analysis.inference = inference();
  output.provenance = {input.uri, static_cast<std::int64_t>(raw.size()), input.changed, input.blob};
  out.part = part.digest;
  out.result = data::render(output);
  return out;
}

// The predictions of a log as a join takes them.
Result<std::vector<label::Prediction>> predictions_of(Sim& sim, const loop::LogView& view) {
  std::vector<label::Prediction> out;
  TRY(const auto lines, lines_of(sim, view));
  for (const auto& line : lines) {
    const auto known = sim.log.lines().find(line.id);
    if (known == sim.log.lines().end()) continue;  // the look at the log says so
    out.push_back({line.id, known->second.key, known->second.time, std::string(model_name), 1});
  }
  return out;
}

Result<label::Joined> join(Sim& sim, const loop::AssembleJob& job) {
  TRY(const auto text, read_blob(sim, job.labels));
  TRY(const auto labels, loop::parse_labels_text(text));
  TRY(const auto predictions, predictions_of(sim, job.log));
  label::JoinOptions options;
  options.mature = Duration(job.mature_us);
  options.now = TimePoint(Duration(job.now_us));
  auto joined = label::join(predictions, labels, options);
  // Each label has one place.
  std::map<Digest, int> places;
  for (const auto& label : labels) places[label::digest_of(label)];
  const auto place = [&](const label::Label& label) {
    if (++places[label::digest_of(label)] > 1) sim.say("join: a label was applied twice: " + label.author);
  };
  for (const auto& row : joined.rows) {
    if (row.label) place(*row.label);
    for (const auto& one : row.history) place(one);
  }
  for (const auto& one : joined.unmatched) place(one);
  for (const auto& [digest, count] : places) {
    if (count == 0) sim.say("join: a label was left out");
  }
  return joined;
}

Result<Worked> assemble(Sim& sim, const train::JobLease& lease) {
  TRY(const auto job, loop::parse_job<loop::AssembleJob>(lease.input));
  TRY(const auto joined, join(sim, job));
  loop::AssembleResult result;
  result.labels_seq = job.labels_seq;
  std::string rows;
  for (const auto& row : joined.rows) {
    ++result.predictions;
    if (row.truth() == nullptr) continue;
    ++result.rows;
    rows += row.label->author + "=" + *row.truth() + "\n";
  }
  if (result.rows > 0) {
    TRY(const auto part, store_ref(sim, "feedback " + rows));
    result.parts.push_back({part.digest, result.rows, part.bytes});
  }
  return Worked{loop::render_job(result)};
}

Result<Worked> live(Sim& sim, const train::JobLease& lease) {
  TRY(const auto job, loop::parse_job<loop::AssembleJob>(lease.input));
  TRY(const auto joined, join(sim, job));
  loop::LiveResult result;
  result.labels_seq = job.labels_seq;
  result.labels_unmatched = static_cast<std::int64_t>(joined.unmatched.size());
  return Worked{loop::render_job(result)};
}

Result<Worked> train(Sim& sim, const train::JobLease& lease) {
  TRY(const auto job, loop::parse_job<loop::TrainJob>(lease.input));
  for (const auto* parts : {&job.rows.parts, &job.rows.feedback}) {
    for (const auto& part : *parts) TRY_VOID(read_blob(sim, part.digest));
  }
  if (lease.checkpoint.size() == 64) TRY_VOID(read_blob(sim, lease.checkpoint));
  loop::TrainResult result;
  TRY(result.artifact, store_ref(sim, "model of " + job.run + " from " + job.data_digest));
  TRY(result.baseline, store_ref(sim, "baseline from " + job.data_digest));
  result.rounds = 1;
  return Worked{loop::render_job(result)};
}

Result<Worked> evaluate(Sim& sim, const train::JobLease& lease) {
  TRY(const auto job, loop::parse_job<loop::EvaluateJob>(lease.input));
  for (const auto* ref : {&job.candidate, &job.baseline, &job.current}) {
    if (!ref->digest.empty()) TRY_VOID(read_blob(sim, ref->digest));
  }
  Worked out;
  out.run = job.run;
  out.artifact = job.candidate.digest;
  out.passed = sha256(job.candidate.digest).bytes[0] % 4 != 0;
  out.opponent = job.current.digest.empty() ? 0 : job.current_version;
  out.opponent_artifact = job.current.digest;
  loop::EvaluateResult result;
  result.passed = out.passed;
  result.verdict = "{}";
  result.metrics = {{"auc", 0.5}};
  out.result = loop::render_job(result);
  return out;
}

// As job_roll.cpp does it, but for the bytes of a part.
Result<Worked> roll(Sim& sim, const train::JobLease& lease) {
  TRY(const auto job, loop::parse_job<loop::RollJob>(lease.input));
  loop::RollResult result;
  std::map<std::string, loop::RolledModel> models;
  std::map<std::string, std::string> texts;
  for (const auto& [name, layout] : job.layouts) models[name].layout = layout;
  TRY(const auto segments, serve::list_segments(sim.world.disk, job.dir, job.after));
  for (const auto& segment : segments) {
    if (segment.number > job.through) break;
    ++result.segments;
    TRY(const auto stats, serve::read_prediction_segment(
                              sim.world.disk, segment.path, [&](const auto& schema, auto&& line) -> Result<void> {
                                auto& model = models[schema.model];
                                model.model = schema.model;
                                loop::extend(model.layout, schema, line.scores.size());
                                if (model.parts.empty()) model.parts.emplace_back();
                                auto& part = model.parts.back();
                                const auto us = static_cast<std::int64_t>(line.time.time_since_epoch().count());
                                part.first_us = part.part.rows == 0 ? us : std::min(part.first_us, us);
                                part.last_us = part.part.rows == 0 ? us : std::max(part.last_us, us);
                                ++part.part.rows;
                                texts[schema.model] += line.id.text() + " " + print_of(line) + "\n";
                                return {};
                              }));
    result.lines += static_cast<std::int64_t>(stats.lines);
    result.damaged += static_cast<std::int64_t>(stats.damaged);
  }
  for (auto& [name, model] : models) {
    if (model.parts.empty()) continue;
    TRY(const auto ref, store_ref(sim, texts[name]));
    model.parts[0].part.digest = ref.digest;
    model.parts[0].part.bytes = ref.bytes;
    result.models.push_back(std::move(model));
  }
  return Worked{loop::render_job(result)};
}

}  // namespace

Result<Digest> store_as_job(Sim& sim, const std::string& content) {
  if (sim.has(Plant::reference_before_blob)) {
    sim.late_blobs.push_back(content);
    return sha256(content);
  }
  const auto done = sim.m().job_blobs->put(content);
  if (!done) {
    sim.blobs.perhaps_stored(content);
    return fail(done.error());
  }
  sim.blobs.stored(content, sim.now());
  return done->digest;
}

Result<std::vector<ExpectLog::Seen>> lines_of(Sim& sim, const loop::LogView& view) {
  std::vector<ExpectLog::Seen> out;
  for (const auto& part : view.parts) {
    TRY(const auto text, read_blob(sim, part.digest));
    std::istringstream in(text);
    for (std::string id, print; in >> id >> print;) {
      TRY(const auto parsed, Id::parse(id));
      out.push_back({parsed, print});
    }
  }
  TRY_VOID(serve::read_prediction_log(
      sim.world.disk, view.dir,
      [&](const serve::LogSchema&, serve::LoggedPrediction&& line) -> Result<void> {
        out.push_back({line.id, print_of(line)});
        return {};
      },
      view.after));
  return out;
}

Result<Worked> work(Sim& sim, const train::JobLease& lease) {
  namespace kind = loop::job_kind;
  if (lease.kind == kind::ingest) return ingest(sim, lease);
  if (lease.kind == kind::assemble) return assemble(sim, lease);
  if (lease.kind == kind::live) return live(sim, lease);
  if (lease.kind == kind::train) return train(sim, lease);
  if (lease.kind == kind::evaluate) return evaluate(sim, lease);
  return roll(sim, lease);
}

}  // namespace millrace::simulator
