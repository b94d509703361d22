#include "serve/prediction_log.hpp"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <format>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "serve/log_format_internal.hpp"
#include "serve/log_walk_internal.hpp"
#include "serve/shipped_internal.hpp"

namespace millrace::serve {

using namespace log_format;

std::uint32_t log_format::record_crc(std::uint32_t type, std::string_view payload) {
  std::uint32_t head[2] = {type, static_cast<std::uint32_t>(payload.size())};
  auto crc = crc32(0, reinterpret_cast<const Bytef*>(head), sizeof head);
  return static_cast<std::uint32_t>(
      crc32(crc, reinterpret_cast<const Bytef*>(payload.data()), static_cast<uInt>(payload.size())));
}

struct PredictionLog::Segment {
  std::unique_ptr<MappedFile> file;
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;
  // Apart from what every line only reads.
  alignas(64) std::atomic<std::uint64_t> reserved{segment_header_bytes};
  bool closed_and_synced = false;  // guarded by sync_mutex_, as is the next
  bool broken = false;             // a sync of it failed: no later one tells what is on the disk
  // Slot id % size holds the last schema id written here; a collision only writes a schema twice.
  alignas(64) std::array<std::atomic<std::uint32_t>, 256> schemas{};
};

namespace {

constexpr std::array<std::string_view, 6> why_names = {"current", "canary",    "header",
                                                       "shadow",  "probation", "fallback"};

std::string segment_name(std::uint64_t number) { return std::format("{:012}.mpl", number); }

// 0 for a file that is no segment.
std::uint64_t segment_number(std::string_view name) {
  constexpr std::string_view ending = ".mpl";
  if (!name.ends_with(ending)) return 0;
  name.remove_suffix(ending.size());
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() ? number : 0;
}

void write_value(Writer& out, const table::Value& value) {
  out.number(static_cast<std::uint8_t>(value.index()));
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, bool>) {
          out.number(static_cast<std::uint8_t>(v));
        } else if constexpr (std::is_same_v<T, std::string>) {
          out.text(v);
        } else if constexpr (std::is_same_v<T, table::Date>) {
          out.number(v.days);
        } else if constexpr (std::is_same_v<T, table::Timestamp>) {
          out.number(v.us);
        } else if constexpr (!std::is_same_v<T, std::monostate>) {
          out.number(v);
        }
      },
      value);
}

}  // namespace

std::string_view why_name(Why why) {
  const auto at = static_cast<std::size_t>(why);
  return at < why_names.size() ? why_names[at] : "unknown";
}

std::optional<Why> parse_why(std::string_view name) {
  const auto at = std::ranges::find(why_names, name);
  if (at == why_names.end()) return std::nullopt;
  return static_cast<Why>(at - why_names.begin());
}

std::string shadow_model(std::string_view model) { return std::string(model) + ".shadow"; }

Result<std::unique_ptr<PredictionLog>> PredictionLog::open(const Config& config, Env& env) {
  TRY_VOID(env.fs.make_dirs(config.dir));
  auto log = std::unique_ptr<PredictionLog>(new PredictionLog(config, env));
  TRY(auto segments, list_segments(env.fs, config.dir));
  log->number_ = std::max(config.numbers_used, segments.empty() ? 0 : segments.back().number);
  // What a killed process wrote is in memory only, and no later sync of this one would reach it. Bytes that are on the
  // disk already cost nothing.
  for (const auto& segment : segments) {
    if (segment.number <= config.rolled_through || segment.bytes == 0) continue;
    auto file = env.fs.open_mapped(segment.path, segment.bytes);
    auto synced = file ? (*file)->sync(0, segment.bytes) : Result<void>(fail(file.error()));
    if (!synced) env.log.error("prediction_log_not_synced", {{"error", synced.error().message}});
  }
  return log;
}

PredictionLog::~PredictionLog() {
  if (auto done = sync(); !done) env_.log.error("prediction_log_not_synced", {{"error", done.error().message}});
  if (prepared_) (void)env_.fs.remove(join_path(config_.dir, segment_name(number_ + 1)));
}

bool in_share(const Id& id, double share) {
  if (share >= 1) return true;
  std::uint64_t halves[2];
  std::memcpy(halves, id.bytes.data(), sizeof halves);
  // The finaliser of SplitMix64 (Steele, Lea, Flood 2014): each bit of the id turns half of the result's.
  auto x = halves[0] ^ halves[1];
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1p-53 < share;
}

PredictionLog::Handle PredictionLog::schema(const LogSchema& schema) {
  auto id = schemas_.fetch_add(1) + 1;
  std::string record;
  Writer out(record);
  out.number(id);
  out.text(schema.model);
  out.number(schema.version);
  out.number(static_cast<std::uint32_t>(schema.inputs.size()));
  for (const auto& field : schema.inputs) {
    out.text(field.name);
    out.text(table::type_name(field.type));
  }
  out.number(static_cast<std::uint32_t>(schema.classes.size()));
  for (const auto& name : schema.classes) out.text(name);
  out.number(schema.share);
  return {id, std::make_shared<const std::string>(std::move(record))};
}

Result<void> PredictionLog::append(const Handle& handle, const Id& id, TimePoint time, std::string_view key,
                                   std::span<const float> scores, std::int32_t decision,
                                   std::span<const table::Value> inputs, Why why, const Id* live) {
  thread_local std::string payload;
  payload.clear();
  Writer out(payload);
  out.number(handle.id);
  payload.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  out.number(static_cast<std::int64_t>(time.time_since_epoch().count()));
  out.text(key);
  out.number(decision);
  out.number(static_cast<std::uint32_t>(scores.size()));
  payload.append(reinterpret_cast<const char*>(scores.data()), scores.size_bytes());
  out.number(static_cast<std::uint32_t>(inputs.size()));
  for (const auto& value : inputs) write_value(out, value);
  if (why != Why::current) {
    out.number(static_cast<std::uint8_t>(why));
    if (why == Why::shadow)
      payload.append(reinterpret_cast<const char*>((live ? *live : Id{}).bytes.data()), id.bytes.size());
  }
  if (payload.size() > config_.line_bytes_max || handle.record->size() > config_.line_bytes_max) {
    return fail(Code::resource_exhausted, "serve.line_too_long",
                std::format("a row of {} bytes does not fit the prediction log (at most {}): send shorter texts",
                            payload.size(), config_.line_bytes_max));
  }

  auto segment = segment_.load(std::memory_order_acquire);
  for (;;) {
    if (segment) {
      auto& slot = segment->schemas[handle.id % segment->schemas.size()];
      if (slot.load(std::memory_order_acquire) != handle.id) {
        auto at = segment->reserved.fetch_add(padded(handle.record->size()));
        if (at + padded(handle.record->size()) <= segment->bytes) {
          TRY_VOID(put(*segment, at, record_schema, *handle.record));
          slot.store(handle.id, std::memory_order_release);
        }
      }
      auto at = segment->reserved.fetch_add(padded(payload.size()));
      ahead(*segment, at, padded(payload.size()));
      if (at + padded(payload.size()) <= segment->bytes) {
        TRY_VOID(put(*segment, at, record_prediction, payload));
        appended_.fetch_add(1, std::memory_order_relaxed);
        return {};
      }
    }
    TRY(segment, next_segment(segment.get()));
  }
}

Result<void> PredictionLog::append_shipped(const ShippedFrom& from, std::string_view items) {
  const auto payload = shipped_payload(from, items);
  const auto bytes = padded(payload.size());
  if (bytes > config_.segment_bytes - segment_header_bytes)
    return fail(Code::resource_exhausted, "serve.line_too_long",
                std::format("{} bytes do not fit a segment of the prediction log", bytes));
  auto segment = segment_.load(std::memory_order_acquire);
  std::uint64_t at = 0;
  while (!segment || (at = segment->reserved.fetch_add(bytes)) + bytes > segment->bytes) {
    TRY(segment, next_segment(segment.get()));
  }
  ahead(*segment, at, bytes);
  TRY_VOID(put(*segment, at, record_shipped, payload));
  auto synced = sync();
  if (synced) {
    std::lock_guard lock(sync_mutex_);
    if (segment->broken) synced = fail(Code::unavailable, "serve.log_not_synced", "the prediction log was not synced");
  }
  // Whoever sent it sends it again; then it must not stand here twice.
  if (!synced) {
    auto* magic = reinterpret_cast<std::uint32_t*>(segment->file->bytes().data() + at);
    std::atomic_ref<std::uint32_t>(*magic).store(0, std::memory_order_release);
  }
  return synced;
}

Result<void> PredictionLog::put(Segment& segment, std::uint64_t at, std::uint32_t type, std::string_view payload) {
  auto* to = segment.file->bytes().data() + at;
  RecordHeader header{0, static_cast<std::uint32_t>(payload.size()), type, record_crc(type, payload)};
  std::memcpy(to, &header, sizeof header);
  std::memcpy(to + sizeof header, payload.data(), payload.size());
  TRY_VOID(env_.faults.reach("serve.log.before_line"));
  std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(to)).store(record_magic, std::memory_order_release);
  return env_.faults.reach("serve.log.after_line");
}

Result<void> PredictionLog::room_for_one_more() {
  const auto bound = bytes_max();
  if (bound == 0) return {};
  TRY(auto segments, list_segments(env_.fs, config_.dir));
  std::uint64_t bytes = config_.segment_bytes;
  for (const auto& segment : segments) bytes += segment.bytes;
  if (bytes <= bound) return {};
  return fail(Code::resource_exhausted, "serve.log_bound",
              std::format("the prediction log's files have reached {} = {}; they shrink when {}", config_.bound_text,
                          bound, config_.room_text));
}

// Its blocks are reserved before it is mapped: a store into a page that has none ends the process on a full disk.
Result<std::unique_ptr<MappedFile>> PredictionLog::make_segment(std::uint64_t number) {
  auto path = join_path(config_.dir, segment_name(number));
  TRY(auto file, env_.fs.open_mapped(path, config_.segment_bytes));
  TRY_VOID(env_.faults.reach("serve.segment.after_create"));
  TRY_VOID(env_.fs.sync_dir(config_.dir));
  TRY_VOID(env_.faults.reach("serve.segment.before_header"));
  SegmentHeader header{};
  std::copy(std::begin(segment_magic), std::end(segment_magic), header.magic);
  header.format = 1;
  header.sync_ms = static_cast<std::uint32_t>(config_.sync_every.count() / 1000);
  header.number = number;
  header.created_us = env_.clock.now().time_since_epoch().count();
  header.bytes = config_.segment_bytes;
  std::memcpy(file->bytes().data(), &header, sizeof header);
  TRY_VOID(env_.faults.reach("serve.segment.after_header"));
  return file;
}

Result<std::unique_ptr<MappedFile>> PredictionLog::take_segment(std::uint64_t number) {
  if (prepared_) return std::move(prepared_);
  TRY_VOID(room_for_one_more());
  begun_ = number;
  auto file = make_segment(number);
  // Begun anew, not gone on with: a second sync of what a first one failed to would say yes and mean nothing.
  if (!file) (void)env_.fs.remove(join_path(config_.dir, segment_name(number)));
  return file;
}

void PredictionLog::ahead(const Segment& segment, std::uint64_t at, std::uint64_t bytes) {
  if (const auto half = segment.bytes / 2; at >= half || at + bytes < half) return;
  {
    std::lock_guard lock(wanted_mutex_);
    wanted_ = true;
  }
  wanted_changed_.notify_one();
}

void PredictionLog::prepare() {
  if (!wanted_.exchange(false)) return;
  std::lock_guard lock(roll_mutex_);
  if (prepared_ || not_made_ || !room_for_one_more()) return;
  const auto number = number_ + 1;
  // What can't be made now is tried, and told, by the line that needs it.
  if (auto file = make_segment(number)) {
    (*file)->fault_in();
    prepared_ = *std::move(file);
  } else {
    (void)env_.fs.remove(join_path(config_.dir, segment_name(number)));
  }
}

void PredictionLog::prepare_until(std::stop_token stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(wanted_mutex_);
      wanted_changed_.wait(lock, stop, [&] { return wanted_.load(); });
    }
    prepare();
  }
}

Result<std::shared_ptr<PredictionLog::Segment>> PredictionLog::next_segment(const Segment* full) {
  std::lock_guard lock(roll_mutex_);
  auto present = segment_.load();
  if (present && present.get() != full) return present;  // somebody else was first
  if (not_made_ && env_.clock.steady() < make_again_at_) return fail(*not_made_);
  const auto number = number_ + 1;
  auto file = take_segment(number);
  if (!file) {
    not_made_ = file.error();
    make_again_at_ = env_.clock.steady() + config_.make_again_after;
    return fail(file.error());
  }
  not_made_.reset();
  auto next = std::make_shared<Segment>();
  next->file = *std::move(file);
  next->number = number;
  next->bytes = config_.segment_bytes;
  number_ = number;
  if (made_.last == 0 || made_.last + 1 != number)
    made_.first = number;  // of the one before nothing but its file may be there
  made_.last = number;
  {
    std::lock_guard sync_lock(sync_mutex_);
    unsynced_.push_back(next);
  }
  segment_.store(next, std::memory_order_release);
  return next;
}

Result<void> PredictionLog::sync() {
  std::lock_guard lock(sync_mutex_);
  std::erase_if(unsynced_, [](const auto& segment) { return segment->closed_and_synced; });
  Result<void> all;
  for (auto& segment : unsynced_) {
    // A closed segment whose last writer has gone (nobody else holds it) is complete: this sync is its last.
    bool last = segment != segment_.load() && segment.use_count() == 1;
    std::atomic_thread_fence(std::memory_order_acquire);  // what that writer wrote comes before this sync
    auto end = std::min(segment->reserved.load(), segment->bytes);
    TRY_VOID(env_.faults.reach("serve.log.before_sync"));
    auto synced = segment->broken ? Result<void>() : segment->file->sync(0, end);  // only dirty pages are written
    if (!synced) {
      // The next line goes elsewhere, and the other segments are synced all the same.
      segment->broken = true;
      auto present = segment;
      segment_.compare_exchange_strong(present, nullptr);
      all = fail(synced.error());
      continue;
    }
    TRY_VOID(env_.faults.reach("serve.log.after_sync"));
    segment->closed_and_synced = last;
  }
  return all;
}

void PredictionLog::close_segment() {
  std::lock_guard lock(roll_mutex_);
  segment_.store(nullptr, std::memory_order_release);
  number_ = std::max(number_, begun_);
}

std::optional<PredictionLog::Made> PredictionLog::made() {
  std::lock_guard lock(roll_mutex_);
  return made_.last == 0 ? std::nullopt : std::optional(made_);
}

Result<std::vector<SegmentFile>> PredictionLog::segments(std::uint64_t after) {
  const auto begun = [&] {
    std::lock_guard lock(roll_mutex_);
    return number_;
  }();
  TRY(auto all, list_segments(env_.fs, config_.dir, after));
  std::erase_if(all, [&](const auto& segment) { return segment.number > begun; });
  return all;
}

Result<std::uint64_t> PredictionLog::closed_through() {
  TRY_VOID(sync());
  std::lock_guard roll_lock(roll_mutex_);
  std::lock_guard sync_lock(sync_mutex_);
  auto through = number_;
  for (const auto& segment : unsynced_) {
    if (!segment->closed_and_synced) through = std::min(through, segment->number - 1);
  }
  return through;
}

namespace {

Result<table::Value> read_value(Reader& in) {
  switch (in.number<std::uint8_t>()) {
    case 0:
      return table::Value{};
    case 1:
      return table::Value{in.number<std::uint8_t>() != 0};
    case 2:
      return table::Value{in.number<std::int64_t>()};
    case 3:
      return table::Value{in.number<double>()};
    case 4:
      return table::Value{std::string(in.text())};
    case 5:
      return table::Value{table::Date{in.number<std::int32_t>()}};
    case 6:
      return table::Value{table::Timestamp{in.number<std::int64_t>()}};
    default:
      return fail(Code::data_loss, "serve.log_corrupt", "a value of an unknown kind");
  }
}

Result<LogSchema> read_schema(Reader& in) {
  LogSchema schema;
  schema.model = in.text();
  schema.version = in.number<std::int64_t>();
  auto inputs = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < inputs && in.ok(); ++i) {
    auto name = std::string(in.text());
    TRY(auto type, table::parse_type(in.text()));
    schema.inputs.push_back({std::move(name), type});
  }
  auto classes = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < classes && in.ok(); ++i) schema.classes.emplace_back(in.text());
  if (in.ok() && !in.done()) schema.share = in.number<double>();  // not there in segments of earlier versions
  if (!in.ok()) return fail(Code::data_loss, "serve.log_corrupt", "a schema record ends early");
  return schema;
}

Result<LoggedPrediction> read_line(Reader& in) {
  LoggedPrediction line;
  auto id = in.raw(line.id.bytes.size());
  if (in.ok()) std::memcpy(line.id.bytes.data(), id.data(), id.size());
  line.time = TimePoint(Duration(in.number<std::int64_t>()));
  line.key = in.text();
  line.decision = in.number<std::int32_t>();
  auto scores = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < scores && in.ok(); ++i) line.scores.push_back(in.number<float>());
  auto inputs = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < inputs && in.ok(); ++i) {
    TRY(auto value, read_value(in));
    line.inputs.push_back(std::move(value));
  }
  // Not there in the plain case, nor in segments of earlier versions.
  if (in.ok() && !in.done()) {
    line.why = static_cast<Why>(in.number<std::uint8_t>());
    if (line.why == Why::shadow) {
      const auto live = in.raw(line.id.bytes.size());
      if (in.ok()) std::memcpy(line.live.emplace().bytes.data(), live.data(), live.size());
    }
  }
  if (!in.ok()) return fail(Code::data_loss, "serve.log_corrupt", "a prediction record ends early");
  return line;
}

}  // namespace

Result<void> log_format::check_record(std::uint32_t type, std::string_view payload) {
  Reader in(payload);
  (void)in.number<std::uint32_t>();
  if (type == record_schema) {
    TRY_VOID(read_schema(in));
  } else {
    TRY_VOID(read_line(in));
  }
  return {};
}

Result<LogReadStats> read_prediction_segment(Fs& fs, const std::string& path, const OnLine& on_line) {
  LogReadStats stats;
  stats.segments = 1;
  TRY(auto content, read_file(fs, path, std::uint64_t{1} << 32));
  SegmentHeader header;
  if (content.empty()) return stats;  // the machine died while it was made
  if (content.size() < segment_header_bytes) {
    return fail(Code::data_loss, "serve.log_corrupt", path + ": shorter than a segment header; run millrace doctor");
  }
  std::memcpy(&header, content.data(), sizeof header);
  if (std::all_of(content.begin(), content.begin() + segment_header_bytes, [](char c) { return c == 0; })) return stats;
  if (!std::equal(std::begin(segment_magic), std::end(segment_magic), header.magic) || header.format != 1) {
    return fail(Code::data_loss, "serve.log_corrupt",
                path + ": not a prediction log segment of format 1; run millrace doctor");
  }
  using Schemas = std::vector<std::pair<std::uint32_t, LogSchema>>;
  auto each = [&](Schemas& schemas, std::uint32_t type, std::string_view payload) -> Result<void> {
    Reader in(payload);
    auto id = in.number<std::uint32_t>();
    if (type == record_schema) {
      TRY(auto schema, read_schema(in));
      schemas.emplace_back(id, std::move(schema));
    } else if (type == record_prediction) {
      auto found = std::find_if(schemas.rbegin(), schemas.rend(), [&](const auto& s) { return s.first == id; });
      if (found == schemas.rend()) {
        ++stats.damaged;  // its schema record was lost
        return {};
      }
      TRY(auto line, read_line(in));
      ++stats.lines;
      TRY_VOID(on_line(found->second, std::move(line)));
    }
    return {};
  };
  Schemas own;
  auto on_record = [&](std::uint64_t, std::uint32_t type, std::string_view payload) -> Result<void> {
    if (type != record_shipped) return each(own, type, payload);
    Schemas theirs;
    Reader in(payload);
    TRY_VOID(read_shipped_head(in));
    return walk_items(in, [&](std::uint32_t item, std::string_view content) { return each(theirs, item, content); });
  };
  TRY_VOID(
      walk_records(content, {on_record, [&](const DamagedPlace& place) { stats.damaged += place.stray ? 0 : 1; }}));
  return stats;
}

Result<LogReadStats> read_prediction_log(Fs& fs, const std::string& dir, const OnLine& on_line, std::uint64_t after) {
  LogReadStats all;
  TRY(auto segments, list_segments(fs, dir, after));
  for (const auto& segment : segments) {
    TRY(auto stats, read_prediction_segment(fs, segment.path, on_line));
    all.segments += stats.segments;
    all.lines += stats.lines;
    all.damaged += stats.damaged;
  }
  return all;
}

Result<std::vector<SegmentFile>> list_segments(Fs& fs, const std::string& dir, std::uint64_t after) {
  std::vector<SegmentFile> out;
  auto files = fs.list(dir);
  if (!files) {
    // Only that. An input/output error taken for an empty log would let its lines be removed as rolled.
    if (files.error().code == Code::not_found) return out;
    return fail(files.error());
  }
  for (const auto& file : *files) {
    if (auto number = segment_number(file.name); number > after)
      out.push_back({number, join_path(dir, file.name), file.size});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  return out;
}

Result<std::optional<TimePoint>> segment_made(Fs& fs, const std::string& path) {
  TRY(auto file, fs.open_read(path));
  SegmentHeader header{};
  TRY(auto got, file->read(0, std::as_writable_bytes(std::span(&header, 1))));
  if (got < sizeof header || header.created_us == 0) return std::nullopt;
  return TimePoint(Duration(header.created_us));
}

}  // namespace millrace::serve
