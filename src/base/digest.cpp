#include "base/digest.hpp"

#include <openssl/evp.h>

#include <cstdlib>

namespace millrace {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// Fetched once: looking the algorithm up by EVP_sha256() costs more than hashing a short text.
const EVP_MD* algorithm() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}

// OpenSSL fails here only without memory or without its own algorithm: nothing to go on with.
void must(int done) {
  if (done != 1) std::abort();
}

}  // namespace

std::string Digest::hex() const {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(2 * bytes.size());
  for (const auto byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::uint64_t Digest::head() const {
  std::uint64_t out = 0;
  for (int i = 0; i < 8; ++i) out = out << 8 | bytes[i];
  return out;
}

Result<Digest> Digest::parse(std::string_view hex) {
  Digest out;
  bool good = hex.size() == 2 * out.bytes.size();
  for (std::size_t i = 0; good && i < out.bytes.size(); ++i) {
    const int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
    good = high >= 0 && low >= 0;
    out.bytes[i] = static_cast<std::uint8_t>((high & 15) << 4 | (low & 15));
  }
  if (good) return out;
  return fail(Code::invalid_argument, "base.bad_digest",
              "'" + std::string(hex.substr(0, 80)) + "' is not a SHA-256 digest; it has 64 characters 0-9 a-f");
}

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() { must(context != nullptr && EVP_DigestInit_ex(context, algorithm(), nullptr)); }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> data) {
  must(EVP_DigestUpdate(state_->context, data.data(), data.size()));
}

Digest Sha256::finish() {
  Digest out;
  must(EVP_DigestFinal_ex(state_->context, out.bytes.data(), nullptr));
  must(EVP_DigestInit_ex(state_->context, nullptr, nullptr));
  return out;
}

Digest sha256(std::string_view text) { return sha256(std::as_bytes(std::span(text.data(), text.size()))); }

Digest sha256(std::span<const std::byte> data) {
  thread_local Sha256 hasher;  // rows are hashed by the million: no allocation for each
  hasher.update(data);
  return hasher.finish();
}

}  // namespace millrace
