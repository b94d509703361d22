#include "base/certificate.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <vector>

#include "base/digest.hpp"

namespace millrace {

namespace {

template <auto function>
struct FreeWith {
  template <class T>
  void operator()(T* p) const {
    function(p);
  }
};
using Bio = std::unique_ptr<BIO, FreeWith<BIO_free>>;
using X509Ptr = std::unique_ptr<X509, FreeWith<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;

Bio bio_of(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string openssl_says() {
  const auto code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason ? reason : "unknown reason";
}

// Nobody is asked for a passphrase: a server starts by itself.
int no_passphrase(char*, int, int, void*) { return -1; }

Result<std::vector<X509Ptr>> chain_of(std::string_view text) {
  constexpr std::size_t certificates_max = 20;
  const auto bio = bio_of(text);
  std::vector<X509Ptr> out;
  ERR_clear_error();
  while (out.size() < certificates_max) {
    X509Ptr one(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!one) break;
    out.push_back(std::move(one));
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const auto why = openssl_says();
  if (out.empty())
    return fail(Code::invalid_argument, "tls.bad_certificate",
                "there is no certificate in it (" + why + "); it begins with -----BEGIN CERTIFICATE-----");
  if (!at_end && out.size() < certificates_max)
    return fail(Code::invalid_argument, "tls.bad_certificate", "a certificate of the chain can't be read: " + why);
  return out;
}

TimePoint time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (!time || ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return TimePoint(std::chrono::seconds(::timegm(&parts)));
}

std::string subject_of(const X509& certificate) {
  const Bio out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), X509_get_subject_name(&certificate), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(std::max<long>(0, size))};
}

std::string base64(std::span<const std::uint8_t> bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes.data(), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::string pin_of(const X509& certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(&certificate), &der);
  if (size <= 0) return {};
  const auto digest = sha256(std::as_bytes(std::span(der, static_cast<std::size_t>(size))));
  OPENSSL_free(der);
  return "sha256//" + base64(digest.bytes);
}

CertificateFacts facts_of(const std::vector<X509Ptr>& chain) {
  CertificateFacts out{.subject = subject_of(*chain.front()), .pin = pin_of(*chain.front())};
  out.begins = time_of(X509_get0_notBefore(chain.front().get()));
  out.ends = TimePoint::max();
  for (const auto& one : chain) out.ends = std::min(out.ends, time_of(X509_get0_notAfter(one.get())));
  return out;
}

}  // namespace

Result<CertificateFacts> read_certificate(std::string_view chain) {
  TRY(const auto certificates, chain_of(chain));
  return facts_of(certificates);
}

Result<CertificateFacts> check_certificate(std::string_view chain, std::string_view key_text) {
  TRY(const auto certificates, chain_of(chain));
  const auto bio = bio_of(key_text);
  ERR_clear_error();
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) {
    const bool locked = key_text.find("ENCRYPTED") != key_text.npos;
    const auto why = openssl_says();
    return fail(Code::invalid_argument, "tls.bad_key",
                locked ? "the key is behind a passphrase, which nobody is there to type; write it without one: "
                         "openssl pkey -in KEY -out NEW"
                       : "there is no private key in it (" + why + "); it begins with -----BEGIN PRIVATE KEY-----");
  }
  if (X509_check_private_key(certificates.front().get(), key.get()) != 1) {
    ERR_clear_error();
    return fail(Code::invalid_argument, "tls.other_key",
                "the key is not that of the certificate " + subject_of(*certificates.front()) +
                    ", the first in its file; the server's own comes first, then those of who signed it");
  }
  // What a server does with them: keys and signatures that are too weak for it are found here.
  const Context context(SSL_CTX_new(TLS_server_method()));
  bool taken = context && SSL_CTX_use_certificate(context.get(), certificates.front().get()) == 1;
  for (std::size_t i = 1; taken && i < certificates.size(); ++i)
    taken = SSL_CTX_add1_chain_cert(context.get(), certificates[i].get()) == 1;
  taken = taken && SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1;
  if (!taken)
    return fail(Code::invalid_argument, "tls.weak",
                "the TLS library refuses the certificate: " + openssl_says() +
                    "; a key of RSA has at least 2048 bits, and SHA-1 signs nothing any more");
  return facts_of(certificates);
}

}  // namespace millrace
