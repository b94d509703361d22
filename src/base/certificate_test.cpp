#include "base/certificate.hpp"

#include <gtest/gtest.h>

#include "base/testing/certificates.hpp"

namespace millrace {
namespace {

using std::chrono::days;
const TimePoint today = TimePoint(std::chrono::seconds(1'900'000'000));

testing::MadeCertificate made(int rsa_bits = 0, TimePoint ends = today + days(365)) {
  return testing::make_certificate({.name = "ml.example.com", .begins = today, .ends = ends, .rsa_bits = rsa_bits});
}

TEST(Certificate, SaysWhoseItIsAndUntilWhen) {
  const auto one = made();
  const auto facts = check_certificate(one.certificate, one.key);
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->subject, "CN=ml.example.com");
  EXPECT_EQ(facts->begins, today);
  EXPECT_EQ(facts->ends, today + days(365));
  EXPECT_TRUE(facts->pin.starts_with("sha256//")) << facts->pin;
  EXPECT_EQ(facts->pin.size(), 8 + 44u);
  EXPECT_EQ(read_certificate(one.certificate)->pin, facts->pin);
  EXPECT_NE(read_certificate(made().certificate)->pin, facts->pin);
}

TEST(Certificate, OfAChainTheFirstIsOursAndTheFirstToEndCounts) {
  const auto ours = made(), other = made(0, today + days(10));
  const auto facts = check_certificate(ours.certificate + "# of who signed it\n" + other.certificate, ours.key);
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->ends, today + days(10));
  EXPECT_EQ(facts->pin, read_certificate(ours.certificate)->pin);
  const auto turned = check_certificate(other.certificate + ours.certificate, ours.key);
  EXPECT_EQ(turned.error().reason, "tls.other_key") << "the order is wrong";
}

TEST(Certificate, RefusesWhatAServerCannotRunWith) {
  const auto one = made(), other = made(), weak = made(1024), strong = made(2048);
  const auto locked = testing::make_certificate({.begins = today, .ends = today + days(1), .passphrase = "sesame"});
  struct Case {
    std::string certificate, key, reason;
  };
  for (const auto& c : std::vector<Case>{
           {one.certificate, one.key, ""},
           {strong.certificate, strong.key, ""},
           {one.key + one.certificate, one.certificate + one.key, ""},  // both files with everything in them
           {"", one.key, "tls.bad_certificate"},
           {"no PEM", one.key, "tls.bad_certificate"},
           {one.key, one.key, "tls.bad_certificate"},
           {one.certificate.substr(0, 200), one.key, "tls.bad_certificate"},
           {one.certificate + other.certificate.substr(0, 200), one.key, "tls.bad_certificate"},
           {one.certificate, "", "tls.bad_key"},
           {one.certificate, one.certificate, "tls.bad_key"},
           {one.certificate, one.key.substr(0, 60), "tls.bad_key"},
           {locked.certificate, locked.key, "tls.bad_key"},
           {one.certificate, other.key, "tls.other_key"},
           {one.certificate, strong.key, "tls.other_key"},
           {weak.certificate, weak.key, "tls.weak"},
       }) {
    const auto checked = check_certificate(c.certificate, c.key);
    EXPECT_EQ(checked ? "" : checked.error().reason, c.reason) << c.certificate.substr(0, 60) << c.key.substr(0, 60);
    const auto said = checked ? std::string() : checked.error().message;
    EXPECT_EQ(said.find(one.key.substr(40, 40)), std::string::npos);
  }
  EXPECT_NE(check_certificate(locked.certificate, locked.key).error().message.find("passphrase"), std::string::npos);
}

}  // namespace
}  // namespace millrace
