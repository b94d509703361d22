#include "net/status_internal.hpp"

namespace millrace::net {

namespace {
struct Row {
  int status;
  std::string_view name;
};
// google/rpc/code.proto's own mapping, by number.
constexpr Row rows[] = {{200, "ok"},
                        {499, "cancelled"},
                        {500, "unknown"},
                        {400, "invalid_argument"},
                        {504, "deadline_exceeded"},
                        {404, "not_found"},
                        {409, "already_exists"},
                        {403, "permission_denied"},
                        {429, "resource_exhausted"},
                        {400, "failed_precondition"},
                        {409, "aborted"},
                        {400, "out_of_range"},
                        {501, "unimplemented"},
                        {500, "internal"},
                        {503, "unavailable"},
                        {500, "data_loss"},
                        {401, "unauthenticated"}};
}  // namespace

int http_status(Code code) { return rows[static_cast<int>(code)].status; }
std::string_view code_name(Code code) { return rows[static_cast<int>(code)].name; }

}  // namespace millrace::net
