// From the domain's types to the wire's. Pure.
#pragma once

#include "api/native/wire.hpp"
#include "base/result.hpp"
#include "data/records.hpp"
#include "flow/jobs.hpp"
#include "flow/window.hpp"
#include "loop/service.hpp"
#include "registry/registry.hpp"
#include "track/track.hpp"

namespace millrace::api {

DatasetVersion to_wire(const data::DatasetVersion& version, bool whole);  // whole: columns and checks too
Result<ModelVersion> to_wire(const registry::ModelVersion& version, bool whole);
AliasMove to_wire(const registry::AliasMove& move);
JobState to_wire(const flow::Job& job);
Result<Run> to_wire(const track::Run& run, const std::vector<track::MetricPoint>& metrics,
                    const std::vector<flow::JobEvent>& events);
std::vector<label::RawLabel> from_wire(const std::vector<Label>& labels);
// What an automatic step is, by the project file and the hours that are quiet.
LoopAnswer loop_of(const loop::Project& project, const flow::QuietHours& quiet = {});
std::string age_text(Duration age);  // "3h", "2d"

}  // namespace millrace::api
