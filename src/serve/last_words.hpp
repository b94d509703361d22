// What the next process must know of this one, should it die: which version is new here, what was there before it, and
// the last requests. A file of fixed size, mapped; the kernel keeps what was stored in it when the process dies. Its
// bytes are described in docs/formats/data_folder.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/fs.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

namespace millrace::serve {

// A version that may end the process, for it is new here.
struct Watched {
  std::string model;
  std::string release;
  std::int64_t version = 0;
  std::int64_t previous = 0;
  TimePoint watched_from{};
  TimePoint watched_until{};  // not before this, and
  std::int64_t requests = 0;  // not before so many of them, it is known to be harmless
  bool operator==(const Watched&) const = default;
};

struct LastWord {
  Id id;  // of the request's first row
  TimePoint at{};
  std::int64_t version = 0;
  std::uint32_t rows = 0;
  bool answered = false;
};

struct Death {
  int signal = 0;
  TimePoint at{};
  Watched watched;
  std::vector<LastWord> requests;  // newest first
};

class LastWords {
 public:
  static constexpr std::size_t kRequests = 64;

  // Made where there is none, and anew where it is damaged.
  static Result<std::unique_ptr<LastWords>> open(Env& env, const std::string& path);

  // What an earlier process left: it died of a signal while something was watched. `signal`: what it died of, where
  // somebody else saw that; 0: as the file says.
  std::optional<Death> death(int signal = 0) const;

  // On the disk when it returns. The same again costs nothing.
  Result<void> watch(const Watched& watched);
  Result<void> clear();
  std::optional<Watched> watched() const;

  // Of any thread, without a lock: a request is to be computed, and it was.
  std::size_t begins(const Id& id, TimePoint at, std::int64_t version, std::size_t rows);
  void answered(std::size_t place);

  // In a signal handler.
  void died(int signal, std::int64_t at_us) noexcept;

 private:
  struct Head;
  struct Entry;
  LastWords(Env& env, std::unique_ptr<MappedFile> file) : env_(env), file_(std::move(file)) {}
  Head& head() const;
  Entry* entries() const;
  Result<void> put(const std::optional<Watched>& watched);

  Env& env_;
  std::unique_ptr<MappedFile> file_;
  mutable std::mutex mutex_;
  std::optional<Watched> watched_;
  std::atomic<std::uint64_t> next_{0};
};

}  // namespace millrace::serve
