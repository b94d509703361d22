// The native API's part for named tokens.
#pragma once

#include "api/native/wire.hpp"

namespace millrace::api {

struct TokenRequest {
  std::string name;
  std::vector<std::string> rights;  // predict, metrics, admin, predictor
};
struct NewToken {
  std::string name;
  std::string token;  // shown this once
  std::vector<std::string> rights;
};
struct TokenInfo {
  std::string name;
  std::vector<std::string> rights;
  std::string made;
  std::string made_by;
  std::string revoked;  // empty: it counts
  std::string revoked_by;
};
struct TokenList {
  std::vector<TokenInfo> tokens;  // newest first; revoked ones too
};

}  // namespace millrace::api
