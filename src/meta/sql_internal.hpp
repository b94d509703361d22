// SQL texts as texts: pure helpers that every backend uses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace millrace::meta {

// Cuts at each ';' outside of quotes and "--" comments; comments and empty statements are dropped.
std::vector<std::string> split_statements(std::string_view sql);

// invalid_argument `meta.not_portable` when the text uses what only SQLite knows, or `meta.bad_sql` when it is not
// exactly one statement.
Result<void> check_statement(std::string_view sql);

}  // namespace millrace::meta
