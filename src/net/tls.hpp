// The certificate of a server: read and checked when it starts, and again whenever its files change.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/certificate.hpp"
#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/result.hpp"

namespace millrace::net {

struct TlsFiles {
  std::string certificate;  // PEM: the server's own, then those of who signed it
  std::string key;          // PEM, without a passphrase
  bool named() const { return !certificate.empty() || !key.empty(); }
};

// What passed every check.
struct TlsPair {
  std::string certificate, key;
  CertificateFacts facts;
};

// failed_precondition `tls.not_read`, `tls.key_exposed` (others may read the key, or its group may change it);
// invalid_argument as check_certificate() says. Each names the file.
Result<TlsPair> read_tls(const TlsFiles& files, Env& env);

// "expires on 2026-12-01, in 8 days", "has expired on ...", "begins on ..."; empty: nothing to say. Pure.
std::string certificate_warning(const CertificateFacts& facts, TimePoint now);

// The pair of the moment. Readers are on any thread and take no lock; one thread looks.
class LiveTls {
 public:
  static Result<std::shared_ptr<LiveTls>> open(TlsFiles files, Env& env);
  LiveTls(TlsFiles files, TlsPair first, Env& env);

  std::shared_ptr<const TlsPair> now() const { return pair_.load(std::memory_order_acquire); }
  const TlsFiles& files() const { return files_; }

  // Whether new files took effect. What can't be used is logged, once, and what there was stays. Files that are being
  // replaced, one after the other, are given until the next look.
  bool look();

 private:
  std::string state_of_files() const;
  void warn();

  const TlsFiles files_;
  Env& env_;
  std::atomic<std::shared_ptr<const TlsPair>> pair_;
  std::string seen_, refused_;
  std::optional<SteadyPoint> warned_;
};

}  // namespace millrace::net
