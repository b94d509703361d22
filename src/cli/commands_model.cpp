// train, models, promote, rollback, predict, label, why.
#include <algorithm>
#include <format>

#include "base/error_codes.hpp"
#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/print.hpp"

namespace millrace::cli {

namespace {

std::string aliases_of(const api::Model& model, const api::ModelVersion& version) {
  std::string out;
  if (model.current == version.number) out = "current";
  if (model.previous == version.number) out += out.empty() ? "previous" : ", previous";
  return out;
}

// Those that most people look at first.
std::string metrics_text(const std::map<std::string, double>& metrics) {
  std::string out;
  int most = 3;
  for (const char* name : {"auc", "accuracy", "r2", "rmse", "f1", "log_loss", "mae"}) {
    const auto found = metrics.find(name);
    if (found == metrics.end() || most-- <= 0) continue;
    out += std::format("{}{} {}", out.empty() ? "" : "  ", name, short_number(found->second));
  }
  return out;
}

// What tells of a leak more often than of a good model.
std::string too_good(const std::map<std::string, double>& metrics) {
  constexpr double suspicious = 0.998;
  for (const char* name : {"auc", "r2"}) {
    const auto found = metrics.find(name);
    if (found == metrics.end() || found->second < suspicious) continue;
    return std::format(
        "note     {} {} is rarely true: does an input say what is to be predicted, or come after it? "
        "millrace why of a prediction shows which one weighs most; [model] exclude leaves it out\n",
        name, short_number(found->second));
  }
  return "";
}

Output moved(const api::MoveAnswer& answer) {
  if (!answer.changed)
    return {std::format("nothing to do: {}:{} is current already\n", answer.model, answer.current), 4};
  auto out = std::format("{}:{} answers now ({:.0f} ms)", answer.model, answer.current, answer.took_ms);
  if (answer.previous)
    out += std::format("; to go back to {}:{}: millrace rollback {}", answer.model, *answer.previous, answer.model);
  out += "\n";
  for (const auto& name : answer.not_reached)
    out += std::format("not yet: predictor {} has not said that it serves it; see: millrace predictors\n", name);
  return {out};
}

std::string gate_table(const api::ModelVersion& v) {
  if (v.gates.empty()) return "";
  Table table({"gate", "required", "got", ""});
  std::string why;
  for (const auto& gate : v.gates) {
    table.add({gate.expression, gate.required, gate.got, gate.passed ? "passed" : "FAILED"});
    if (!gate.passed) why += std::format("failed   {}: {}\n", gate.expression, gate.why);
  }
  return table.text() + why;
}

}  // namespace

Result<VersionName> split_name(Client& client, const std::string& text, const std::string& at) {
  auto colon = text.rfind(':');
  VersionName name{text.substr(0, colon), colon == std::string::npos ? "" : text.substr(colon + 1)};
  if (name.number == "baseline") name.number = "0";
  if (name.number.empty()) {
    TRY(auto model, client.get<api::Model>("/api/v1/models/" + percent_encoded(name.model) + at_query(at)));
    if (model.versions.empty()) {
      return fail(Code::not_found, "cli.no_version",
                  "model '" + name.model + "' has no version yet; train one with: millrace train");
    }
    name.number = std::to_string(model.versions.front().number);
  }
  if (name.number.find_first_not_of("0123456789") != std::string::npos) {
    return fail(Code::invalid_argument, "cli.bad_version",
                "'" + text + "' is not a model version: write NAME:NUMBER, as in churn:3");
  }
  return name;
}

Result<std::string> only_model(Client& client, const std::string& model) {
  if (!model.empty()) return model;
  TRY(auto list, client.get<api::ModelList>("/api/v1/models"));
  if (list.models.size() == 1) return list.models.front().name;
  std::string names;
  for (const auto& m : list.models) names += (names.empty() ? "" : ", ") + m.name;
  return fail(
      Code::invalid_argument, "cli.which_model",
      names.empty() ? "there is no model yet; train one with: millrace train" : "name the model, one of: " + names);
}

Result<api::JobState> wait_for_job(Client& client, const std::string& job, const Waiting& waiting) {
  std::string last;
  for (;;) {
    TRY(auto state, client.get<api::JobState>("/api/v1/jobs/" + percent_encoded(job)));
    if (state.state == "done") return state;
    if (state.state == "failed" || state.state == "cancelled") {
      return fail(Code::failed_precondition, "job." + state.state,
                  state.message.empty() ? "the job was " + state.state : state.message);
    }
    auto line = state.kind + " " + state.state;
    if (!state.phase.empty()) line += ": " + state.phase;
    if (state.done >= 0) line += std::format(" {:.0f} %", state.done * 100);
    for (const auto& metric : state.metrics) {
      if (metric.name != "memory_bytes" && metric.name != "rows_per_s")
        line += std::format("  {} {}", metric.name, short_number(metric.value));
    }
    if (state.state == "queued" && !state.message.empty()) line += " (" + state.message + ")";
    if (waiting.progress && line != last) waiting.progress(line);
    last = line;
    if (!waiting.pause()) {
      return fail(Code::cancelled, "client.interrupted", "stopped waiting; the job goes on: millrace status");
    }
  }
}

Result<Output> train(Client& client, const TrainOptions& options, const Waiting& waiting, bool json) {
  TRY(auto job, (client.post<api::JobAnswer>(
                    "/api/v1/train", api::TrainRequest{options.quick, options.shuffle_target, options.reason})));
  if (waiting.detach) return Output{json ? api::render(job) + "\n" : "run " + job.run + "\n"};
  if (json) {
    auto silent = waiting;
    silent.progress = {};
    TRY(auto ended, runs_follow(client, job.run, silent, {}, false));
    TRY(auto run, client.get<api::Run>("/api/v1/runs/" + percent_encoded(job.run)));
    return Output{api::render(run) + "\n", ended.exit_code};
  }
  return runs_follow(client, job.run, waiting, {}, false);
}

Result<Output> models_ls(Client& client, const std::string& name, int max, bool json) {
  api::ModelList list;
  if (name.empty()) {
    TRY(list, client.get<api::ModelList>("/api/v1/models"));
  } else {
    TRY(auto model, client.get<api::Model>(std::format("/api/v1/models/{}?limit={}", percent_encoded(name), max)));
    list.models.push_back(std::move(model));
  }
  if (json) return Output{api::render(list) + "\n"};
  Table table({"version", "alias", "verdict", "bytes", "created", "metrics"}, {false, false, false, true});
  for (const auto& model : list.models) {
    for (const auto& v : model.versions) {
      table.add({v.number == 0 ? model.name + ":baseline" : std::format("{}:{}", model.name, v.number),
                 aliases_of(model, v), v.quick ? v.verdict + " (quick)" : v.verdict,
                 v.bytes_kept ? format_size(v.bytes) : "gone", short_time(v.created), metrics_text(v.metrics)});
    }
  }
  auto out = table.empty() ? "no models yet; train one with: millrace train\n" : table.text();
  for (const auto& model : list.models) {
    const auto older = model.version_count - static_cast<std::int64_t>(model.versions.size());
    if (older > 0) out += std::format("{} older: millrace models ls {} --max 1000\n", older, model.name);
  }
  return Output{std::move(out)};
}

Result<Output> models_show(Client& client, const std::string& text, const std::string& at, bool json) {
  TRY(auto name, split_name(client, text, at));
  TRY(auto v, client.get<api::ModelVersion>("/api/v1/models/" + percent_encoded(name.model) + "/versions/" +
                                            name.number + at_query(at)));
  if (json) return Output{api::render(v) + "\n"};
  std::string aliases;
  for (const auto& alias : v.aliases) aliases += "   " + alias;
  auto out = std::format("{}:{}   {}{}{}\nrun      {}   {}\nartifact {}   {}\n", v.model, v.number, v.verdict,
                         v.quick ? " (quick: trained on a sample)" : "", aliases, v.run, short_time(v.created),
                         v.artifact, v.bytes_kept ? format_size(v.bytes) : "bytes gone ([retention])");
  if (!v.override_by.empty()) out += std::format("override by {}: {}\n", v.override_by, v.override_reason);
  out += gate_table(v);
  if (v.compared_rows > 0) {
    Table table({std::format("on {} test rows", with_thousands(v.compared_rows)), "this", "current then", "baseline"},
                {false, true, true, true});
    auto cell = [](const std::map<std::string, double>& metrics, const std::string& metric) {
      auto found = metrics.find(metric);
      return found == metrics.end() ? std::string("-") : short_number(found->second);
    };
    for (const auto& [metric, value] : v.metrics) {
      table.add({metric, short_number(value), cell(v.current_metrics, metric), cell(v.baseline_metrics, metric)});
    }
    out += table.text() + too_good(v.metrics);
  }
  for (const auto& live : v.live) {
    out +=
        std::format("live     {} {}{} on {} of {} predictions, {} wait for a label\n", live.metric,
                    live.value ? short_number(*live.value) : "unknown (" + live.why + ")",
                    live.low && live.high ? std::format(" [{}, {}]", short_number(*live.low), short_number(*live.high))
                                          : std::string(),
                    with_thousands(live.labelled), with_thousands(live.predictions), with_thousands(live.waiting));
  }
  for (const auto& [what, value] : v.lineage) out += std::format("from     {} = {}\n", what, value);
  return Output{out};
}

Result<Output> models_rebuild(Client& client, const std::string& text, const Waiting& waiting, bool json) {
  TRY(auto name, split_name(client, text));
  TRY(auto answer,
      (client.post<api::RebuildAnswer>(
          "/api/v1/models/" + percent_encoded(name.model) + "/versions/" + name.number + "/rebuild", api::Empty{})));
  TRY(auto state, wait_for_job(client, answer.job, waiting));
  if (json) return Output{state.result + "\n"};
  return Output{state.message + "\n"};
}

Result<Output> promote(Client& client, const std::string& text, const std::string& reason, bool json) {
  TRY(auto name, split_name(client, text));
  TRY(auto answer, (client.post<api::MoveAnswer>("/api/v1/models/" + percent_encoded(name.model) + "/promote",
                                                 api::PromoteRequest{std::stoll(name.number), reason})));
  if (json) return Output{api::render(answer) + "\n"};
  return moved(answer);
}

Result<Output> rollback(Client& client, const std::string& model, const std::string& reason, bool json) {
  TRY(auto name, only_model(client, model));
  TRY(auto answer, (client.post<api::MoveAnswer>("/api/v1/models/" + percent_encoded(name) + "/rollback",
                                                 api::AcceptRequest{reason})));
  if (json) return Output{api::render(answer) + "\n"};
  return moved(answer);
}

Result<Output> predict(Client& client, const std::string& model, const std::string& body, bool csv) {
  TRY(auto name, only_model(client, model));
  TRY(auto answer,
      client.call("POST", "/predict/" + percent_encoded(name), body, csv ? "text/csv" : "application/json"));
  return Output{answer + "\n"};
}

Result<Output> label(Client& client, const std::string& model, const std::string& labels_json, bool json) {
  TRY(auto name, only_model(client, model));
  TRY(auto body, client.call("POST", "/labels/" + percent_encoded(name), labels_json));
  TRY(auto answer, api::parse<api::LabelsAnswer>(body));
  if (json) return Output{body + "\n"};
  return Output{std::format("{} labels taken, {} known already\n", answer.accepted, answer.already_known)};
}

Result<Output> label_queue(Client& client, const std::string& model, const std::string& count, bool json) {
  TRY(auto name, only_model(client, model));
  TRY(auto answer, client.get<api::LabelQueue>("/api/v1/models/" + percent_encoded(name) + "/label-queue" +
                                               (count.empty() ? "" : "?count=" + percent_encoded(count))));
  if (json) return Output{api::render(answer) + "\n"};
  if (answer.entries.empty() && count.empty() && answer.labels_today >= answer.per_day) {
    return Output{std::format("{} labels came today, {} are wanted ([labels] queue.per_day); more: --queue N\n",
                              answer.labels_today, answer.per_day),
                  4};
  }
  if (answer.entries.empty()) return Output{"no predictions to label\n", 4};
  Table table({"prediction", "certainty", "decision", "inputs"}, {false, true});
  for (const auto& entry : answer.entries) {
    std::string inputs;
    for (const auto& [input, value] : entry.inputs) {
      if (inputs.size() > 60) break;
      inputs += (inputs.empty() ? "" : " ") + input + "=" + value;
    }
    table.add({entry.prediction, short_number(entry.certainty), entry.decision, inputs});
  }
  return Output{table.text()};
}

Result<Output> why(Client& client, const std::string& prediction, bool json) {
  TRY(auto answer, client.get<api::Why>("/api/v1/predictions/" + percent_encoded(prediction)));
  if (json) return Output{api::render(answer) + "\n"};
  auto out = std::format("prediction  {}   {}:{}   {}\n", answer.prediction, answer.model, answer.version,
                         short_time(answer.time));
  out += "decision    " + answer.decision;
  for (const auto& [name, score] : answer.scores) out += std::format("   {} {}", name, short_number(score));
  out += "\nlabel       " + answer.label.value_or("not known yet") + "\n";
  auto sorted = answer.contributions;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return std::abs(a.contribution) > std::abs(b.contribution); });
  Table table({"input", "sent", "encoded", "contribution"}, {false, true, true, true});
  for (const auto& c : sorted) table.add({c.input, c.value, c.encoded, std::format("{:+.4f}", c.contribution)});
  table.add({"(bias)", "", "", std::format("{:+.4f}", answer.bias)});
  table.add({"= margin", "", "", std::format("{:+.4f}", answer.margin)});
  return Output{out + table.text()};
}

}  // namespace millrace::cli
