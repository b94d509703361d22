// Why a prediction came out as it did, and which predictions are worth a label: both look into the prediction log,
// first where its newest lines are, then in what of it is Parquet.
#include <algorithm>
#include <format>
#include <set>

#include "api/native/routes_internal.hpp"
#include "flow/zone.hpp"
#include "label/queue.hpp"
#include "model/loaded.hpp"

namespace millrace::api {

namespace {

// So many of the newest predictions are considered for the queue.
constexpr std::size_t queue_candidates = 10'000;

using Line = std::pair<serve::LogSchema, serve::LoggedPrediction>;

// The version's model, one that can explain: from memory when it is there, else from its artifact.
Result<std::shared_ptr<const model::LoadedModel>> model_for(Context& c, const std::string& name, std::int64_t number) {
  if (auto loaded = c.predictor.loaded(name, number); loaded && loaded->runtime().explains()) return loaded;
  TRY(auto version,
      c.service.store().read([&](meta::Reader& reader) { return registry::get_version(reader, name, number); }));
  TRY(auto digest, Digest::parse(version.artifact));
  TRY(auto bytes, c.service.blobs().read(digest, std::uint64_t{1} << 30));
  auto options = c.predictor.runtime_options();
  options.own_trees = false;  // for one row, not worth a proof
  return model::LoadedModel::load(bytes, options);
}

// The rows of a query over the Parquet part of the log, as lines.
Result<std::vector<Line>> ask(Context& c, const loop::LogView& view, const std::string& sql, std::size_t rows_max,
                              bool inputs) {
  const loop::LogRows rows(view.layout, view.model);
  TRY(auto found, c.service.ask_log(view, sql, static_cast<std::int64_t>(rows_max)));
  std::vector<Line> lines;
  for (const auto& row : found) {
    TRY(auto line, rows.line_of(row, inputs));
    lines.emplace_back(*line.schema, std::move(line.line));
  }
  return lines;
}

// Every line of `view`'s segments, while they stay.
Result<void> read_segments(Context& c, const loop::LogView& view, const serve::OnLine& on_line) {
  auto mine = [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
    return schema.model == view.model ? on_line(schema, std::move(line)) : Result<void>();
  };
  TRY_VOID(serve::read_prediction_log(c.service.env().fs, view.dir, mine, view.after));
  return {};
}

Result<std::optional<Line>> find_line(Context& c, const std::string& model, const Id& id) {
  std::optional<Line> found;
  loop::LogView view;
  TRY_VOID(c.service.with_log(model, [&](const loop::LogView& now) -> Result<void> {
    view = now;
    return read_segments(c, now, [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
      if (line.id == id) found.emplace(schema, std::move(line));
      return {};
    });
  }));
  if (found || view.parts.empty()) return found;
  TRY(auto lines, ask(c, view, std::format("SELECT * FROM data WHERE prediction_id = '{}'", id.text()), 1, true));
  if (!lines.empty()) found = std::move(lines.front());
  return found;
}

// The newest predictions without their inputs, newest first, and whether they are in Parquet.
struct Newest {
  std::vector<Line> lines;
  std::set<Id> in_parquet;
  loop::LogView view;
};
Result<Newest> newest_lines(Context& c, const std::string& model) {
  Newest newest;
  auto& lines = newest.lines;
  auto newer = [](const Line& a, const Line& b) { return a.second.id > b.second.id; };
  auto keep = [&] {
    std::ranges::sort(lines, newer);
    if (lines.size() > queue_candidates) lines.resize(queue_candidates);
  };
  TRY_VOID(c.service.with_log(model, [&](const loop::LogView& now) -> Result<void> {
    newest.view = now;
    return read_segments(c, now, [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
      line.inputs.clear();
      lines.emplace_back(serve::LogSchema{schema.model, schema.version, {}, schema.classes}, std::move(line));
      if (lines.size() == 2 * queue_candidates) keep();
      return {};
    });
  }));
  keep();
  auto view = newest.view;
  auto missing = queue_candidates - lines.size();
  if (missing == 0 || view.parts.empty()) return newest;
  // Parts follow each other in time, so the last ones hold the newest.
  std::size_t parts = 0;
  for (std::int64_t rows = 0; parts < view.parts.size() && rows < static_cast<std::int64_t>(missing); ++parts)
    rows += view.parts[view.parts.size() - 1 - parts].rows;
  view.parts.erase(view.parts.begin(), view.parts.end() - static_cast<std::ptrdiff_t>(parts));
  std::string columns;
  for (const auto& field : loop::LogRows(view.layout, view.model).light_schema().fields) {
    std::string name;
    for (char letter : field.name) name += letter == '"' ? std::string("\"\"") : std::string(1, letter);
    columns += (columns.empty() ? "\"" : ", \"") + name + "\"";
  }
  TRY(auto rolled,
      ask(c, view, std::format("SELECT {} FROM data ORDER BY prediction_id DESC LIMIT {}", columns, missing), missing,
          false));
  for (auto& line : rolled) {
    newest.in_parquet.insert(line.second.id);
    lines.push_back(std::move(line));
  }
  keep();
  return newest;
}

// Those lines with their inputs.
Result<std::map<Id, Line>> whole_lines(Context& c, const Newest& newest, const std::set<Id>& ids) {
  std::map<Id, Line> out;
  std::string rolled;
  for (const auto& id : ids) {
    if (newest.in_parquet.contains(id)) rolled += (rolled.empty() ? "'" : ", '") + id.text() + "'";
  }
  if (!rolled.empty()) {
    TRY(auto lines,
        ask(c, newest.view, std::format("SELECT * FROM data WHERE prediction_id IN ({})", rolled), ids.size(), true));
    for (auto& line : lines) out.emplace(line.second.id, std::move(line));
  }
  if (out.size() == ids.size()) return out;
  TRY_VOID(c.service.with_log(newest.view.model, [&](const loop::LogView& now) -> Result<void> {
    return read_segments(c, now, [&](const serve::LogSchema& schema, serve::LoggedPrediction&& line) -> Result<void> {
      auto id = line.id;
      if (ids.contains(id)) out.emplace(id, Line(schema, std::move(line)));
      return {};
    });
  }));
  for (const auto& id : ids) {
    if (out.contains(id)) continue;
    TRY(auto line, find_line(c, newest.view.model, id));
    if (line) out.emplace(id, *std::move(line));
  }
  return out;
}

}  // namespace

Result<Why> why_of(Context& c, const std::string& text) {
  TRY(auto id, Id::parse(text));
  auto project = c.service.project();
  std::optional<Line> found;
  if (project) {
    TRY(found, find_line(c, project->name, id));
  }
  if (!found) {
    auto message = std::format("no prediction {} is in the log", text);
    if (project && project->retention.predictions &&
        id.time() < c.service.env().clock.now() - *project->retention.predictions)
      message += std::format("; older ones than {} are let go ([retention] predictions)",
                             format_duration(*project->retention.predictions));
    return fail(Code::not_found, "api.no_prediction", message);
  }
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

Result<LabelQueue> label_queue_of(Context& c, const std::string& model, std::optional<std::int64_t> count) {
  auto project = c.service.project();
  LabelQueue queue;
  if (!project || project->name != model) return queue;
  TRY(auto newest, newest_lines(c, model));
  std::vector<label::Candidate> candidates;
  std::map<Id, std::size_t> places;
  for (const auto& [schema, line] : newest.lines) {
    places[line.id] = candidates.size();
    candidates.push_back({line.id, {line.scores.begin(), line.scores.end()}, schema.classes.size(), false});
  }
  // The list stands still for a day of the project's calendar.
  TRY(auto zone, flow::Zone::find(project->timezone));
  auto today = std::chrono::floor<std::chrono::days>(zone.local(c.service.env().clock.now()));
  label::LabelFilter since_midnight;
  since_midnight.arrived_after = zone.moments(today).first - Duration(1);
  since_midnight.origins.clear();
  for (const auto& name : project->labels.trust) {
    TRY(auto origin, label::parse_origin(name));
    since_midnight.origins.push_back(origin);
  }
  TRY_VOID(c.service.store().read([&](meta::Reader& reader) -> Result<void> {
    TRY(queue.labels_today, label::count(reader, model, since_midnight));
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
  queue.per_day = project->labels.queue_per_day;
  rules.per_day = static_cast<std::size_t>(count.value_or(queue.per_day));
  rules.already = count ? 0 : static_cast<std::size_t>(queue.labels_today);
  rules.pick = project->labels.queue_pick == "random" ? label::Pick::random : label::Pick::uncertain;
  rules.random_share = project->labels.queue_random_share;
  rules.seed = static_cast<std::uint64_t>(today.time_since_epoch().count());
  auto picked = label::pick(candidates, rules);
  std::set<Id> ids;
  for (const auto& one : picked) ids.insert(candidates[one.candidate].id);
  TRY(auto whole, whole_lines(c, newest, ids));
  for (const auto& one : picked) {
    auto at = whole.find(candidates[one.candidate].id);
    if (at == whole.end()) continue;  // let go in this moment
    const auto& [schema, line] = at->second;
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
