#include "net/tls.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "base/testing/certificates.hpp"
#include "base/testing/env.hpp"
#include "base/testing/temp_dir.hpp"

namespace millrace::net {
namespace {

using std::chrono::days;

TEST(Tls, SaysInTimeThatACertificateEnds) {
  const auto today = TimePoint(days(21'000));
  const CertificateFacts facts{.subject = "CN=x", .begins = today - days(10), .ends = today + days(40)};
  const auto says = [&](TimePoint now) { return certificate_warning(facts, now); };
  EXPECT_EQ(says(today), "");
  EXPECT_EQ(says(today + days(10) - Duration(1)), "");
  EXPECT_NE(says(today + days(10)).find("in 30 days"), std::string::npos) << says(today + days(10));
  EXPECT_NE(says(today + days(38)).find("in 2 days"), std::string::npos);
  EXPECT_NE(says(today + days(39)).find("in 1 day;"), std::string::npos);
  EXPECT_NE(says(today + days(40) - Duration(1)).find("in 0 days"), std::string::npos);
  EXPECT_NE(says(today + days(40)).find("has expired on"), std::string::npos);
  EXPECT_NE(says(today - days(11)).find("begins on"), std::string::npos);
}

class LiveTlsTest : public ::testing::Test {
 protected:
  TempDir dir;
  RealFs fs;
  SimClock clock;
  SeededRng rng{7};
  Faults faults;
  std::unique_ptr<Log> log = null_log();
  Env env{fs, clock, rng, faults, *log};
  const TlsFiles files{dir.path("cert.pem"), dir.path("key.pem")};
  int written = 0;

  testing::MadeCertificate made(const std::string& name) {
    return testing::make_certificate({.name = name, .begins = clock.now() - days(1), .ends = clock.now() + days(365)});
  }
  void write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(write_file(fs, path, text));
    ::chmod(path.c_str(), 0600);
    // A new file always has another time, however fast the test is.
    const timespec at{1'000'000 + ++written, 0};
    const timespec times[2] = {at, at};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  void write(const testing::MadeCertificate& one) {
    write(files.certificate, one.certificate);
    write(files.key, one.key);
  }
};

TEST_F(LiveTlsTest, SaysWhichFileIsWrong) {
  EXPECT_EQ(read_tls({files.certificate, ""}, env).error().reason, "tls.half");
  EXPECT_EQ(read_tls(files, env).error().reason, "tls.not_read");
  write(made("a"));
  EXPECT_TRUE(read_tls(files, env));
  write(files.key, made("b").key);
  const auto other = read_tls(files, env);
  EXPECT_EQ(other.error().reason, "tls.other_key");
  EXPECT_NE(other.error().message.find(files.key), std::string::npos);
  write(files.certificate, "nothing");
  const auto none = read_tls(files, env);
  EXPECT_EQ(none.error().reason, "tls.bad_certificate");
  EXPECT_NE(none.error().message.find(files.certificate), std::string::npos);
  ASSERT_TRUE(fs.remove(files.key));
  write(files.certificate, made("a").certificate);
  EXPECT_EQ(read_tls(files, env).error().reason, "tls.not_read");
}

TEST_F(LiveTlsTest, AKeyThatOthersReadIsRefused) {
  write(made("a"));
  for (const auto& [mode, fine] : std::vector<std::pair<mode_t, bool>>{
           {0600, true}, {0400, true}, {0640, true}, {0440, true}, {0644, false}, {0604, false}, {0620, false}}) {
    ::chmod(files.key.c_str(), mode);
    const auto pair = read_tls(files, env);
    EXPECT_EQ(pair.has_value(), fine) << std::oct << mode;
    EXPECT_EQ(pair ? "" : pair.error().reason, fine ? "" : "tls.key_exposed");
  }
}

TEST_F(LiveTlsTest, TakesNewFilesWholeAndKeepsTheOldUntilThen) {
  write(made("first"));
  auto opened = LiveTls::open(files, env);
  ASSERT_TRUE(opened) << opened.error().message;
  auto& live = **opened;
  EXPECT_FALSE(live.look());
  EXPECT_FALSE(live.look());
  EXPECT_EQ(live.now()->facts.subject, "CN=first");
  const auto second = made("second");
  write(files.certificate, second.certificate);
  for (int look = 0; look < 3; ++look) {
    EXPECT_FALSE(live.look()) << "its key is not there yet";
    EXPECT_EQ(live.now()->facts.subject, "CN=first");
  }
  write(files.key, second.key);
  EXPECT_TRUE(live.look());
  EXPECT_FALSE(live.look());
  EXPECT_EQ(live.now()->facts.subject, "CN=second");
  EXPECT_EQ(live.now()->key, second.key);
  write(files.key, "half of a k");
  EXPECT_FALSE(live.look());
  ASSERT_TRUE(fs.remove(files.key));
  EXPECT_FALSE(live.look());
  EXPECT_EQ(live.now()->facts.subject, "CN=second");
  write(second);
  EXPECT_FALSE(live.look()) << "the same again";
  write(made("third"));
  EXPECT_TRUE(live.look());
  EXPECT_EQ(live.now()->facts.subject, "CN=third");
}

}  // namespace
}  // namespace millrace::net
