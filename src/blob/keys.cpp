#include "blob/keys.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <format>
#include <thread>
#include <utility>

#include "base/fault.hpp"
#include "base/fs.hpp"
#include "base/log.hpp"
#include "base/rng.hpp"
#include "blob/key_table_internal.hpp"

namespace millrace::blob {
namespace {

constexpr std::uint64_t keys_bytes_max = std::uint64_t{1} << 32;

template <std::size_t n>
void fill_at_random(std::array<std::uint8_t, n>& out, Rng& rng) {
  for (std::size_t i = 0; i < n; i += 8) {
    const auto bits = rng.next();
    for (std::size_t k = 0; k < 8 && i + k < n; ++k) out[i + k] = static_cast<std::uint8_t>(bits >> (8 * k));
  }
}

std::string mark_text(const MasterMark& mark) {
  std::string out;
  for (const auto byte : mark) out += std::format("{:02x}", byte);
  return out;
}

Result<std::string> read_from(const ReadableFile& file, std::uint64_t begin, std::uint64_t end) {
  std::string out(end - begin, '\0');
  TRY(const auto got, file.read(begin, std::as_writable_bytes(std::span(out))));
  out.resize(got);
  return out;
}

std::string make_command(const std::string& path) { return "openssl rand -hex 32 > " + path + " && chmod 600 " + path; }

}  // namespace

Result<MasterKey> read_master_key(Fs& fs, const std::string& path) {
  constexpr std::uint64_t text_max = 4096;
  auto text = read_file(fs, path, text_max);
  if (!text && text.error().code == Code::not_found) {
    return fail(
        Code::not_found, "blob.no_master_key",
        "the master key " + path + " is not there; bring it back if there was one, or make it: " + make_command(path));
  }
  if (!text) return fail(text.error());
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return fail(Code::failed_precondition, "blob.master_key_exposed",
                "the master key " + path + " can be read by others; run: chmod 600 " + path);
  }
  return parse_master_key(*text, path);
}

struct Keys::State {
  KeyTable table;
  bool known = false;  // the table is that of a file with this header and so many bytes
  std::uint64_t bytes = 0;
  KeysRead read;              // without its table: what was wrong
  bool rewrite_next = false;  // an append failed: what reached the disk of it is not known
};

Keys::Keys(Env env, KeysFile file)
    : env_(env), file_(std::move(file)), ids_(env.clock, env.rng), state_(std::make_unique<State>()) {}
Keys::~Keys() = default;

// The header is read each time, and the rest only when it says that the file was written anew, or when there is more.
Result<void> Keys::refresh() {
  auto& s = *state_;
  auto file = env_.fs.open_read(file_.path);
  if (!file && file.error().code == Code::not_found) {
    const bool rewrite = s.rewrite_next;
    s = {};
    s.rewrite_next = rewrite;
    return ok();
  }
  if (!file) return fail(file.error());
  const auto bytes = (*file)->size();
  TRY(const auto slot, read_from(**file, 0, std::min<std::uint64_t>(bytes, key_slot_bytes)));
  TRY(auto head, decode_keys(slot));
  const bool same = s.known && head.header && head.table.stamp == s.table.stamp;
  if (same && bytes == s.bytes) return ok();
  if (same && bytes > s.bytes && !s.read.torn) {
    TRY(const auto more, read_from(**file, s.bytes, bytes));
    KeysRead read{.table = std::move(s.table), .header = true, .damaged = s.read.damaged};
    decode_key_records(more, read);
    s.table = std::move(read.table);
    s.read = {.header = true, .damaged = read.damaged, .torn = read.torn};
    s.bytes += more.size();
    return ok();
  }
  if (bytes > keys_bytes_max) {
    return fail(Code::resource_exhausted, "fs.too_large",
                file_.path + " is larger than any file of keys that Millrace writes");
  }
  TRY(const auto all, read_from(**file, 0, bytes));
  TRY(auto read, decode_keys(all));
  s.table = std::move(read.table);
  s.read = {.header = read.header, .damaged = read.damaged, .torn = read.torn};
  s.bytes = all.size();
  s.known = read.header;
  return ok();
}

Result<std::unique_ptr<FileLock>> Keys::lock_file() {
  constexpr int looks_max = 10'000;
  for (int look = 0;; ++look) {
    auto lock = env_.fs.lock(file_.path + ".lock", "keys of blobs");
    if (lock || lock.error().reason != "fs.locked" || look == looks_max) return lock;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // an append and its sync: whoever has it is soon done
  }
}

Result<void> Keys::replace() {
  auto& s = *state_;
  s.known = false;  // until the new one is there
  s.table.stamp = env_.rng.next();
  const auto temporary = file_.path + ".tmp";
  const auto content = encode_keys(s.table);
  TRY(auto file, env_.fs.open_write(temporary, WriteMode::truncate));
  TRY_VOID(file->append(millrace::as_bytes(content)));
  TRY_VOID(env_.faults.reach("blob.keys.before_sync"));
  TRY_VOID(file->sync());
  TRY_VOID(env_.faults.reach("blob.keys.before_rename"));
  TRY_VOID(env_.fs.rename(temporary, file_.path));
  TRY_VOID(env_.faults.reach("blob.keys.after_rename"));
  TRY_VOID(env_.fs.sync_dir(parent_path(file_.path)));
  TRY_VOID(env_.faults.reach("blob.keys.after_folder_sync"));
  s.read = {.header = true};
  s.bytes = content.size();
  s.known = true;
  s.rewrite_next = false;
  return ok();
}

Result<void> Keys::append(const std::string& slot) {
  auto& s = *state_;
  // An interrupted append ends the file, or it is damaged or missing: all that is whole, and this, in a new one.
  if (!s.known || s.read.torn || s.rewrite_next) {
    if (s.bytes > 0) env_.log.warn("blob_keys_written_anew", {{"path", file_.path}, {"damaged", s.read.damaged}});
    KeysRead one{.table = std::move(s.table)};
    decode_key_records(slot, one);
    s.table = std::move(one.table);
    return replace();
  }
  s.rewrite_next = true;
  TRY(auto file, env_.fs.open_write(file_.path, WriteMode::append));
  TRY_VOID(env_.faults.reach("blob.keys.before_append"));
  TRY_VOID(file->append(millrace::as_bytes(slot)));
  TRY_VOID(env_.faults.reach("blob.keys.after_append"));
  TRY_VOID(file->sync());
  TRY_VOID(env_.faults.reach("blob.keys.after_append_sync"));
  s.rewrite_next = false;
  KeysRead one{.table = std::move(s.table)};
  decode_key_records(slot, one);
  s.table = std::move(one.table);
  s.bytes += slot.size();
  return ok();
}

Result<KeyState> Keys::state(const Id& id) {
  std::lock_guard lock(mutex_);
  TRY_VOID(refresh());
  const auto found = state_->table.records.find(id);
  if (found == state_->table.records.end()) return KeyState::absent;
  const auto* wrapped = std::get_if<WrappedKey>(&found->second);
  if (wrapped == nullptr) return KeyState::destroyed;
  if (!file_.master) return KeyState::locked;
  return wrapped->master == file_.master->mark ? KeyState::held : KeyState::foreign;
}

Result<AeadKey> Keys::key(const Id& id) {
  std::lock_guard lock(mutex_);
  TRY_VOID(refresh());
  const auto found = state_->table.records.find(id);
  const auto* wrapped = found == state_->table.records.end() ? nullptr : std::get_if<WrappedKey>(&found->second);
  AeadKey out;
  if (wrapped != nullptr && file_.master && unwrap_key(*wrapped, id, *file_.master, out)) return out;
  return fail(Code::failed_precondition, "blob.sealed",
              "the key " + id.text() + " in " + file_.path + " can't be opened with the master key that is here");
}

std::optional<SealingKey> Keys::fresh() {
  if (!file_.master) return std::nullopt;
  SealingKey out{.id = ids_.make()};
  fill_at_random(out.key.bytes, env_.rng);
  return out;
}

Result<void> Keys::keep(const SealingKey& key) {
  if (!file_.master) return fail(Code::failed_precondition, "blob.sealed", "there is no master key to keep a key with");
  AeadNonce nonce{};
  fill_at_random(nonce, env_.rng);
  const auto wrapped = wrap_key(key.key, key.id, *file_.master, nonce, env_.clock.now());
  std::lock_guard lock(mutex_);
  TRY(const auto among_processes, lock_file());
  TRY_VOID(refresh());
  return append(encode_key(key.id, wrapped));
}

Result<void> Keys::forget(const std::set<Id>& ids) {
  std::lock_guard lock(mutex_);
  TRY(const auto among_processes, lock_file());
  TRY_VOID(refresh());
  const auto forgotten = std::erase_if(state_->table.records, [&](const auto& one) {
    return std::holds_alternative<WrappedKey>(one.second) && ids.contains(one.first);
  });
  return forgotten == 0 ? ok() : replace();
}

Result<void> Keys::destroy(std::span<const Id> ids, const std::string& cause) {
  std::lock_guard lock(mutex_);
  TRY(const auto among_processes, lock_file());
  TRY_VOID(refresh());
  KeyTable gone;
  for (const Id& id : ids) gone.records.emplace(id, DestroyedKey{env_.clock.now(), cause.substr(0, cause_bytes_max)});
  if (!merge_keys(state_->table, gone)) return ok();
  TRY_VOID(replace());
  env_.log.info("blob_keys_destroyed", {{"keys", ids.size()}, {"cause", cause}});
  return ok();
}

Result<bool> Keys::take_from(const std::string& other, const std::set<Id>* only) {
  auto text = read_file(env_.fs, other, keys_bytes_max);
  if (!text && text.error().code == Code::not_found) return false;
  if (!text) return fail(text.error());
  TRY(auto read, decode_keys(*text));
  std::erase_if(read.table.records, [&](const auto& one) {
    return only != nullptr && std::holds_alternative<WrappedKey>(one.second) && !only->contains(one.first);
  });
  std::lock_guard lock(mutex_);
  TRY(const auto among_processes, lock_file());
  TRY_VOID(refresh());
  if (!merge_keys(state_->table, read.table)) return false;
  TRY_VOID(replace());
  return true;
}

Result<void> Keys::write_anew() {
  std::lock_guard lock(mutex_);
  TRY(const auto among_processes, lock_file());
  TRY_VOID(refresh());
  return replace();
}

Result<KeysSummary> Keys::look() {
  std::lock_guard lock(mutex_);
  TRY_VOID(refresh());
  const auto& s = *state_;
  KeysSummary out;
  out.there = exists(env_.fs, file_.path);
  for (const auto& [id, record] : s.table.records) {
    const auto* wrapped = std::get_if<WrappedKey>(&record);
    if (wrapped == nullptr) {
      ++out.destroyed;
    } else if (file_.master && wrapped->master != file_.master->mark) {
      ++out.foreign;
    } else {
      ++out.held;
    }
  }
  if (!out.there) return out;
  if (s.bytes == 0) {
    out.problem = "it is empty";
  } else if (!s.read.header) {
    out.problem = "its header is damaged";
  }
  if (s.read.damaged > 0) {
    out.problem += std::format("{}{} damaged record{}", out.problem.empty() ? "" : "; ", s.read.damaged,
                               s.read.damaged == 1 ? "" : "s");
  }
  out.torn = s.read.torn;
  return out;
}

Result<void> Keys::check_master() {
  if (!file_.master) return ok();
  TRY(const auto seen, look());
  if (seen.held > 0 || seen.foreign == 0) return ok();
  MasterMark theirs{};
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, record] : state_->table.records) {
      if (const auto* wrapped = std::get_if<WrappedKey>(&record)) theirs = wrapped->master;
    }
  }
  return fail(Code::failed_precondition, "blob.other_master_key",
              std::format("{} is not the master key of these blobs: it has the mark {}, the keys in {} were wrapped by "
                          "the one with the mark {}; name that one, nothing else opens them",
                          file_.master->path, mark_text(file_.master->mark), file_.path, mark_text(theirs)));
}

}  // namespace millrace::blob
