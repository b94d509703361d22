// `doctor`: looks at the data folder of a stopped server; each finding comes with the command that mends it.
#include <format>
#include <map>
#include <vector>

#include "app/local_commands.hpp"
#include "app/once_free.hpp"
#include "base/executor.hpp"
#include "base/fs.hpp"
#include "base/json.hpp"
#include "blob/local.hpp"
#include "loop/service.hpp"
#include "meta/sqlite.hpp"
#include "serve/prediction_log.hpp"

namespace millrace::app {

namespace {

struct Finding {
  std::string what;     // "part of people@1"
  std::string problem;  // what is wrong with it
  std::string mend;     // a command, or what to do where none helps
};
struct Report {
  std::vector<std::string> checked;  // what was looked at
  std::vector<Finding> findings;
  std::int64_t blobs = 0;
  std::int64_t predictions = 0;
};

// What a blob is for, as the records say it.
struct Use {
  std::string what;
  std::string mend;
};

std::string restore_line(const std::string& data_dir, const std::string& digest) {
  return std::format("put {}/blobs/objects/{}/{} back from a copy of the folder", data_dir, digest.substr(0, 2),
                     digest);
}

Result<std::map<std::string, Use>> uses_of_blobs(meta::Reader& reader, const std::string& data_dir) {
  std::map<std::string, Use> uses;
  TRY(auto parts, reader.query("SELECT p.digest, p.dataset, p.first_version, v.source_uri FROM data_parts p "
                               "JOIN data_versions v ON v.dataset = p.dataset AND v.number = p.first_version"));
  for (const auto& row : parts) {
    const auto dataset = row.text(1);
    const bool file = row.text(3).starts_with("file:");
    uses[row.text(0)] = {std::format("part of {}@{}", dataset, row.integer(2)),
                         file
                             ? std::format("millrace up, then: millrace ingest {}   ({} must still hold the same rows)",
                                           dataset, row.text(3))
                             : restore_line(data_dir, row.text(0))};
  }
  TRY(auto versions, reader.query("SELECT artifact, model, number FROM registry_versions WHERE bytes_kept = 1"));
  for (const auto& row : versions) {
    const auto model = row.text(1);
    const auto number = row.integer(2);
    uses[row.text(0)] =
        number == 0 ? Use{model + ":baseline", "millrace up, then: millrace train"}
                    : Use{std::format("{}:{}", model, number),
                          std::format("millrace up, then: millrace models rebuild {}:{} --verify", model, number)};
  }
  return uses;
}

void check_metadata(meta::Store& store, const std::string& data_dir, Report& report) {
  report.checked.emplace_back("metadata");
  if (auto whole = store.verify(); !whole) {
    report.findings.push_back(
        {"metadata", whole.error().message,
         std::format("put {0}/meta.db and meta.db-wal back from a copy of the folder; without one: sqlite3 {0}/meta.db "
                     ".recover | sqlite3 recovered.db, and look at what is left",
                     data_dir)});
  }
}

void check_blobs(blob::Store& blobs, const std::map<std::string, Use>& uses, Report& report) {
  report.checked.emplace_back("blobs: every digest matches");
  report.checked.emplace_back("references: every dataset part and every artifact is there");
  auto list = blobs.list();
  if (!list) {
    report.findings.push_back({"blobs", list.error().message, "look at the folder's rights and the disk"});
    return;
  }
  for (const auto& one : *list) {
    ++report.blobs;
    auto verified = blobs.verify(one.digest);
    if (verified || uses.contains(one.digest.hex())) continue;  // a damaged one that is used is missing now: below
    report.findings.push_back({"blob " + one.digest.hex(), verified.error().message,
                               "nothing needs it: it is set aside in blobs/quarantine and may be removed"});
  }
  for (const auto& [hex, use] : uses) {
    auto digest = Digest::parse(hex);
    auto there = digest ? blobs.stat(*digest) : Result<blob::BlobInfo>(fail(digest.error()));
    if (!there) report.findings.push_back({use.what, there.error().message, use.mend});
  }
}

void check_log(Fs& fs, const std::string& data_dir, Report& report) {
  report.checked.emplace_back("prediction log");
  const auto dir = join_path(data_dir, "log");
  auto stats = serve::read_prediction_log(fs, dir, [](const auto&, auto&&) -> Result<void> { return {}; });
  if (!stats) {
    report.findings.push_back(
        {"prediction log", stats.error().message, "look at the rights of " + dir + " and the disk"});
    return;
  }
  report.predictions = static_cast<std::int64_t>(stats->lines);
  if (stats->damaged == 0) return;
  report.findings.push_back(
      {"prediction log", std::format("{} damaged places; the lines around them are whole and are used", stats->damaged),
       std::format("put {} back from a copy of the folder; without one nothing needs to be done, what was lost is not "
                   "joined with labels",
                   dir)});
}

std::string text_of(const Report& report) {
  std::string text;
  for (const auto& what : report.checked) text += "looked at  " + what + "\n";
  for (const auto& finding : report.findings) {
    text += std::format("BROKEN     {}\n           {}\n  mend     {}\n", finding.what, finding.problem, finding.mend);
  }
  return text + std::format("{} blobs, {} predictions: {}\n", report.blobs, report.predictions,
                            report.findings.empty()       ? std::string("nothing to mend")
                            : report.findings.size() == 1 ? std::string("1 problem")
                                                          : std::format("{} problems", report.findings.size()));
}

}  // namespace

Result<cli::Output> doctor(const cli::DoctorOptions& options, Env& env) {
  if (!exists(env.fs, join_path(options.data_dir, "format"))) {
    return fail(Code::not_found, "cli.no_folder",
                std::format("{} is no data folder of Millrace; name one with --data-dir", options.data_dir));
  }
  Report report;
  InlineExecutor inline_executor;
  auto migrations = loop::all_migrations();
  TRY(auto store, once_free(options.data_dir, env, [&] {
        return meta::open_sqlite(env, {.folder = options.data_dir}, inline_executor, migrations);
      }));
  check_metadata(*store, options.data_dir, report);
  TRY(auto blobs, blob::open_local(env, {join_path(options.data_dir, "blobs")}));
  auto uses = store->read([&](meta::Reader& reader) { return uses_of_blobs(reader, options.data_dir); });
  if (!uses && report.findings.empty()) return fail(uses.error());
  check_blobs(*blobs, uses ? *uses : std::map<std::string, Use>{}, report);
  check_log(env.fs, options.data_dir, report);
  const int exit_code = report.findings.empty() ? 0 : 1;
  return cli::Output{options.json ? json::render(report) + "\n" : text_of(report), exit_code};
}

}  // namespace millrace::app
