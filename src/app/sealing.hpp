// The master key of sealed blobs on its way to the processes that read and write them: by the path of its file, in the
// environment. The key itself is on no command line, in no file of the data folder and in no message.
#pragma once

#include <memory>
#include <string>

#include "base/env.hpp"
#include "base/result.hpp"
#include "blob/keys.hpp"

namespace millrace::app {

inline constexpr const char* master_key_variable = "MILLRACE_MASTER_KEY";

// What that variable names; "" when it is not set.
std::string master_key_from_environment();

// The keys of a data folder. `master_key` "": without one. Errors: those of blob::read_master_key, and
// failed_precondition `blob.other_master_key` where it opens none of the keys that are there.
Result<std::unique_ptr<blob::Keys>> open_keys(const std::string& data_dir, const std::string& master_key, Env& env);

}  // namespace millrace::app
