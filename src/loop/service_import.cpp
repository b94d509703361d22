// A version that comes as a file: proven, measured and judged like any candidate; nothing is trained.
#include <format>

#include "base/digest.hpp"
#include "base/log.hpp"
#include "loop/import.hpp"
#include "loop/service.hpp"
#include "model/artifact.hpp"

namespace millrace::loop {

namespace {

constexpr std::uint64_t archive_bytes_max = std::uint64_t{1} << 32;

flow::Pipeline import_pipeline() {
  return {"import", {{.name = "evaluate", .kind = std::string(job_kind::evaluate), .reusable = false, .priority = 5}}};
}

}  // namespace

Result<std::string> Service::import_model(const std::string& name, const Digest& blob, const std::string& file,
                                          const std::string& by) {
  auto project = this->project();
  if (!project || project->name != name) {
    return millrace::fail(
        Code::not_found, "loop.no_model",
        std::format("there is no model '{}' here; there is: {}", name, project ? project->name : "none"));
  }
  TRY(auto bytes, blobs_.read(blob, archive_bytes_max));
  auto archive = model::read_artifact(bytes);
  if (!archive) {
    // Whatever is wrong with it, it is the sender's file and not ours.
    return millrace::fail(Code::invalid_argument, archive.error().reason,
                          std::format("{} is no model archive that this server can take: {}; export one with: millrace "
                                      "models export NAME:N --to FILE",
                                      file, archive.error().message));
  }
  const auto& source = project->model.target.source;
  RunPlan plan;
  plan.run = ids_.make().text();
  plan.rule = "import";
  plan.cause = std::format("imported by {}: {}", by, file);
  plan.imported = file;
  TrainResult stands_for;  // what a training would have left
  stands_for.artifact = {blob.hex(), static_cast<std::int64_t>(bytes.size())};
  auto now = env_.clock.now();
  TRY_VOID(store_.write([&](meta::Tx& tx) -> Result<void> {
    TRY(auto version, data::newest_usable(tx, source));
    if (!version) {
      return millrace::fail(
          Code::failed_precondition, "loop.no_data",
          std::format("source '{}' has no dataset version to measure it on; see: millrace data ls", source));
    }
    auto baseline = registry::get_version(tx, name, 0);
    if (!baseline || !baseline->bytes_kept) {
      return millrace::fail(Code::failed_precondition, "loop.no_baseline",
                            "there is no baseline to compare it with: the first training makes one: millrace train");
    }
    stands_for.baseline = {baseline->artifact, baseline->bytes};
    TRY(auto model, plan_model(*project, version->content.analysis.inference));
    TRY(model,
        adopt(archive->manifest, std::move(model), version->content.schema, sensitive_columns(*project, source)));
    plan.gates = plan_gates(*project, model.task);
    plan.model_digest = model_digest(*project).hex();
    TRY(auto stored, newest_project(tx));
    plan.project_number = stored ? stored->number : 0;
    plan.trained = render_job(stands_for);
    auto& train = plan.train;
    train.run = plan.run;
    train.rows.dataset = source;
    train.rows.version = version->number;
    train.rows.parts = version->content.parts;
    train.rows.schema = version->content.schema;
    train.rows.split = plan_split(*project, model);
    train.model = std::move(model);
    // What the archive says of itself.
    const auto& origin = archive->manifest.provenance;
    train.trainer = origin.trainer;
    train.parameters = origin.parameters;
    train.seed = origin.seed;
    train.threads = origin.nthread;
    train.data_digest = origin.data;
    train.project_digest = project_digest(*project).hex();
    train.created = origin.created;

    track::Run run;
    run.id = plan.run;
    run.project = project->name;
    run.kind = "import";
    run.cause = plan.cause;
    run.params = "{}";
    run.inputs = render_job(train.rows);
    run.created = now;
    run.started = now;
    run.state = track::RunState::running;
    TRY_VOID(track::create_run(tx, run));
    TRY_VOID(add_training(
        tx, {plan.run, version->number, version->rows, 0, 0, plan.model_digest, render_plan(plan), false, now}));
    TRY_VOID(pipelines_.start(tx, import_pipeline(), {plan.run, "{}", plan.cause}));
    return {};
  }));
  env_.log.info("model_import", {{"run", plan.run}, {"model", name}, {"file", file}, {"by", by}});
  TRY_VOID(pipelines_.advance_all());
  changed();
  return plan.run;
}

}  // namespace millrace::loop
