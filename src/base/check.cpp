#include "base/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace millrace {

void broken(std::string_view message, std::source_location where) {
  std::fprintf(stderr, "%s:%u: broken invariant: %.*s\n", where.file_name(), where.line(),
               static_cast<int>(message.size()), message.data());
  std::abort();
}

}  // namespace millrace
