// From the domain's types to the wire's. Pure.
#pragma once

#include <functional>

#include "api/native/wire.hpp"
#include "base/result.hpp"
#include "data/checkout.hpp"
#include "data/mask.hpp"
#include "data/records.hpp"
#include "flow/jobs.hpp"
#include "flow/window.hpp"
#include "loop/service.hpp"
#include "registry/registry.hpp"
#include "track/track.hpp"

namespace millrace::api {

// whole: columns and checks too, without values of the `hidden` columns.
DatasetVersion to_wire(const data::DatasetVersion& version, bool whole, const data::ColumnNames& hidden = {});
CheckAnswer to_wire(const data::CheckReport& report);
Result<ModelVersion> to_wire(const registry::ModelVersion& version, bool whole);
// What a run or version was made of.
std::map<std::string, std::string> lineage_of(const loop::RunPlan& plan);
GcAnswer to_wire(const loop::GarbageReport& report);
AliasMove to_wire(const registry::AliasMove& move);
// `hidden` by dataset: what a job found out is shown without values of those columns.
using HiddenColumns = std::function<data::ColumnNames(const std::string& dataset)>;
JobState to_wire(const flow::Job& job, const HiddenColumns& hidden = {});
// `plan`: what the run decided when it started; nullptr where its data and code are not asked for.
// The parts of a run's failure; nothing where it is empty, or names no cause.
std::optional<Fault> fault_of(std::string_view failure);
Result<Run> to_wire(const track::Run& run, const std::vector<track::MetricPoint>& metrics,
                    const std::vector<flow::JobEvent>& events, const loop::RunPlan* plan = nullptr);
std::vector<label::RawLabel> from_wire(const std::vector<Label>& labels);
// What an automatic step is, by the project file and the hours that are quiet.
LoopAnswer loop_of(const loop::Project& project, const flow::QuietHours& quiet = {});
std::string age_text(Duration age);  // "3h", "2d"

}  // namespace millrace::api
