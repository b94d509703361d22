#include "api/native/openapi.hpp"

#include <array>
#include <format>
#include <map>

#include "api/native/wire.hpp"
#include "api/native/wire_fleet.hpp"
#include "api/native/wire_tokens.hpp"

namespace millrace::api {

namespace {

struct Operation {
  std::string_view method, path, summary;
  std::string_view request;  // a schema's name; "" for none, "rows" and "bytes" for bodies that are no wire struct
  std::string_view answer;   // a schema's name; "" where it is no wire struct
  int status = 200;
};

constexpr auto operations = std::to_array<Operation>({
    {"get", "/api/v1/status", "One screen: models, what runs, what waits and why; with `at` what stood then", "",
     "Status"},
    {"get", "/api/v1/project", "The project file in use, or in use `at` a moment, completed, as TOML", "", ""},
    {"post", "/api/v1/project", "Take a changed project file, or say what it would cause", "ApplyRequest",
     "ApplyAnswer"},
    {"get", "/api/v1/loop", "Each step of the loop and its rule", "", "LoopAnswer"},
    {"get", "/api/v1/datasets", "All dataset versions, newest first, as of `at`", "", "DatasetList"},
    {"get", "/api/v1/datasets/{dataset}", "Versions of one dataset, as of `at`", "", "DatasetList"},
    {"get", "/api/v1/datasets/{dataset}/versions/{version}", "One version with columns and checks, as of `at`", "",
     "DatasetVersion"},
    {"get", "/api/v1/datasets/{dataset}/versions/{version}/diff", "What differs from version `with`", "", "DiffAnswer"},
    {"post", "/api/v1/datasets/{dataset}/versions/{version}/accept", "Let it be trained on though a check failed",
     "AcceptRequest", "DatasetVersion"},
    {"post", "/api/v1/datasets/{dataset}/versions/{version}/query", "SQL over its rows, as a job", "QueryRequest",
     "JobAnswer", 202},
    {"post", "/api/v1/datasets/{dataset}/versions/{version}/checkout", "All its rows as a file, as a job",
     "CheckoutRequest", "JobAnswer", 202},
    {"post", "/api/v1/datasets/{dataset}/versions/{version}/check", "The project's checks on its rows, as a job",
     "Empty", "JobAnswer", 202},
    {"post", "/api/v1/datasets/{dataset}/upload", "Further rows, as a file", "bytes", "JobAnswer", 202},
    {"post", "/api/v1/ingest", "Read a source's own file again", "IngestRequest", "JobAnswer", 202},
    {"get", "/api/v1/jobs/{job}", "A job's state, progress and result", "", "JobState"},
    {"post", "/api/v1/train", "Train a candidate now", "TrainRequest", "JobAnswer", 202},
    {"get", "/api/v1/runs", "Runs, newest first", "", "RunList"},
    {"get", "/api/v1/runs/{run}", "One run", "", "Run"},
    {"get", "/api/v1/runs/{run}/metrics", "Its metrics over steps", "", "MetricHistory"},
    {"get", "/api/v1/runs/{run}/logs", "What it printed", "", ""},
    {"post", "/api/v1/runs/{run}/cancel", "Stop it", "Empty", "Empty"},
    {"post", "/api/v1/runs/{run}/resume", "Go on from its last checkpoint, as a new run", "Empty", "JobAnswer", 202},
    {"post", "/api/v1/runs/{run}/repeat", "The same plan and rows again, as a new run", "Empty", "JobAnswer", 202},
    {"get", "/api/v1/runs/{run}/diff", "What differs from run `with`", "", "Difference"},
    {"get", "/api/v1/runs/{run}/follow", "Its progress until it ends: a RunProgress per line", "", ""},
    {"get", "/api/v1/runs/{run}/logs/follow", "What it prints, until it ends", "", ""},
    {"get", "/api/v1/models", "Registered models", "", "ModelList"},
    {"get", "/api/v1/models/{model}",
     "One model with its versions and alias history, newest first, `limit` of each after `offset`, as of `at`", "",
     "Model"},
    {"get", "/api/v1/models/{model}/examples",
     "Rows to try it with, made up: what its answers are proven on at each load", "", "ModelExamples"},
    {"get", "/api/v1/models/{model}/versions/{version}", "Gates, metrics, lineage; verdict and aliases as of `at`", "",
     "ModelVersion"},
    {"get", "/api/v1/models/{model}/versions/{version}/diff", "What differs from version `with`", "", "Difference"},
    {"get", "/api/v1/models/{model}/versions/{version}/export",
     "Its archive, or with `format` the model as onnx, ubj, xgboost-json, or its manifest", "", ""},
    {"post", "/api/v1/models/{model}/versions/{version}/batch",
     "Its answers for all rows of a dataset version, as a job; the result is a BatchAnswer", "BatchRequest",
     "JobAnswer", 202},
    {"post", "/api/v1/models/{model}/versions/{version}/batch/upload",
     "The same for a file: CSV, Parquet or Arrow, plain or gzip, called `name`; `format` csv or parquet", "bytes",
     "JobAnswer", 202},
    {"get", "/api/v1/batches", "The project's [batch.NAME]: when each is due next, and its last runs", "", "BatchList"},
    {"post", "/api/v1/batches/{batch}/run", "Start one now; the answer of one that is unfinished is its job", "Empty",
     "JobAnswer", 202},
    {"post", "/api/v1/models/{model}/import", "A candidate from an archive: proven, measured and judged, as a run",
     "bytes", "JobAnswer", 202},
    {"get", "/api/v1/models/{model}/releases",
     "How versions came to serve, newest first; `limit` (100; at most 1000) of "
     "them after `offset`",
     "", "ReleaseList"},
    {"post", "/api/v1/models/{model}/promote", "Let a version answer", "PromoteRequest", "MoveAnswer"},
    {"post", "/api/v1/models/{model}/rollback", "Let the previous version answer again", "AcceptRequest", "MoveAnswer"},
    {"post", "/api/v1/models/{model}/versions/{version}/rebuild", "Train it again and compare the bytes", "Empty",
     "RebuildAnswer", 202},
    {"post", "/api/v1/gc", "Remove what no record needs, or say what would go", "GcRequest", "GcAnswer"},
    {"get", "/api/v1/models/{model}/label-queue", "Predictions worth a label", "", "LabelQueue"},
    {"get", "/api/v1/predictions/{prediction}", "Why it came out as it did", "", "Why"},
    {"post", "/api/v1/jobs/claim", "For workers: the next job", "ClaimRequest", "ClaimAnswer"},
    {"post", "/api/v1/jobs/{job}/heartbeat", "For workers: a sign of life", "HeartbeatRequest", "HeartbeatAnswer"},
    {"post", "/api/v1/jobs/{job}/end", "For workers: result, failure, or given back", "EndRequest", "Empty"},
    {"get", "/api/v1/tokens", "Named tokens, newest first, revoked ones too", "", "TokenList"},
    {"post", "/api/v1/tokens", "Make a token; the answer alone has it", "TokenRequest", "NewToken", 201},
    {"post", "/api/v1/tokens/{token}/revoke", "From now on it opens nothing", "Empty", "TokenInfo"},
    {"get", "/api/v1/predictors", "Predictors on other machines: what they serve, and who is behind", "",
     "PredictorList"},
    {"get", "/api/v1/predictors/{predictor}/wish",
     "For predictors: what is to be served; answers when that is another wish than number `known` with digest "
     "`digest`, "
     "or after `wait` seconds",
     "", "Wish"},
    {"get", "/api/v1/artifacts/{digest}", "For predictors: the archive of a version that is to be served", "", ""},
    {"post", "/api/v1/predictors/{predictor}/report", "For predictors: what it serves, and how it is",
     "PredictorReport", "Empty"},
    {"get", "/api/v1/predictors/{predictor}/log/{segment}",
     "For predictors: how far a segment of its prediction log is taken", "", "LogTaken"},
    {"post", "/api/v1/predictors/{predictor}/log/{segment}",
     "For predictors: what stands in it from `from` to `to`, with the body's `sha256`; taken once", "bytes",
     "LogTaken"},
    {"post", "/predict/{model}", "Predict one row or many", "rows", ""},
    {"post", "/labels/{model}", "True labels, a list", "Labels", "LabelsAnswer"},
});

std::map<std::string, std::string> schemas() {
  std::map<std::string, std::string> all;
  auto add = [&]<class T>(const char* name, T*) {
    auto text = schema<T>();
    // References inside are relative to the schema itself: it gets an id of its own (JSON Schema 2020-12, 8.2.1).
    all[name] = std::format("{{\"$id\":\"urn:millrace:{}\",{}", name, text.substr(1));
  };
#define MILLRACE_SCHEMA(T) add(#T, static_cast<T*>(nullptr))
  MILLRACE_SCHEMA(ErrorAnswer);
  MILLRACE_SCHEMA(Status);
  MILLRACE_SCHEMA(ApplyRequest);
  MILLRACE_SCHEMA(ApplyAnswer);
  MILLRACE_SCHEMA(LoopAnswer);
  MILLRACE_SCHEMA(JobAnswer);
  MILLRACE_SCHEMA(JobState);
  MILLRACE_SCHEMA(Empty);
  MILLRACE_SCHEMA(DatasetVersion);
  MILLRACE_SCHEMA(DatasetList);
  MILLRACE_SCHEMA(AcceptRequest);
  MILLRACE_SCHEMA(QueryRequest);
  MILLRACE_SCHEMA(QueryAnswer);
  MILLRACE_SCHEMA(DiffAnswer);
  MILLRACE_SCHEMA(BatchRequest);
  MILLRACE_SCHEMA(BatchAnswer);
  MILLRACE_SCHEMA(BatchList);
  MILLRACE_SCHEMA(CheckoutRequest);
  MILLRACE_SCHEMA(CheckoutAnswer);
  MILLRACE_SCHEMA(CheckAnswer);
  MILLRACE_SCHEMA(IngestRequest);
  MILLRACE_SCHEMA(LabelsAnswer);
  MILLRACE_SCHEMA(LabelQueue);
  MILLRACE_SCHEMA(Why);
  MILLRACE_SCHEMA(TrainRequest);
  MILLRACE_SCHEMA(Run);
  MILLRACE_SCHEMA(RunList);
  MILLRACE_SCHEMA(MetricHistory);
  MILLRACE_SCHEMA(RunProgress);
  MILLRACE_SCHEMA(Difference);
  MILLRACE_SCHEMA(ModelVersion);
  MILLRACE_SCHEMA(Model);
  MILLRACE_SCHEMA(ModelList);
  MILLRACE_SCHEMA(ModelExamples);
  MILLRACE_SCHEMA(ReleaseList);
  MILLRACE_SCHEMA(PromoteRequest);
  MILLRACE_SCHEMA(MoveAnswer);
  MILLRACE_SCHEMA(RebuildAnswer);
  MILLRACE_SCHEMA(GcRequest);
  MILLRACE_SCHEMA(GcAnswer);
  MILLRACE_SCHEMA(ClaimRequest);
  MILLRACE_SCHEMA(ClaimAnswer);
  MILLRACE_SCHEMA(HeartbeatRequest);
  MILLRACE_SCHEMA(HeartbeatAnswer);
  MILLRACE_SCHEMA(EndRequest);
  MILLRACE_SCHEMA(TokenRequest);
  MILLRACE_SCHEMA(NewToken);
  MILLRACE_SCHEMA(TokenInfo);
  MILLRACE_SCHEMA(TokenList);
  MILLRACE_SCHEMA(Wish);
  MILLRACE_SCHEMA(PredictorReport);
  MILLRACE_SCHEMA(PredictorList);
  MILLRACE_SCHEMA(LogTaken);
#undef MILLRACE_SCHEMA
  add("Labels", static_cast<std::vector<Label>*>(nullptr));
  return all;
}

std::string body(std::string_view schema, std::string_view type = "application/json") {
  return std::format(
      R"("content":{{"{}":{{"schema":{}}}}})", type,
      schema.empty() ? std::string("{}") : std::format(R"({{"$ref":"#/components/schemas/{}"}})", schema));
}

std::string render(const Operation& one) {
  std::string parameters;
  for (auto at = one.path.find('{'); at != std::string_view::npos; at = one.path.find('{', at + 1)) {
    auto name = one.path.substr(at + 1, one.path.find('}', at) - at - 1);
    parameters += std::format(R"({}{{"name":"{}","in":"path","required":true,"schema":{{"type":"string"}}}})",
                              parameters.empty() ? "" : ",", name);
  }
  std::string out = std::format(R"("{}":{{"summary":"{}","parameters":[{}],)", one.method, one.summary, parameters);
  if (one.request == "bytes") {
    out += R"("requestBody":{"required":true,)" + body("", "application/octet-stream") + "},";
  } else if (one.request == "rows") {
    out += R"("requestBody":{"required":true,)" + body("") + "},";
  } else if (!one.request.empty()) {
    out += R"("requestBody":{"required":true,)" + body(one.request) + "},";
  }
  out += std::format(R"("responses":{{"{}":{{"description":"ok",{}}},"default":{{"description":"an error",{}}}}}}})",
                     one.status,
                     one.answer.empty() ? body("", one.path.starts_with("/predict") ? "application/json" : "text/plain")
                                        : body(one.answer),
                     body("ErrorAnswer"));
  return out;
}

}  // namespace

std::string openapi(const std::string& version) {
  std::string out =
      std::format(R"({{"openapi":"3.1.0","info":{{"title":"Millrace native API","version":"{}"}},"paths":{{)", version);
  std::string paths;
  std::map<std::string_view, std::string> by_path;
  std::vector<std::string_view> order;
  for (const auto& one : operations) {
    auto& text = by_path[one.path];
    if (text.empty()) order.push_back(one.path);
    text += (text.empty() ? "" : ",") + render(one);
  }
  for (auto path : order) paths += std::format("{}\"{}\":{{{}}}", paths.empty() ? "" : ",\n", path, by_path[path]);
  out += paths + "},\n\"components\":{\"schemas\":{";
  std::string components;
  for (const auto& [name, schema] : schemas())
    components += std::format("{}\"{}\":{}", components.empty() ? "" : ",\n", name, schema);
  return out + components + "}}}\n";
}

}  // namespace millrace::api
