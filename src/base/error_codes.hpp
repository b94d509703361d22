// What a Code means outside: the one table of names, HTTP status and exit status.
#pragma once

#include <optional>
#include <string_view>

#include "base/result.hpp"

namespace millrace {

// Exit status of a command. Errors are 1, but for a few that scripts tell apart.
namespace exit_status {
inline constexpr int ok = 0;
inline constexpr int error = 1;
inline constexpr int gate_failed = 2;           // a gate said no: the command decides, no Code means it
inline constexpr int waiting_for_approval = 3;  // likewise
inline constexpr int nothing_to_do = 4;         // likewise
inline constexpr int wrong_usage = 64;          // unknown command or option; a bad value of one
}  // namespace exit_status

std::string_view code_name(Code code);  // "invalid_argument"
std::optional<Code> code_from_name(std::string_view name);
int http_status(Code code);
// Of an error: its code's, but a full disk (every reason "*.disk_full") is 507, so that nobody takes it for a client
// that asks too often.
int http_status(const Error& error);
bool is_disk_full(const Error& error);
// The code that an HTTP answer from a server of ours or somebody else's stands for; ok for 2xx and 3xx.
Code code_from_http(int status);
// Of an error that ended a command; `reason` tells the special cases apart: "registry.gate_not_passed" and every other
// "*.gate_not_passed" is gate_failed, "*.waiting_for_approval" and "*.nothing_to_do" likewise, "cli.*" wrong usage.
int exit_code(const Error& error);

}  // namespace millrace
