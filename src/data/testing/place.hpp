// A task, a blob store and short ways to ingest, for tests of what works on datasets.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/task.hpp"
#include "base/testing/env.hpp"
#include "blob/testing/memory.hpp"
#include "data/ingest.hpp"

namespace millrace::data::testing {

struct Place {
  TestEnv t;
  blob::MemoryStore blobs{t.clock};
  std::vector<TaskProgress> progress;
  bool stop = false;
  Task task{t.env, t.dir, [this](const TaskProgress& p) { progress.push_back(p); }, [this] { return stop; }};

  // Writes the text to a file of that name and ingests it.
  Result<IngestOutput> ingest_text(const std::string& name, const std::string& text, IngestInput input = {});
};

// The folder of shared data files; empty when $MILLRACE_SHARED is not set (skip the test then).
std::string shared_dir();

// The column's part of a result; aborts when there is none.
const ColumnProfile& profile_of(const Analysis& analysis, const std::string& column);
const InputColumn& role_of(const Inference& inference, const std::string& column);

}  // namespace millrace::data::testing
