// Certificates that sign themselves, for tests.
#pragma once

#include <string>

#include "base/clock.hpp"

namespace millrace::testing {

struct CertificateOptions {
  std::string name = "localhost";
  TimePoint begins{};
  TimePoint ends{};
  int rsa_bits = 0;        // 0: a key on an elliptic curve
  std::string passphrase;  // of the key's file
};
struct MadeCertificate {
  std::string certificate, key;  // PEM
};
MadeCertificate make_certificate(const CertificateOptions& options);

}  // namespace millrace::testing
