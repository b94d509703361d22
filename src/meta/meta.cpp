#include "meta/meta.hpp"

#include "base/check.hpp"

namespace millrace::meta {

namespace {

[[noreturn]] void wrong_type(std::size_t i, const char* wanted, const Value& value) {
  static constexpr const char* names[] = {"null", "an integer", "a real", "a text"};
  broken("column " + std::to_string(i) + " of a row holds " + names[value.index()] + " where " + wanted +
         " was asked for");
}

}  // namespace

const Value& Row::at(std::size_t i) const {
  check(i < values_.size(), "a row has the column that is asked for");
  return values_[i];
}

std::int64_t Row::integer(std::size_t i) const {
  if (const auto* v = std::get_if<std::int64_t>(&at(i))) return *v;
  wrong_type(i, "an integer", at(i));
}

double Row::real(std::size_t i) const {
  if (const auto* v = std::get_if<double>(&at(i))) return *v;
  if (const auto* v = std::get_if<std::int64_t>(&at(i))) return static_cast<double>(*v);
  wrong_type(i, "a real", at(i));
}

const std::string& Row::text(std::size_t i) const {
  if (const auto* v = std::get_if<std::string>(&at(i))) return *v;
  wrong_type(i, "a text", at(i));
}

std::optional<std::int64_t> Row::maybe_integer(std::size_t i) const {
  return is_null(i) ? std::nullopt : std::optional(integer(i));
}

std::optional<double> Row::maybe_real(std::size_t i) const {
  return is_null(i) ? std::nullopt : std::optional(real(i));
}

std::optional<std::string> Row::maybe_text(std::size_t i) const {
  return is_null(i) ? std::nullopt : std::optional(text(i));
}

std::optional<TimePoint> Row::maybe_time(std::size_t i) const {
  return is_null(i) ? std::nullopt : std::optional(time(i));
}

Result<std::optional<Row>> Reader::query_one(std::string_view sql, Params params) {
  TRY(auto rows, query(sql, std::move(params)));
  if (rows.empty()) return std::nullopt;
  return std::move(rows.front());
}

Result<std::int64_t> newest_event(Reader& reader) {
  TRY(const auto row, reader.query_one("SELECT value FROM meta_counters WHERE name = 'outbox'"));
  return row ? row->integer(0) : 0;
}

}  // namespace millrace::meta
