// The structured log: an event name plus fields, one line each. Library code does not print.
//   log.info("model_loaded", {{"model", name}, {"version", version}, {"ms", took}});
// as text:  2026-11-20T09:40:00.123Z info  model_loaded model=churn version=3 ms=12
// as JSON:  {"time":"...","level":"info","event":"model_loaded","model":"churn","version":3,"ms":12}
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.hpp"
#include "base/result.hpp"

namespace millrace {

class Secret;

enum class Level { debug, info, warn, error };

struct LogField {
  std::string_view name;
  std::variant<std::int64_t, double, bool, std::string> value;

  template <std::integral T>
    requires(!std::same_as<T, bool>)
  LogField(std::string_view n, T v) : name(n), value(static_cast<std::int64_t>(v)) {}
  LogField(std::string_view n, double v) : name(n), value(v) {}
  LogField(std::string_view n, bool v) : name(n), value(v) {}
  LogField(std::string_view n, std::string v) : name(n), value(std::move(v)) {}
  LogField(std::string_view n, std::string_view v) : name(n), value(std::string(v)) {}
  LogField(std::string_view n, const char* v) : name(n), value(std::string(v)) {}
  LogField(std::string_view n, const Secret&);  // "***"
};

// Thread-safe.
class Log {
 public:
  virtual ~Log() = default;
  virtual void write(Level level, std::string_view event, std::initializer_list<LogField> fields) = 0;
  void debug(std::string_view event, std::initializer_list<LogField> fields = {}) {
    write(Level::debug, event, fields);
  }
  void info(std::string_view event, std::initializer_list<LogField> fields = {}) { write(Level::info, event, fields); }
  void warn(std::string_view event, std::initializer_list<LogField> fields = {}) { write(Level::warn, event, fields); }
  void error(std::string_view event, std::initializer_list<LogField> fields = {}) {
    write(Level::error, event, fields);
  }
};

struct LogConfig {
  Level level = Level::info;
  bool json = false;
  std::string file;                        // empty: standard error
  std::size_t file_bytes_max = 16u << 20;  // rotated after that
  std::size_t files_max = 4;               // file, file.1, file.2, ...; older ones are dropped
};

// `clock` outlives the log. unavailable `base.log_unavailable` when the file cannot be opened. A line that cannot be
// written later goes to standard error.
Result<std::unique_ptr<Log>> open_log(const LogConfig& config, Clock& clock);
std::unique_ptr<Log> null_log();  // keeps nothing

// A text that never appears in a log, an error or an answer: streams and logs as "***"; formatting it doesn't compile.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  const std::string& reveal() const { return text_; }
  bool empty() const { return text_.empty(); }

 private:
  std::string text_;
};
std::ostream& operator<<(std::ostream& out, const Secret&);

}  // namespace millrace
