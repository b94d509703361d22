// Named tokens.
#include "access/tokens.hpp"
#include "api/native/routes_internal.hpp"
#include "api/native/wire_tokens.hpp"

namespace millrace::api {

namespace {

TokenInfo token_to_wire(const access::Token& from) {
  return {.name = from.name,
          .rights = from.rights,
          .made = format_time(from.made),
          .made_by = from.made_by,
          .revoked = from.revoked ? format_time(*from.revoked) : "",
          .revoked_by = from.revoked_by};
}

Result<NewToken> make_token(Context& c, const Request& request) {
  TRY(const auto asked, parse<TokenRequest>(request.body));
  TRY(const auto rights, net::parse_rights(asked.rights));
  auto& env = c.service.env();
  const auto secret = net::make_token(env.rng);
  const access::Token token{.name = asked.name,
                            .digest = sha256(secret.reveal()),
                            .rights = rights.names(),
                            .made = env.clock.now(),
                            .made_by = person(request)};
  TRY_VOID(c.service.store().write([&](meta::Tx& tx) { return access::add_token(tx, token); }));
  TRY_VOID(look_at_tokens(c.service.store(), c.tokens));
  return NewToken{token.name, secret.reveal(), token.rights};
}

Result<TokenInfo> revoke_token(Context& c, const Request& request) {
  const auto now = c.service.env().clock.now();
  const auto& name = request.path_parameter("token");
  auto gone = c.service.store().write_urgent(
      [&](meta::Tx& tx) { return access::revoke_token(tx, name, now, person(request)); });
  // Also when the records knew it before: an earlier look may have failed.
  TRY_VOID(look_at_tokens(c.service.store(), c.tokens));
  if (!gone) return fail(std::move(gone).error());
  gone->revoked = now;
  gone->revoked_by = person(request);
  return token_to_wire(*gone);
}

Result<TokenList> token_list(Context& c) {
  return c.service.store().read([](meta::Reader& reader) -> Result<TokenList> {
    TRY(const auto tokens, access::list_tokens(reader, false));
    TokenList out;
    for (const auto& one : tokens) out.tokens.push_back(token_to_wire(one));
    return out;
  });
}

}  // namespace

Result<void> look_at_tokens(meta::Store& store, net::LiveTokens& tokens) {
  return tokens.replace([&] {
    return store.read([](meta::Reader& reader) -> Result<std::vector<net::NamedToken>> {
      TRY(const auto live, access::list_tokens(reader, true));
      std::vector<net::NamedToken> out;
      for (const auto& one : live) {
        net::Rights rights;
        for (const auto& name : one.rights) {  // one of a newer program opens nothing here
          if (const auto right = net::parse_right(name)) rights.add(*right);
        }
        out.push_back({one.digest, one.name, rights});
      }
      return out;
    });
  });
}

void add_token_routes(net::Server& server, Context& c) {
  server.pooled("GET", "/api/v1/tokens", [&c](const Request&) { return answer(token_list(c)); });
  server.pooled("POST", "/api/v1/tokens", [&c](const Request& r) { return answer(make_token(c, r), 201); });
  server.pooled("POST", "/api/v1/tokens/{token}/revoke", [&c](const Request& r) { return answer(revoke_token(c, r)); });
}

}  // namespace millrace::api
