// The promises of testing/suite.hpp on the local folder and on the fake.
#include <filesystem>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "base/testing/temp_dir.hpp"
#include "blob/local.hpp"
#include "blob/testing/memory.hpp"
#include "blob/testing/suite.hpp"

namespace millrace::blob {
namespace {

class LocalHarness {
 public:
  LocalHarness() { reopen(); }
  Store& store() { return *store_; }
  void reopen() {
    store_.reset();
    store_ = open_local({fs_, clock_, rng_, faults_, *log_}, {.dir = dir_.path("blobs")}).value();
  }
  void pass(Duration time) {  // as seen from the files: each of them grows older
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path())) {
      if (entry.is_regular_file()) std::filesystem::last_write_time(entry, entry.last_write_time() - time);
    }
  }
  void damage(const Digest& digest) {
    const std::string path = dir_.path("blobs/objects/" + digest.hex().substr(0, 2) + "/" + digest.hex());
    std::string bytes = read_file(fs_, path).value();
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    auto file = fs_.open_write(path, WriteMode::truncate).value();
    ASSERT_TRUE(file->append(millrace::as_bytes(bytes)));
  }

 private:
  TempDir dir_;
  RealFs fs_;
  SystemClock clock_;
  SystemRng rng_;
  Faults faults_;
  std::unique_ptr<Log> log_ = null_log();
  std::unique_ptr<Store> store_;
};

class MemoryHarness {
 public:
  Store& store() { return store_; }
  void reopen() {}
  void pass(Duration time) { clock_.time += time; }
  void damage(const Digest& digest) { store_.damage(digest); }

 private:
  class StoppedClock final : public Clock {
   public:
    TimePoint now() override { return time; }
    SteadyPoint steady() override { return SteadyPoint(time.time_since_epoch()); }
    TimePoint time{std::chrono::hours(24 * 365 * 50)};
  };
  StoppedClock clock_;
  MemoryStore store_{clock_};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Local, StorePromises, LocalHarness);
INSTANTIATE_TYPED_TEST_SUITE_P(Memory, StorePromises, MemoryHarness);

}  // namespace
}  // namespace millrace::blob
