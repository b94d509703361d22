// What code a run was started with: the project file, the files that its command names, and the git folder's state, all
// kept by digest. The plan of the run names the digests, and so keeps the blobs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/process.hpp"
#include "blob/blob.hpp"
#include "loop/project.hpp"
#include "train/kept_file.hpp"

namespace millrace::loop {

struct CodeCopy {
  std::string project_file;  // blob: the file as it was applied; the completed one is the blob project_digest
  std::string git_commit;    // empty outside of a git folder
  std::string git_diff;      // blob: tracked files against that commit; empty: no difference, or see git_note
  std::int64_t git_diff_bytes = 0;
  std::string git_note;  // why there is no commit or diff, where there should be
};

// The commit and the difference to it, from the program git with a deadline; without git, or outside of a git folder,
// nothing. Never fails: what went wrong is in git_note. `scratch`: a folder that may be made.
void copy_git(Env& env, blob::Store& blobs, Processes& processes, const std::string& folder, const std::string& scratch,
              CodeCopy& copy);

// The project's text, as applied and completed. What the store says.
Result<CodeCopy> copy_project(blob::Store& blobs, std::string_view text, const Project& project);

}  // namespace millrace::loop
