#include "access/tokens.hpp"

#include <algorithm>
#include <format>

#include "base/json.hpp"
#include "base/nearest.hpp"

namespace millrace::access {

std::vector<meta::Migration> migrations() {
  return {{"access", 1, R"sql(
CREATE TABLE access_tokens (
  number BIGINT PRIMARY KEY,
  name TEXT NOT NULL,
  digest TEXT NOT NULL UNIQUE,
  rights TEXT NOT NULL,
  made_us BIGINT NOT NULL,
  made_by TEXT NOT NULL,
  revoked_us BIGINT,
  revoked_by TEXT NOT NULL
);
CREATE INDEX access_tokens_by_name ON access_tokens (name, revoked_us);
)sql"}};
}

namespace {

bool good_name(std::string_view name) {
  constexpr std::size_t bytes_max = 64;
  return !name.empty() && name.size() <= bytes_max && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

Result<Token> token_from(const meta::Row& row) {
  Token out;
  out.number = row.integer(0);
  out.name = row.text(1);
  TRY(out.digest, Digest::parse(row.text(2)));
  TRY(out.rights, json::parse<std::vector<std::string>>(row.text(3), "a token's rights"));
  out.made = row.time(4);
  out.made_by = row.text(5);
  out.revoked = row.maybe_time(6);
  out.revoked_by = row.text(7);
  return out;
}

Result<void> emit_token(meta::Tx& tx, const std::string& name, std::string_view what) {
  return tx.emit({"access.token", name, std::format(R"({{"name":"{}","what":"{}"}})", name, what)});
}

}  // namespace

Result<std::int64_t> add_token(meta::Tx& tx, const Token& token) {
  if (!good_name(token.name))
    return fail(Code::invalid_argument, "access.bad_name",
                "a token's name has 1 to 64 letters, digits, '.', '_' or '-', as in grafana or web-shop");
  TRY(const auto live, list_tokens(tx, true));
  if (std::ranges::find(live, token.name, &Token::name) != live.end())
    return fail(Code::already_exists, "access.name_taken",
                std::format("there is a token '{}' already; take another name, or revoke that one first: millrace "
                            "tokens revoke {}",
                            token.name, token.name));
  TRY(const auto last, tx.query_one("SELECT COALESCE(MAX(number), 0) FROM access_tokens"));
  const auto number = last->integer(0) + 1;
  TRY_VOID(tx.exec(
      "INSERT INTO access_tokens (number, name, digest, rights, made_us, made_by, revoked_by) VALUES ($1, "
      "$2, $3, $4, $5, $6, '')",
      {number, token.name, token.digest.hex(), json::render(token.rights), meta::value(token.made), token.made_by}));
  TRY_VOID(emit_token(tx, token.name, "made"));
  return number;
}

Result<Token> revoke_token(meta::Tx& tx, std::string_view name, TimePoint now, const std::string& by) {
  TRY(const auto live, list_tokens(tx, true));
  const auto found = std::ranges::find(live, name, &Token::name);
  if (found == live.end()) {
    std::vector<std::string> names;
    for (const auto& token : live) names.push_back(token.name);
    const auto near = nearest(name, names);
    return fail(Code::not_found, "access.no_token",
                std::format("there is no token '{}' that counts{}; see: millrace tokens list", name,
                            near.empty() ? "" : ", did you mean '" + near + "'?"));
  }
  TRY_VOID(tx.exec("UPDATE access_tokens SET revoked_us = $1, revoked_by = $2 WHERE number = $3",
                   {meta::value(now), by, found->number}));
  TRY_VOID(emit_token(tx, found->name, "revoked"));
  return *found;
}

Result<std::vector<Token>> list_tokens(meta::Reader& reader, bool only_live) {
  TRY(const auto rows, reader.query(std::format("SELECT number, name, digest, rights, made_us, made_by, revoked_us, "
                                                "revoked_by FROM access_tokens {} ORDER BY number DESC",
                                                only_live ? "WHERE revoked_us IS NULL" : "")));
  std::vector<Token> out;
  for (const auto& row : rows) {
    TRY(auto token, token_from(row));
    out.push_back(std::move(token));
  }
  return out;
}

}  // namespace millrace::access
