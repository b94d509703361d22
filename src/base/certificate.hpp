// TLS certificates and keys, as text. Through OpenSSL.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace {

struct CertificateFacts {
  std::string subject;  // "CN=ml.example.com"
  TimePoint begins{};
  TimePoint ends{};  // when the first one of the chain to end does
  std::string pin;   // of the public key, "sha256//" and base64, as curl takes it
};

// PEM: the server's own certificate, then those of who signed it. invalid_argument `tls.bad_certificate`.
Result<CertificateFacts> read_certificate(std::string_view chain);

// That a server can be run with both. invalid_argument `tls.bad_certificate`, `tls.bad_key` (no key, or one behind a
// passphrase), `tls.other_key` (of another certificate), `tls.weak` (what today's clients refuse).
Result<CertificateFacts> check_certificate(std::string_view chain, std::string_view key);

}  // namespace millrace
