// Named tokens, as records. Every function runs in the caller's transaction; what changes emits `access.token` there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/result.hpp"
#include "meta/meta.hpp"

namespace millrace::access {

struct Token {
  std::int64_t number = 0;
  std::string name;
  Digest digest;                    // SHA-256 of the token, which is nowhere
  std::vector<std::string> rights;  // at least one
  TimePoint made{};
  std::string made_by;
  std::optional<TimePoint> revoked;
  std::string revoked_by;
  bool live() const { return !revoked; }
};

std::vector<meta::Migration> migrations();

// Its number. invalid_argument `access.bad_name`: 1 to 64 of letters, digits, '.', '_' and '-'. already_exists
// `access.name_taken`: a live token has the name.
Result<std::int64_t> add_token(meta::Tx& tx, const Token& token);
// The token as it was. not_found `access.no_token`, with the nearest name.
Result<Token> revoke_token(meta::Tx& tx, std::string_view name, TimePoint now, const std::string& by);
// Newest first.
Result<std::vector<Token>> list_tokens(meta::Reader& reader, bool only_live);

}  // namespace millrace::access
