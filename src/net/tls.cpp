#include "net/tls.hpp"

#include <sys/stat.h>

#include <format>

#include "base/fs.hpp"
#include "base/log.hpp"

namespace millrace::net {

namespace {

constexpr std::uint64_t kPemBytesMax = 1u << 20;
constexpr auto kWarnBefore = std::chrono::days(30);
constexpr auto kWarnEvery = std::chrono::days(1);

Result<std::string> read_pem(const std::string& path, std::string_view what, Env& env) {
  auto text = read_file(env.fs, path, kPemBytesMax);
  if (text) return text;
  return fail(Code::failed_precondition, "tls.not_read",
              std::format("the {} {} can't be read: {}", what, path, text.error().message));
}

std::unexpected<Error> naming(Error error, const std::string& path) {
  error.message = path + ": " + error.message;
  return std::unexpected(std::move(error));
}

}  // namespace

Result<TlsPair> read_tls(const TlsFiles& files, Env& env) {
  if (files.certificate.empty() || files.key.empty())
    return fail(Code::invalid_argument, "tls.half",
                "TLS needs both a certificate and its key; without them leave both out");
  TlsPair out;
  TRY(out.certificate, read_pem(files.certificate, "certificate", env));
  struct stat info{};
  if (::stat(files.key.c_str(), &info) == 0 && (info.st_mode & (S_IRWXO | S_IWGRP)) != 0)
    return fail(Code::failed_precondition, "tls.key_exposed",
                std::format("the key {} can be read or changed by others; run: chmod 600 {}", files.key, files.key));
  TRY(out.key, read_pem(files.key, "key", env));
  auto facts = check_certificate(out.certificate, out.key);
  if (!facts) {
    const bool about_key = facts.error().reason == "tls.bad_key" || facts.error().reason == "tls.other_key";
    return naming(std::move(facts).error(), about_key ? files.key : files.certificate);
  }
  out.facts = *std::move(facts);
  return out;
}

std::string certificate_warning(const CertificateFacts& facts, TimePoint now) {
  const auto day = [](TimePoint at) { return format_time(at).substr(0, 10); };
  if (now >= facts.ends)
    return std::format("the certificate {} has expired on {}: clients refuse it; replace its files", facts.subject,
                       day(facts.ends));
  if (now < facts.begins)
    return std::format("the certificate {} begins on {}: until then clients refuse it", facts.subject,
                       day(facts.begins));
  if (facts.ends - now > kWarnBefore) return {};
  const auto days = std::chrono::floor<std::chrono::days>(facts.ends - now).count();
  return std::format("the certificate {} expires on {}, in {} {}; replace its files", facts.subject, day(facts.ends),
                     days, days == 1 ? "day" : "days");
}

Result<std::shared_ptr<LiveTls>> LiveTls::open(TlsFiles files, Env& env) {
  TRY(auto pair, read_tls(files, env));
  return std::make_shared<LiveTls>(std::move(files), std::move(pair), env);
}

LiveTls::LiveTls(TlsFiles files, TlsPair first, Env& env)
    : files_(std::move(files)), env_(env), pair_(std::make_shared<const TlsPair>(std::move(first))) {
  warn();
}

// Not what is in them: a look costs two system calls.
std::string LiveTls::state_of_files() const {
  std::string out;
  for (const auto& path : {files_.certificate, files_.key}) {
    struct stat info{};
    const bool there = ::stat(path.c_str(), &info) == 0;
    out += there ? std::format("{}/{}/{}.{}/{:o} ", info.st_ino, info.st_size, info.st_mtim.tv_sec,
                               info.st_mtim.tv_nsec, info.st_mode)
                 : "none ";
  }
  return out;
}

bool LiveTls::look() {
  const auto now_there = now();
  warn();
  const auto state = state_of_files();
  if (state == seen_) return false;
  auto pair = read_tls(files_, env_);
  // What changed meanwhile is looked at again.
  const bool still = state_of_files() == state;
  if (!pair) {
    const bool again = refused_ == state;
    refused_ = state;
    if (!again || !still) return false;
    seen_ = state;
    env_.log.error("certificate_not_taken", {{"reason", pair.error().reason},
                                             {"error", pair.error().message},
                                             {"effect", "the one that was there before goes on"}});
    return false;
  }
  if (still) seen_ = state;
  refused_.clear();
  if (pair->certificate == now_there->certificate && pair->key == now_there->key) return false;
  env_.log.info("certificate_taken", {{"subject", pair->facts.subject}, {"ends", format_time(pair->facts.ends)}});
  pair_.store(std::make_shared<const TlsPair>(*std::move(pair)), std::memory_order_release);
  warned_ = std::nullopt;
  warn();
  return true;
}

void LiveTls::warn() {
  const auto steady = env_.clock.steady();
  if (warned_ && steady - *warned_ < kWarnEvery) return;
  warned_ = steady;
  const auto pair = now();
  if (const auto text = certificate_warning(pair->facts, env_.clock.now()); !text.empty())
    env_.log.warn("certificate_ends", {{"warning", text}, {"file", files_.certificate}});
}

}  // namespace millrace::net
