// SQL texts and events, checked as texts: pure helpers that every backend uses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace::meta {

// Cuts at each ';' outside of quotes and "--" comments; comments and empty statements are dropped.
std::vector<std::string> split_statements(std::string_view sql);

// invalid_argument `meta.not_portable` when the text uses what only SQLite knows, or `meta.bad_sql` when it is not
// exactly one statement.
Result<void> check_statement(std::string_view sql);

// invalid_argument `meta.bad_event` for what no queue would take: it would stand in the outbox for ever.
Result<void> check_event(const Event& event);

}  // namespace millrace::meta
