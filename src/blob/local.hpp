// Blobs in a local folder:
//   objects/ab/abcdef...   header, then the plain bytes; the name is the digest of the plain bytes
//   tmp/ID.part            uploads in progress
//   pins/abcdef...         protects that blob while this file is younger than the grace
//   trash/                 what a collection is about to remove, for an instant; put back after a crash
//   quarantine/            damaged blobs, each with a note beside it (.txt)
//   gc.lock                held by the collection that runs
#pragma once

#include <memory>
#include <string>

#include "base/env.hpp"
#include "blob/blob.hpp"

namespace millrace::blob {

struct LocalConfig {
  std::string dir;          // made when missing
  KeyRing* keys = nullptr;  // none: every sealed blob is refused
  bool forget_keys =
      false;  // a collection lets go of the keys of what it removes; not where other folders' keys are too
  Duration quarantine_keep = std::chrono::days(30);  // how long collect_garbage leaves damaged blobs in the quarantine
};

// Any number of processes may open the same folder.
Result<std::unique_ptr<Store>> open_local(Env env, LocalConfig config);

}  // namespace millrace::blob
