// Why a prediction came out as it did, and which predictions are worth a label: both look into the prediction log.
#include <algorithm>
#include <format>

#include "api/native/routes.hpp"
#include "api/native/wire.hpp"
#include "label/queue.hpp"
#include "model/loaded.hpp"

namespace millrace::api {

namespace {

// The version's model: from memory when it is there, else from its artifact.
Result<std::shared_ptr<const model::LoadedModel>> model_for(Context& c, const std::string& name, std::int64_t number) {
  if (auto loaded = c.predictor.loaded(name, number)) return loaded;
  TRY(auto version,
      c.service.store().read([&](meta::Reader& reader) { return registry::get_version(reader, name, number); }));
  TRY(auto digest, Digest::parse(version.artifact));
  TRY(auto bytes, c.service.blobs().read(digest, std::uint64_t{1} << 30));
  return model::LoadedModel::load(bytes);
}

}  // namespace

Result<Why> why_of(Context& c, const std::string& text) {
  TRY(auto id, Id::parse(text));
  std::optional<std::pair<serve::LogSchema, serve::LoggedPrediction>> found;
  TRY_VOID(
      serve::read_prediction_log(c.service.env().fs, c.service.config().paths.log_dir(),
                                 [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
                                   if (line.id == id) found.emplace(schema, std::move(line));
                                   return {};
                                 }));
  if (!found) return fail(Code::not_found, "api.no_prediction", std::format("no prediction {} is in the log", text));
  const auto& [schema, line] = *found;
  TRY(auto loaded, model_for(c, schema.model, schema.version));
  TRY(auto explained, loaded->explain(line.inputs));
  Why why;
  why.prediction = id.text();
  why.model = schema.model;
  why.version = schema.version;
  why.time = format_time(line.time);
  why.decision = explained.answer.decision >= 0 ? explained.answer.label : std::format("{}", explained.answer.score);
  if (schema.classes.empty()) {
    why.scores["value"] = explained.answer.score;
  } else if (schema.classes.size() == 2) {
    why.scores[schema.classes[1]] = explained.answer.score;
  } else {
    for (std::size_t i = 0; i < schema.classes.size(); ++i)
      why.scores[schema.classes[i]] = explained.answer.probabilities[i];
  }
  why.margin = explained.answer.margin;
  why.bias = explained.bias;
  for (const auto& one : explained.contributions)
    why.contributions.push_back({one.feature, one.value, std::format("{}", one.encoded), one.amount});
  TRY_VOID(c.service.store().read([&](meta::Reader& reader) -> Result<void> {
    std::int64_t after = 0;
    for (;;) {
      TRY(auto page, label::labels_after(reader, schema.model, after, 10'000));
      if (page.empty()) return {};
      for (const auto& one : page) {
        if (one.prediction == id && one.value) why.label = *one.value;
      }
      after = page.back().seq;
    }
  }));
  return why;
}

Result<LabelQueue> label_queue_of(Context& c, const std::string& model, std::int64_t count) {
  auto project = c.service.project();
  std::vector<label::Candidate> candidates;
  std::vector<std::pair<serve::LogSchema, serve::LoggedPrediction>> lines;
  TRY_VOID(serve::read_prediction_log(
      c.service.env().fs, c.service.config().paths.log_dir(),
      [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
        if (schema.model != model) return {};
        candidates.push_back({line.id, {line.scores.begin(), line.scores.end()}, schema.classes.size(), false});
        lines.emplace_back(schema, std::move(line));
        return {};
      }));
  std::map<Id, std::size_t> places;
  for (std::size_t i = 0; i < candidates.size(); ++i) places[candidates[i].id] = i;
  TRY_VOID(c.service.store().read([&](meta::Reader& reader) -> Result<void> {
    std::int64_t after = 0;
    for (;;) {
      TRY(auto page, label::labels_after(reader, model, after, 10'000));
      if (page.empty()) return {};
      for (const auto& one : page) {
        if (!one.prediction || one.origin == label::Origin::model) continue;
        if (auto at = places.find(*one.prediction); at != places.end()) candidates[at->second].labelled = true;
      }
      after = page.back().seq;
    }
  }));
  label::QueueRules rules;
  rules.per_day = static_cast<std::size_t>(count);
  if (project) {
    rules.pick = project->labels.queue_pick == "random" ? label::Pick::random : label::Pick::uncertain;
    rules.random_share = project->labels.queue_random_share;
  }
  rules.seed = static_cast<std::uint64_t>(
      std::chrono::floor<std::chrono::days>(c.service.env().clock.now()).time_since_epoch().count());
  LabelQueue queue;
  for (const auto& one : label::pick(candidates, rules)) {
    const auto& [schema, line] = lines[one.candidate];
    QueueEntry entry{line.id.text(),
                     one.margin,
                     line.decision >= 0 ? schema.classes[static_cast<std::size_t>(line.decision)] : "",
                     {}};
    for (std::size_t i = 0; i < schema.inputs.size(); ++i)
      entry.inputs[schema.inputs[i].name] = table::to_text(line.inputs[i]);
    queue.entries.push_back(std::move(entry));
  }
  return queue;
}

}  // namespace millrace::api
