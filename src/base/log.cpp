#include "base/log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cmath>
#include <cstdio>
#include <ostream>

namespace millrace {
namespace {

constexpr std::string_view level_names[] = {"debug", "info", "warn", "error"};

// Length of the well-formed UTF-8 sequence at the front of `text`, 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = at(0);
  const std::size_t length = lead < 0x80                   ? 1
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4
                                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  if (length < 3) return length;
  const unsigned second = at(1);  // overlong forms, surrogates, past U+10FFFF
  if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
      (lead == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return length;
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const char c = text.front();
    std::size_t length = utf8_length(text);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else if (length == 0) {
      out += "\xef\xbf\xbd";  // not UTF-8: U+FFFD
      length = 1;
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  out += '"';
}

bool is_plain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '=' || c == 0x7f || c == '\\') return false;  // bytes past ASCII are negative
  }
  return true;
}

void append_value(std::string& out, const LogField& field, bool json) {
  if (const auto* text = std::get_if<std::string>(&field.value)) {
    if (!json && is_plain(*text)) {
      out += *text;
    } else {
      append_quoted(out, *text);
    }
  } else if (const auto* number = std::get_if<double>(&field.value)) {
    const bool quoted = json && !std::isfinite(*number);
    fmt::format_to(std::back_inserter(out), "{}{}{}", quoted ? "\"" : "", *number, quoted ? "\"" : "");
  } else if (const auto* whole = std::get_if<std::int64_t>(&field.value)) {
    fmt::format_to(std::back_inserter(out), "{}", *whole);
  } else {
    out += std::get<bool>(field.value) ? "true" : "false";
  }
}

std::string render(bool json, TimePoint time, Level level, std::string_view event,
                   std::initializer_list<LogField> fields) {
  auto stamp = format_time(time);
  stamp.replace(stamp.size() - 4, 3, "");  // milliseconds are enough for a log
  const auto name = level_names[static_cast<int>(level)];
  std::string out;
  if (!json) {
    out = fmt::format("{} {:<5} {}", stamp, name, event);
    for (const auto& field : fields) {
      fmt::format_to(std::back_inserter(out), " {}=", field.name);
      append_value(out, field, false);
    }
    return out;
  }
  out = fmt::format(R"({{"time":"{}","level":"{}","event":)", stamp, name);
  append_quoted(out, event);
  for (const auto& field : fields) {
    out += ',';
    append_quoted(out, field.name);
    out += ':';
    append_value(out, field, true);
  }
  out += '}';
  return out;
}

class SinkLog final : public Log {
 public:
  SinkLog(std::unique_ptr<spdlog::sinks::sink> sink, const LogConfig& config, Clock& clock)
      : sink_(std::move(sink)), level_(config.level), json_(config.json), clock_(clock) {
    sink_->set_pattern("%v");
  }

  void write(Level level, std::string_view event, std::initializer_list<LogField> fields) override {
    if (level < level_) return;
    const auto line = render(json_, clock_.now(), level, event, fields);
    try {
      sink_->log(spdlog::details::log_msg({}, spdlog::level::info, line));
      sink_->flush();  // so that the last lines before a crash are there
    } catch (const std::exception&) {
      lost_line(line);
    }
  }

 private:
  // The log file cannot be written (disk full): the line must not be lost without a trace, nor stop the work.
  static void lost_line(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

  std::unique_ptr<spdlog::sinks::sink> sink_;
  Level level_;
  bool json_;
  Clock& clock_;
};

class NullLog final : public Log {
 public:
  void write(Level, std::string_view, std::initializer_list<LogField>) override {}
};

}  // namespace

Result<std::unique_ptr<Log>> open_log(const LogConfig& config, Clock& clock) {
  try {
    std::unique_ptr<spdlog::sinks::sink> sink;
    if (config.file.empty()) {
      sink = std::make_unique<spdlog::sinks::stderr_sink_mt>();
    } else {
      sink = std::make_unique<spdlog::sinks::rotating_file_sink_mt>(config.file, config.file_bytes_max,
                                                                    config.files_max > 0 ? config.files_max - 1 : 0);
    }
    return std::make_unique<SinkLog>(std::move(sink), config, clock);
  } catch (const std::exception& error) {
    return fail(Code::unavailable, "base.log_unavailable",
                fmt::format("cannot write the log file {}: {}", config.file, error.what()));
  }
}

std::unique_ptr<Log> null_log() { return std::make_unique<NullLog>(); }

LogField::LogField(std::string_view n, const Secret&) : name(n), value(std::string("***")) {}

std::ostream& operator<<(std::ostream& out, const Secret&) { return out << "***"; }

}  // namespace millrace
