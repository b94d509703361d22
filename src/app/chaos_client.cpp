#include "app/chaos_client.hpp"

#include <algorithm>
#include <format>
#include <set>

#include "base/fs.hpp"
#include "base/json.hpp"

namespace millrace::app {

namespace {

constexpr std::size_t looked_up_max = 40;

struct PredictAnswer {
  std::string id;
  ChaosClient::Value prediction;
};

bool no_answer(const Error& error) {
  return error.reason == "client.unreachable" || error.reason == "client.no_server" ||
         error.reason == "api.not_ready" || error.reason == "serve.not_ready";
}

// What a server in good order may say to somebody who asks at random.
bool may_be_refused(const Error& error) {
  return error.code == Code::failed_precondition || error.code == Code::already_exists || error.code == Code::aborted;
}

std::string json_value(const std::string& type, const std::optional<std::string>& text) {
  if (!text) return "null";
  const bool bare = type == "int64" || type == "float64" || type == "boolean";
  return bare && *text != "nan" && *text != "inf" && *text != "-inf" ? *text : json::render(*text);
}

}  // namespace

Result<void> ChaosClient::find() {
  const auto nothing_set = [](const char*) -> std::optional<std::string> { return std::nullopt; };
  TRY(auto address, cli::find_server(env_.fs, nothing_set, data_dir_, "", data_dir_));
  address.user = "chaos";
  client_.emplace(env_, std::move(address));
  return {};
}

bool ChaosClient::there() { return find() && client_->call("GET", "/healthz"); }
bool ChaosClient::ready() { return find() && client_->call("GET", "/readyz"); }

Result<void> ChaosClient::learn() {
  TRY(const auto status, client_->get<api::Status>("/api/v1/status"));
  const auto served = std::ranges::find_if(status.models, [](const auto& model) { return model.current.has_value(); });
  if (served == status.models.end()) {
    return fail(Code::failed_precondition, "chaos.no_model",
                "no model version of this folder answers, so there is nothing to ask; see: millrace status");
  }
  model_ = served->name;
  TRY(const auto datasets, client_->get<api::DatasetList>("/api/v1/datasets"));
  for (const auto& version : datasets.versions) {
    if (version.dataset.contains('.')) continue;  // of logged predictions
    const auto path =
        std::format("/api/v1/datasets/{}/versions/{}", cli::percent_encoded(version.dataset), version.number);
    TRY(const auto whole, client_->get<api::DatasetVersion>(path));
    std::set<std::string> sent;
    for (const auto& column : whole.columns) {
      if (column.role == "input" || column.role == "key") sent.insert(column.name);
    }
    constexpr int rows_max = 50;
    TRY(const auto asked,
        (client_->post<api::JobAnswer>(path + "/query", api::QueryRequest{"SELECT * FROM data", rows_max})));
    TRY(const auto result, result_of(asked.job));
    TRY(const auto found, api::parse<api::QueryAnswer>(result));
    for (const auto& row : found.rows) {
      std::string text;
      for (std::size_t i = 0; i < row.size(); ++i) {
        if (!sent.contains(found.columns[i].name)) continue;
        text += (text.empty() ? "{" : ",") + json::render(found.columns[i].name) + ":" +
                json_value(found.columns[i].type, row[i]);
      }
      rows_.push_back(text + "}");
    }
    return {};
  }
  return fail(Code::failed_precondition, "chaos.no_data", "this folder has no dataset version to take rows from");
}

Result<std::string> ChaosClient::result_of(const std::string& job) {
  constexpr int looks_max = 600;  // a minute
  for (int i = 0; i < looks_max; ++i) {
    TRY(const auto state, client_->get<api::JobState>("/api/v1/jobs/" + job));
    if (state.state == "done") return state.result;
    if (state.state == "failed" || state.state == "cancelled")
      return fail(Code::failed_precondition, "chaos.no_data",
                  "reading rows of the newest dataset version: " + state.message);
    pause_ms_(100);
  }
  return fail(Code::deadline_exceeded, "chaos.no_data",
              "reading rows of the newest dataset version took over a minute");
}

Result<std::optional<std::string>> ChaosClient::ask(std::string_view method, const std::string& path,
                                                    std::string body) {
  auto answer = client_->call(method, path, std::move(body));
  if (!answer && no_answer(answer.error())) return fail(answer.error());
  ++answered_;
  if (answer) return *std::move(answer);
  if (!may_be_refused(answer.error()))
    failures_.push_back(std::format("{} {}: {}", method, path, answer.error().message));
  return std::nullopt;
}

Result<void> ChaosClient::predict(Rng& rng) {
  TRY(const auto answer, ask("POST", "/predict/" + cli::percent_encoded(model_), rows_[rng.below(rows_.size())]));
  if (!answer) return {};
  TRY(auto said, json::parse_lenient<PredictAnswer>(*answer, "the answer to a prediction"));
  predicted_.emplace_back(std::move(said.id), std::move(said.prediction));
  return {};
}

// As true as the model thinks; what counts here is that it is kept.
Result<void> ChaosClient::label(Rng& rng) {
  if (predicted_.empty()) return {};
  const auto& [id, value] = predicted_[rng.below(predicted_.size())];
  api::Label label;
  label.prediction = id;
  label.value = value;
  TRY(const auto answer, ask("POST", "/labels/" + cli::percent_encoded(model_), api::render(std::vector{label})));
  if (answer) labelled_.push_back(id);
  return {};
}

Result<void> ChaosClient::act(Rng& rng) {
  const auto model = "/api/v1/models/" + cli::percent_encoded(model_);
  const auto dice = rng.below(100);
  if (dice < 80) return predict(rng);
  if (dice < 92) return label(rng);
  std::string path, body = "{}";
  if (dice < 95) {
    path = model + "/rollback";
    body = api::render(api::AcceptRequest{"chaos"});
  } else if (dice < 98) {
    path = "/api/v1/train";
    body = api::render(api::TrainRequest{.quick = true, .reason = "chaos"});
  } else {
    path = "/api/v1/gc";
  }
  TRY(const auto answer, ask("POST", path, std::move(body)));
  (void)answer;
  return {};
}

Result<bool> ChaosClient::at_rest() {
  TRY(const auto status, client_->get<api::Status>("/api/v1/status"));
  return status.running.empty();
}

Result<std::string> ChaosClient::missing() {
  const auto look_up = [&](const std::string& id) {
    return client_->get<api::Why>("/api/v1/predictions/" + cli::percent_encoded(id));
  };
  const auto first = [](std::size_t size) { return size - std::min(size, looked_up_max); };
  for (auto i = first(predicted_.size()); i < predicted_.size(); ++i) {
    const auto found = look_up(predicted_[i].first);
    if (!found && found.error().code == Code::not_found)
      return "prediction " + predicted_[i].first + " was answered, and is not in the log";
    if (!found) return fail(found.error());
  }
  for (auto i = first(labelled_.size()); i < labelled_.size(); ++i) {
    TRY(const auto found, look_up(labelled_[i]));
    if (!found.label) return "the label of prediction " + labelled_[i] + " was taken, and is not there";
  }
  TRY(const auto status, client_->get<api::Status>("/api/v1/status"));
  for (const auto& model : status.models) {
    if (model.name == model_ && !model.current) return std::string("no version of " + model_ + " is current");
  }
  return std::string();
}

void ChaosClient::forget() {
  predicted_.clear();
  labelled_.clear();
}

}  // namespace millrace::app
