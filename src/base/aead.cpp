#include "base/aead.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <cstdlib>

namespace millrace {
namespace {

// OpenSSL fails here only without memory or without its own algorithm: nothing to go on with.
void aead_must(int done) {
  if (done != 1) std::abort();
}

const unsigned char* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* raw(std::span<std::byte> bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

}  // namespace

AeadKey::~AeadKey() { ::OPENSSL_cleanse(bytes.data(), bytes.size()); }

// One context for each direction: the key is scheduled once.
struct Aead::State {
  AeadKey key;
  EVP_CIPHER_CTX* sealing = nullptr;
  EVP_CIPHER_CTX* opening = nullptr;
  ~State() {
    EVP_CIPHER_CTX_free(sealing);
    EVP_CIPHER_CTX_free(opening);
  }
};

Aead::Aead(const AeadKey& key) : state_(std::make_unique<State>()) { state_->key = key; }
Aead::~Aead() = default;
Aead::Aead(Aead&&) noexcept = default;
Aead& Aead::operator=(Aead&&) noexcept = default;

void Aead::seal(const AeadNonce& nonce, std::span<const std::byte> additional, std::span<const std::byte> plain,
                std::span<std::byte> out) {
  auto*& context = state_->sealing;
  if (context == nullptr) {
    context = EVP_CIPHER_CTX_new();
    if (context == nullptr) std::abort();
    aead_must(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nullptr, state_->key.bytes.data(), nullptr));
  }
  int written = 0;
  aead_must(EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()));
  aead_must(EVP_EncryptUpdate(context, nullptr, &written, raw(additional), static_cast<int>(additional.size())));
  if (!plain.empty())
    aead_must(EVP_EncryptUpdate(context, raw(out), &written, raw(plain), static_cast<int>(plain.size())));
  aead_must(EVP_EncryptFinal_ex(context, raw(out.subspan(plain.size())), &written));
  aead_must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, aead_tag_bytes, raw(out.subspan(plain.size()))));
}

bool Aead::open(const AeadNonce& nonce, std::span<const std::byte> additional, std::span<const std::byte> sealed,
                std::span<std::byte> out) {
  if (sealed.size() < aead_tag_bytes) return false;
  auto*& context = state_->opening;
  if (context == nullptr) {
    context = EVP_CIPHER_CTX_new();
    if (context == nullptr) std::abort();
    aead_must(EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nullptr, state_->key.bytes.data(), nullptr));
  }
  const auto body = sealed.first(sealed.size() - aead_tag_bytes);
  std::array<unsigned char, aead_tag_bytes> tag;
  for (std::size_t i = 0; i < tag.size(); ++i) tag[i] = static_cast<unsigned char>(sealed[body.size() + i]);
  int written = 0;
  aead_must(EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()));
  aead_must(EVP_DecryptUpdate(context, nullptr, &written, raw(additional), static_cast<int>(additional.size())));
  if (!body.empty())
    aead_must(EVP_DecryptUpdate(context, raw(out), &written, raw(body), static_cast<int>(body.size())));
  aead_must(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, aead_tag_bytes, tag.data()));
  unsigned char nothing = 0;
  return EVP_DecryptFinal_ex(context, &nothing, &written) == 1;
}

}  // namespace millrace
