#include "serve/last_words.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "base/fault.hpp"

namespace millrace::serve {

namespace {

constexpr char words_magic[8] = {'M', 'L', 'R', 'W', 'O', 'R', 'D', '1'};
constexpr std::uint64_t words_bytes = 8192;
constexpr std::uint64_t entries_at = 1024;

template <std::size_t N>
void put_text(char (&to)[N], const std::string& text) {
  std::fill(std::begin(to), std::end(to), '\0');
  std::copy_n(text.begin(), std::min(text.size(), N - 1), to);
}

template <std::size_t N>
std::string get_text(const char (&from)[N]) {
  return std::string(from, std::find(from, from + N, '\0'));
}

}  // namespace

struct LastWords::Head {
  char magic[8];
  std::uint32_t format;
  std::uint32_t crc;  // CRC-32 (zlib) of what is watched: from `watching` up to `signal`
  std::uint32_t watching;
  std::uint32_t unused;
  std::int64_t version;
  std::int64_t previous;
  std::int64_t since_us;
  std::int64_t until_us;
  std::int64_t requests;
  char release[40];
  char model[256];
  std::int32_t signal;  // 0: it did not die, or could not say so
  std::uint32_t unused_too;
  std::int64_t died_us;

  std::uint32_t computed() const {
    const auto* begin = reinterpret_cast<const Bytef*>(&watching);
    const auto* end = reinterpret_cast<const Bytef*>(&signal);
    return static_cast<std::uint32_t>(crc32(0, begin, static_cast<uInt>(end - begin)));
  }
  bool whole() const {
    return std::equal(std::begin(words_magic), std::end(words_magic), magic) && format == 1 && crc == computed();
  }
};

struct LastWords::Entry {
  std::uint64_t number;  // from 1; stored last
  unsigned char id[16];
  std::int64_t at_us;
  std::int64_t version;
  std::uint32_t rows;
  std::uint32_t answered;
};

LastWords::Head& LastWords::head() const { return *reinterpret_cast<Head*>(file_->bytes().data()); }

LastWords::Entry* LastWords::entries() const { return reinterpret_cast<Entry*>(file_->bytes().data() + entries_at); }

Result<std::unique_ptr<LastWords>> LastWords::open(Env& env, const std::string& path) {
  static_assert(sizeof(Head) <= entries_at && entries_at + kRequests * sizeof(Entry) <= words_bytes);
  if (const auto info = env.fs.info(path); info && info->size != words_bytes) TRY_VOID(env.fs.remove(path));
  TRY(auto file, env.fs.open_mapped(path, words_bytes));
  TRY_VOID(env.fs.sync_dir(parent_path(path)));
  auto words = std::unique_ptr<LastWords>(new LastWords(env, std::move(file)));
  if (!words->head().whole()) {
    std::memset(words->file_->bytes().data(), 0, words_bytes);
    TRY_VOID(words->put(std::nullopt));
  }
  const auto& head = words->head();
  if (head.watching)
    words->watched_ = Watched{get_text(head.model),
                              get_text(head.release),
                              head.version,
                              head.previous,
                              TimePoint(Duration(head.since_us)),
                              TimePoint(Duration(head.until_us)),
                              head.requests};
  for (std::size_t i = 0; i < kRequests; ++i) words->next_ = std::max(words->next_.load(), words->entries()[i].number);
  return words;
}

std::optional<Death> LastWords::death(int signal) const {
  std::lock_guard lock(mutex_);
  const auto& head = this->head();
  Death out;
  out.signal = head.signal != 0 ? head.signal : signal;
  if (!watched_ || out.signal == 0) return std::nullopt;
  out.at = head.died_us != 0 ? TimePoint(Duration(head.died_us)) : env_.clock.now();
  out.watched = *watched_;
  std::vector<const Entry*> newest;
  for (std::size_t i = 0; i < kRequests; ++i) {
    if (entries()[i].number > 0) newest.push_back(&entries()[i]);
  }
  std::ranges::sort(newest, std::ranges::greater(), &Entry::number);
  for (const auto* one : newest) {
    LastWord word;
    std::memcpy(word.id.bytes.data(), one->id, sizeof one->id);
    word.at = TimePoint(Duration(one->at_us));
    word.version = one->version;
    word.rows = one->rows;
    word.answered = one->answered != 0;
    out.requests.push_back(word);
  }
  return out;
}

Result<void> LastWords::put(const std::optional<Watched>& watched) {
  auto& head = this->head();
  std::copy(std::begin(words_magic), std::end(words_magic), head.magic);
  head.format = 1;
  head.watching = watched ? 1 : 0;
  const auto what = watched.value_or(Watched{});
  head.version = what.version;
  head.previous = what.previous;
  head.since_us = what.watched_from.time_since_epoch().count();
  head.until_us = what.watched_until.time_since_epoch().count();
  head.requests = what.requests;
  put_text(head.release, what.release);
  put_text(head.model, what.model);
  head.signal = 0;
  head.died_us = 0;
  head.crc = head.computed();
  return file_->sync(0, words_bytes);
}

Result<void> LastWords::watch(const Watched& watched) {
  std::lock_guard lock(mutex_);
  if (watched_ == watched) return {};
  TRY_VOID(env_.faults.reach("serve.watch.before_write"));
  if (!watched_ || watched_->release != watched.release) {
    next_ = 0;
    std::memset(file_->bytes().data() + entries_at, 0, words_bytes - entries_at);
  }
  TRY_VOID(put(watched));
  watched_ = watched;
  return env_.faults.reach("serve.watch.after_sync");
}

Result<void> LastWords::clear() {
  std::lock_guard lock(mutex_);
  if (!watched_) return {};
  TRY_VOID(put(std::nullopt));
  watched_.reset();
  return {};
}

std::optional<Watched> LastWords::watched() const {
  std::lock_guard lock(mutex_);
  return watched_;
}

std::size_t LastWords::begins(const Id& id, TimePoint at, std::int64_t version, std::size_t rows) {
  const auto number = next_.fetch_add(1, std::memory_order_relaxed) + 1;
  const auto place = static_cast<std::size_t>(number % kRequests);
  auto& entry = entries()[place];
  std::atomic_ref(entry.answered).store(0, std::memory_order_relaxed);
  std::memcpy(entry.id, id.bytes.data(), sizeof entry.id);
  entry.at_us = at.time_since_epoch().count();
  entry.version = version;
  entry.rows = static_cast<std::uint32_t>(rows);
  std::atomic_ref(entry.number).store(number, std::memory_order_release);
  return place;
}

void LastWords::answered(std::size_t place) {
  std::atomic_ref(entries()[place].answered).store(1, std::memory_order_relaxed);
}

void LastWords::died(int signal, std::int64_t at_us) noexcept {
  auto& head = this->head();
  head.died_us = at_us;
  head.signal = signal;
}

}  // namespace millrace::serve
