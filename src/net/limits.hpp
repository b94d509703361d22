// The server's limits as text, and as what the open files of the process leave.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.hpp"
#include "net/server.hpp"

namespace millrace::net {

// "idle=2s,head=2s,body=2s,connections=64": any of them, the rest stays. `body` is the time that a body has for free.
// invalid_argument `net.bad_limits`. Pure.
Result<void> set_limits(std::string_view text, Config& config);

// As many connections, and files sent at once, as `files_open_max` descriptors leave beside what the server needs for
// itself (records, log, queue, models, jobs); never more than before, and a few in any case. Pure.
void fit_open_files(std::uint64_t files_open_max, Config& config);

}  // namespace millrace::net
