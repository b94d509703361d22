// Who may do what. There are named tokens, each with rights (rights.hpp), and one that has all rights. By default the
// server listens on 127.0.0.1 and needs no token: there the danger is a web page in the user's browser that sends
// requests to localhost (CSRF) or that makes its own name point here (DNS rebinding). On any other address every
// request needs the token.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "net/rights.hpp"
#include "net/router.hpp"

namespace millrace::net {

struct AuthPolicy {
  bool token_required = false;               // true unless every listening address is a loopback one
  Secret token;                              // has all rights; may be set also where it is not required
  std::vector<std::string> hosts;            // names, besides localhost, under which browsers and clients may call us
  std::shared_ptr<const LiveTokens> tokens;  // null: there are no named ones. authorize() is given what they are now
};

struct AuthFacts {
  Access access = Access::write;
  std::string_view authorization;
  std::string_view host;            // with or without a port
  std::string_view origin;          // "" when absent
  std::string_view sec_fetch_site;  // "" when absent
  bool origin_allowed = false;      // the route may be called by pages of this origin
  Right right = Right::admin;       // that is needed
  std::string_view what;            // is asked for, as an error names it
};

// Pure. In this order:
//   open route: allowed.
//   Authorization present: "Bearer <token>", compared by its digest; that of none: unauthenticated `net.bad_token`; of
//   one without the right that is needed: permission_denied `net.right_needed`, which names it and those it has.
//   token required: unauthenticated `net.token_needed`.
//   Host is not localhost, 127.0.0.1, [::1] or one of `hosts`: permission_denied `net.foreign_host`.
//   access write, the origin not allowed for this route, and Origin is not the Host itself or one of `hosts`, or
//   Sec-Fetch-Site says that another site sent it: permission_denied `net.foreign_origin`.
Result<void> authorize(const AuthFacts& facts, const AuthPolicy& policy, const TokenTable& tokens = {});
// The same with the tokens of the moment.
Result<void> authorize_now(const AuthFacts& facts, const AuthPolicy& policy);

// True for 127.0.0.0/8, ::1 and "localhost".
bool is_loopback(std::string_view host);

// The token in `path` (one line), made with mode 0600 when there is none. failed_precondition `net.token_exposed` when
// others may read the file, `net.token_short` below 16 characters.
Result<Secret> load_or_make_token(const std::string& path, Env& env);

}  // namespace millrace::net
