// The prediction log: what was asked and what was answered, in `serve`'s own mapped segment files.
// append() returns before the answer is sent and makes no system call: the line survives kill -9 of the process. It
// survives a power cut once sync() has run (the owner calls it every Config::sync_every: the stated loss window).
// The bytes are described in docs/formats/prediction_log.md.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "base/fs.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "serve/shipped.hpp"
#include "table/value.hpp"

namespace millrace::serve {

// What makes a line readable without anything else: written into each segment before its first line of that kind.
struct LogSchema {
  std::string model;
  std::int64_t version = 0;
  std::vector<table::Field> inputs;  // in the order of a line's inputs
  std::vector<std::string> classes;  // empty for a regression
  double share = 1;                  // of the rows that get a line; which ones: in_share()
};

// Whether a row gets a line when `share` (0 to 1) of them do: by a hash of its id, so that the same id gives the same
// answer everywhere and a larger share has all rows of a smaller one.
bool in_share(const Id& id, double share);

// Why this version answered: it is current, or current and on probation; a release's share of the traffic; the request
// named it; nobody was answered, for it ran beside the one that answered; or the one asked had failed.
enum class Why : std::uint8_t { current, canary, header, shadow, probation, fallback };
std::string_view why_name(Why why);  // "canary"
std::optional<Why> parse_why(std::string_view name);

// The lines of shadow answers are those of a model of this name: what reads a model's lines does not meet them.
std::string shadow_model(std::string_view model);  // "churn.shadow"

struct LoggedPrediction {
  Id id;
  TimePoint time{};
  std::string key;             // the row's entity key, "" when it has none
  std::vector<float> scores;   // binary: of classes[1]; multiclass: one per class; regression: the value
  std::int32_t decision = -1;  // index into classes; -1 for a regression
  table::Row inputs;
  Why why = Why::current;
  std::optional<Id> live;  // of a shadow answer: the prediction that was answered instead
};

struct SegmentFile {
  std::uint64_t number = 0;
  std::string path;
  std::uint64_t bytes = 0;
};

class PredictionLog {
 public:
  struct Config {
    std::string dir;
    std::uint64_t segment_bytes = 8u << 20;
    std::uint64_t line_bytes_max = 1u << 20;  // a longer line is refused: resource_exhausted `serve.line_too_long`
    Duration sync_every = std::chrono::seconds(1);
    // Numbers up to this one are used up, whether their files are there or not: no segment gets one of them again.
    std::uint64_t numbers_used = 0;
    // After a segment could not be made, lines are refused at once for so long: whoever asks does not wait for the
    // disk.
    Duration make_again_after = std::chrono::seconds(1);
    // The lines of segments up to this one are kept elsewhere: their files need no sync.
    std::uint64_t rolled_through = 0;
    // Said where set_bytes_max() refuses: what the bound is called, and what makes room.
    std::string bound_text = "[serve.log] bytes";
    std::string room_text = "their lines are rolled into Parquet (millrace ingest MODEL.predictions)";
  };
  // One per kind of line; cheap to copy. From schema().
  struct Handle {
    std::uint32_t id = 0;
    std::shared_ptr<const std::string> record;
  };

  // Makes durable what an earlier process left; where the disk refuses that, the log says so.
  static Result<std::unique_ptr<PredictionLog>> open(const Config& config, Env& env);
  ~PredictionLog();

  Handle schema(const LogSchema& schema);
  // Thread-safe, lock-free while the segment has room. `fs.*` when a new segment can't be made: the line is not kept.
  Result<void> append(const Handle& handle, const Id& id, TimePoint time, std::string_view key,
                      std::span<const float> scores, std::int32_t decision, std::span<const table::Value> inputs,
                      Why why = Why::current, const Id* live = nullptr);
  // Makes the next segment ahead of its first line where one is wanted: the present one is half full. Making one takes
  // milliseconds, and without this the writer that finds no room waits for it. Thread-safe.
  void prepare();
  // prepare(), whenever it is wanted, until it is told to stop: for a thread of its own.
  void prepare_until(std::stop_token stop);
  // Lines of another process's log, as one record: all of them are there or none is. Durable when it returns; after an
  // error they are not there. `items` as check_piece() lets pass.
  Result<void> append_shipped(const ShippedFrom& from, std::string_view items);
  // Makes everything appended before the call durable. After an error what was not durable yet may be lost in a power
  // cut, and no later call changes that; lines that come afterwards go into another segment.
  Result<void> sync();
  // No segment is made that would take the folder's segments past this; 0: no bound. Lines that find no room are
  // refused: resource_exhausted `serve.log_bound`. Thread-safe.
  void set_bytes_max(std::uint64_t bytes) { bytes_max_.store(bytes, std::memory_order_relaxed); }
  std::uint64_t bytes_max() const { return bytes_max_.load(std::memory_order_relaxed); }

  // Closes the present segment: the next line goes into another one. Writers in the middle of a line finish it where
  // they began. A segment that could not be made whole is closed too.
  void close_segment();
  // Those numbered above `after` that may have lines, by number: not the one that was made ahead. Whatever was appended
  // before the call is in them. Thread-safe.
  Result<std::vector<SegmentFile>> segments(std::uint64_t after = 0);
  // The highest number such that no segment up to it changes any more, and all of it is durable.
  Result<std::uint64_t> closed_through();

  // Segments that this process has made, headers and all: the last one, and those before it without a gap; nothing
  // before the first line. Thread-safe.
  struct Made {
    std::uint64_t first = 0, last = 0;
    bool operator==(const Made&) const = default;
  };
  std::optional<Made> made();

  std::uint64_t appended() const { return appended_.load(std::memory_order_relaxed); }
  const Config& config() const { return config_; }

 private:
  struct Segment;
  PredictionLog(const Config& config, Env& env) : config_(config), env_(env) {}
  Result<std::shared_ptr<Segment>> next_segment(const Segment* full);
  Result<void> put(Segment& segment, std::uint64_t at, std::uint32_t type, std::string_view payload);

  Config config_;
  Env& env_;
  std::atomic<std::shared_ptr<Segment>> segment_;
  std::mutex roll_mutex_;
  std::mutex sync_mutex_;
  std::uint64_t number_ = 0;  // guarded by roll_mutex_, as are the next two
  std::uint64_t begun_ = 0;   // making this one was begun: its file may be there, and the next line would go into it
  Made made_;
  std::optional<Error> not_made_;  // why the next segment could not be made, and when that is tried again
  SteadyPoint make_again_at_{};
  std::unique_ptr<MappedFile> prepared_;  // the one after number_, without a line; guarded by roll_mutex_
  std::mutex wanted_mutex_;
  std::condition_variable_any wanted_changed_;
  std::atomic<bool> wanted_ = false;
  void ahead(const Segment& segment, std::uint64_t at,
             std::uint64_t bytes);  // the next is wanted where this passes half
  Result<std::unique_ptr<MappedFile>> make_segment(std::uint64_t number);
  Result<std::unique_ptr<MappedFile>> take_segment(std::uint64_t number);
  Result<void> room_for_one_more();
  std::atomic<std::uint64_t> bytes_max_{0};
  std::vector<std::shared_ptr<Segment>> unsynced_;
  std::atomic<std::uint32_t> schemas_{0};
  std::atomic<std::uint64_t> appended_{0};
};

// Reads every whole line of the log folder, oldest segment first; a torn or unfinished record is stepped over. A
// segment being written is read as far as it is. `schema` belongs to the line.
using OnLine = std::function<Result<void>(const LogSchema& schema, LoggedPrediction&& line)>;
struct LogReadStats {
  std::uint64_t segments = 0;
  std::uint64_t lines = 0;
  std::uint64_t damaged = 0;  // places where bytes that are not a record were stepped over
};
// Only segments with numbers above `after`.
Result<LogReadStats> read_prediction_log(Fs& fs, const std::string& dir, const OnLine& on_line,
                                         std::uint64_t after = 0);
Result<LogReadStats> read_prediction_segment(Fs& fs, const std::string& path, const OnLine& on_line);

// Those with numbers above `after`, in order. None when there is no folder.
Result<std::vector<SegmentFile>> list_segments(Fs& fs, const std::string& dir, std::uint64_t after = 0);
// A segment's first line is not older; absent when its maker died before it said so, and then there is no line in it.
Result<std::optional<TimePoint>> segment_made(Fs& fs, const std::string& path);

}  // namespace millrace::serve
