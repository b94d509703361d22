// models gc, diff, export, import.
#include <filesystem>
#include <format>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/print.hpp"

namespace millrace::cli {

Result<Output> models_gc(Client& client, bool dry_run, bool json) {
  TRY(auto answer, (client.post<api::GcAnswer>("/api/v1/gc", api::GcRequest{dry_run})));
  if (json) return Output{api::render(answer) + "\n"};
  std::string out, let_go;
  for (const auto& name : answer.versions_let_go) let_go += (let_go.empty() ? "" : ", ") + name;
  auto line = [&](std::int64_t count, std::string_view what, const std::string& more = "") {
    if (count > 0) out += std::format("  {:>8}  {}{}\n", with_thousands(count), what, more);
  };
  auto gone = answer.blobs + answer.uploads + answer.quarantined + answer.jobs + answer.outputs + answer.scratch +
              static_cast<std::int64_t>(answer.versions_let_go.size());
  out += gone == 0 ? "nothing to remove\n"
                   : std::format("{} {}\n", answer.dry_run ? "would free" : "freed", format_size(answer.bytes));
  line(static_cast<std::int64_t>(answer.versions_let_go.size()), "versions let go by [retention] models: ", let_go);
  line(answer.blobs, "blobs that no record needs");
  line(answer.uploads, "abandoned uploads");
  line(answer.quarantined, "damaged blobs in quarantine, past their time");
  line(answer.jobs, "jobs that were over long ago, with their history");
  line(answer.outputs, "files with what such jobs printed");
  line(answer.scratch, "scratch folders that nobody works in");
  if (!answer.kept.empty()) out += "kept\n";
  for (const auto& kept : answer.kept)
    out += std::format("  {:>8}  {:>10}  {}\n", with_thousands(kept.blobs), format_size(kept.bytes), kept.why);
  if (answer.dry_run && gone > 0) out += "nothing was changed; to do it: millrace models gc\n";
  return Output{out, gone == 0 ? 4 : 0};
}

std::string difference_text(const api::Difference& difference) {
  if (difference.lines.empty()) return std::format("{} and {} do not differ\n", difference.one, difference.other);
  Table table({"", "what", difference.one, difference.other});
  std::string section;
  for (const auto& line : difference.lines) {
    auto cut = [](const std::string& text) { return text.size() > 60 ? text.substr(0, 57) + "..." : text; };
    table.add({line.section == section ? "" : line.section, line.name, cut(line.before), cut(line.after)});
    section = line.section;
  }
  return table.text();
}

Result<Output> models_diff(Client& client, const std::string& one, const std::string& other, bool json) {
  TRY(auto a, split_name(client, one));
  TRY(auto b, split_name(client, other));
  TRY(auto answer,
      client.get<api::Difference>(std::format("/api/v1/models/{}/versions/{}/diff?with={}", percent_encoded(a.model),
                                              a.number, percent_encoded(b.model + ":" + b.number))));
  if (json) return Output{api::render(answer) + "\n"};
  return Output{difference_text(answer)};
}

namespace {

// "churn-3.manifest.json" of "churn-3.json".
std::string manifest_beside(const std::string& file) {
  return std::filesystem::path(file).replace_extension("manifest.json").string();
}

}  // namespace

Result<Output> models_export(Client& client, const std::string& version, const std::string& file,
                             const std::string& format, bool force, bool json) {
  TRY_VOID(client.may_write(file, force));
  const auto manifest = format == "ubj" || format == "xgboost-json" ? manifest_beside(file) : "";
  if (!manifest.empty()) TRY_VOID(client.may_write(manifest, force));
  TRY(auto name, split_name(client, version));
  const auto fetch = [&](std::string_view form, const std::string& to) {
    return client.download(std::format("/api/v1/models/{}/versions/{}/export?format={}", percent_encoded(name.model),
                                       name.number, percent_encoded(form)),
                           to, force);
  };
  TRY(auto bytes, fetch(format, file));
  if (!manifest.empty()) TRY_VOID(fetch("manifest", manifest));
  if (json) return Output{std::format("{{\"bytes\":{}}}\n", bytes)};
  return Output{std::format("{}: {}:{} as {}, {}\n{}", file, name.model, name.number, format,
                            format_size(static_cast<std::int64_t>(bytes)),
                            manifest.empty() ? "" : std::format("{}: how columns become its features\n", manifest))};
}

Result<Output> models_import(Client& client, const std::string& file, const std::string& model, const Waiting& waiting,
                             bool json) {
  auto name = model;
  if (name.empty()) {
    TRY(auto status, client.get<api::Status>("/api/v1/status"));
    name = status.project;
  }
  TRY(auto body, client.upload("/api/v1/models/" + percent_encoded(name) +
                                   "/import?name=" + percent_encoded(file.substr(file.rfind('/') + 1)),
                               file));
  TRY(auto job, api::parse<api::JobAnswer>(body));
  if (waiting.detach) return Output{json ? api::render(job) + "\n" : "run " + job.run + "\n"};
  auto quiet = waiting;
  if (json) quiet.progress = {};
  TRY(auto shown, runs_follow(client, job.run, quiet, {}, false));
  if (!json) return shown;
  TRY(auto run, client.get<api::Run>("/api/v1/runs/" + percent_encoded(job.run)));
  return Output{api::render(run) + "\n", shown.exit_code};
}

}  // namespace millrace::cli
