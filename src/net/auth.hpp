// Who may do what. By default the server listens on 127.0.0.1 and needs no token: there the danger is a web page in the
// user's browser that sends requests to localhost (CSRF) or that makes its own name point here (DNS rebinding). On any
// other address every request needs the token.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "net/router.hpp"

namespace millrace::net {

struct AuthPolicy {
  bool token_required = false;     // true unless every listening address is a loopback one
  Secret token;                    // may be set also where it is not required
  std::vector<std::string> hosts;  // names, besides localhost, under which browsers and clients may call us
};

struct AuthFacts {
  Access access = Access::write;
  std::string_view authorization;
  std::string_view host;            // with or without a port
  std::string_view origin;          // "" when absent
  std::string_view sec_fetch_site;  // "" when absent
  bool origin_allowed = false;      // the route may be called by pages of this origin
};

// Pure. In this order:
//   open route: allowed.
//   Authorization present: "Bearer <token>", compared in constant time; else unauthenticated `net.bad_token`.
//   token required: unauthenticated `net.token_needed`.
//   Host is not localhost, 127.0.0.1, [::1] or one of `hosts`: permission_denied `net.foreign_host`.
//   access write, the origin not allowed for this route, and Origin is not the Host itself or one of `hosts`, or
//   Sec-Fetch-Site says that another site sent it: permission_denied `net.foreign_origin`.
Result<void> authorize(const AuthFacts& facts, const AuthPolicy& policy);

// True for 127.0.0.0/8, ::1 and "localhost".
bool is_loopback(std::string_view host);

bool equal_in_constant_time(std::string_view a, std::string_view b);

// The token in `path` (one line), made with mode 0600 when there is none. failed_precondition `net.token_exposed` when
// others may read the file, `net.token_short` below 16 characters.
Result<Secret> load_or_make_token(const std::string& path, Env& env);

}  // namespace millrace::net
