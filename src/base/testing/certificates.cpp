#include "base/testing/certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/check.hpp"

namespace millrace::testing {

namespace {

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return out;
}

std::time_t seconds_of(TimePoint time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

MadeCertificate make_certificate(const CertificateOptions& options) {
  EVP_PKEY* key = options.rsa_bits > 0 ? EVP_RSA_gen(static_cast<unsigned>(options.rsa_bits)) : EVP_EC_gen("P-256");
  X509* one = X509_new();
  check(key && one, "there is memory for a certificate");
  X509_set_version(one, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(one), 1);
  ASN1_TIME_set(X509_getm_notBefore(one), seconds_of(options.begins));
  ASN1_TIME_set(X509_getm_notAfter(one), seconds_of(options.ends));
  X509_set_pubkey(one, key);
  X509_NAME* name = X509_get_subject_name(one);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(options.name.c_str()),
                             -1, -1, 0);
  X509_set_issuer_name(one, name);
  check(X509_sign(one, key, EVP_sha256()) > 0, "a certificate can be signed");
  BIO* certificate = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(certificate, one);
  BIO* key_text = BIO_new(BIO_s_mem());
  const auto& passphrase = options.passphrase;
  PEM_write_bio_PrivateKey(key_text, key, passphrase.empty() ? nullptr : EVP_aes_256_cbc(), nullptr, 0, nullptr,
                           passphrase.empty() ? nullptr : const_cast<char*>(passphrase.c_str()));
  X509_free(one);
  EVP_PKEY_free(key);
  return {text_of(certificate), text_of(key_text)};
}

}  // namespace millrace::testing
