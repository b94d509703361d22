// The promises of testing/suite.hpp on the local folder and on the fake.
#include <filesystem>

#include "base/testing/env.hpp"
#include "blob/key_table_internal.hpp"
#include "blob/keys.hpp"
#include "blob/local.hpp"
#include "blob/testing/memory.hpp"
#include "blob/testing/suite.hpp"

namespace millrace::blob {
namespace {

enum class Sealing { off, on };

template <TestEnv::Disk disk, Sealing sealing = Sealing::off>
class LocalHarness {
 public:
  LocalHarness() { reopen(); }
  Store& store() { return *store_; }
  void reopen() {
    store_.reset();
    const Env env{t_.env.fs, clock(), t_.env.rng, t_.env.faults, t_.env.log};
    LocalConfig config{.dir = t_.path("blobs")};
    if constexpr (sealing == Sealing::on) {
      keys_ =
          std::make_unique<Keys>(env, KeysFile{t_.path("keys"), parse_master_key(std::string(64, 'a'), "m").value()});
      config.keys = keys_.get();
    }
    store_ = open_local(env, config).value();
  }
  void pass(Duration time) {
    if constexpr (disk == TestEnv::Disk::sim) {
      t_.clock.advance(time);
    } else {  // as seen from the files: each of them grows older
      for (const auto& entry : std::filesystem::recursive_directory_iterator(t_.dir)) {
        if (entry.is_regular_file()) std::filesystem::last_write_time(entry, entry.last_write_time() - time);
      }
    }
  }
  void damage(const Digest& digest) {
    const std::string path = t_.path("blobs/objects/" + digest.hex().substr(0, 2) + "/" + digest.hex());
    std::string bytes = read_file(t_.env.fs, path).value();
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    ASSERT_TRUE(write_file(t_.env.fs, path, bytes));
  }

 private:
  Clock& clock() {
    if constexpr (disk == TestEnv::Disk::sim) return t_.clock;
    return system_clock_;  // files on a real disk carry the real time
  }
  TestEnv t_{disk};
  SystemClock system_clock_;
  std::unique_ptr<Keys> keys_;
  std::unique_ptr<Store> store_;
};

class MemoryHarness {
 public:
  Store& store() { return store_; }
  void reopen() {}
  void pass(Duration time) { clock_.advance(time); }
  void damage(const Digest& digest) { store_.damage(digest); }

 private:
  SimClock clock_;
  MemoryStore store_{clock_};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Local, StorePromises, LocalHarness<TestEnv::Disk::real>);
INSTANTIATE_TYPED_TEST_SUITE_P(LocalSimulated, StorePromises, LocalHarness<TestEnv::Disk::sim>);
using Sealed = LocalHarness<TestEnv::Disk::real, Sealing::on>;
using SealedSimulated = LocalHarness<TestEnv::Disk::sim, Sealing::on>;
INSTANTIATE_TYPED_TEST_SUITE_P(LocalSealed, StorePromises, Sealed);
INSTANTIATE_TYPED_TEST_SUITE_P(LocalSealedSimulated, StorePromises, SealedSimulated);
INSTANTIATE_TYPED_TEST_SUITE_P(Memory, StorePromises, MemoryHarness);

}  // namespace
}  // namespace millrace::blob
