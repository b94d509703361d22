#include "data/testing/place.hpp"

#include <cstdio>
#include <cstdlib>

namespace millrace::data::testing {

Result<IngestOutput> Place::ingest_text(const std::string& name, const std::string& text, IngestInput input) {
  TRY_VOID(write_file(t.env.fs, t.path(name), text));
  input.path = t.path(name);
  return ingest(task, blobs, input);
}

std::string shared_dir() {
  const char* dir = std::getenv("MILLRACE_SHARED");
  return dir ? dir : "";
}

const ColumnProfile& profile_of(const Analysis& analysis, const std::string& column) {
  for (const ColumnProfile& c : analysis.columns) {
    if (c.name == column) return c;
  }
  std::fprintf(stderr, "no profile of %s\n", column.c_str());
  std::abort();
}

const InputColumn& role_of(const Inference& inference, const std::string& column) {
  for (const InputColumn& c : inference.columns) {
    if (c.name == column) return c;
  }
  std::fprintf(stderr, "no role of %s\n", column.c_str());
  std::abort();
}

}  // namespace millrace::data::testing
