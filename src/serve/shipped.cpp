#include "serve/shipped.hpp"

#include <algorithm>
#include <cstring>
#include <format>
#include <map>
#include <set>

#include "serve/log_walk_internal.hpp"
#include "serve/prediction_log.hpp"
#include "serve/shipped_internal.hpp"

namespace millrace::serve {

using namespace log_format;

namespace {

std::unexpected<Error> ends_early() {
  return fail(Code::data_loss, "serve.log_corrupt", "a record of shipped lines ends early");
}

void add_item(std::string& items, std::uint32_t type, std::string_view payload) {
  Writer out(items);
  out.number(type);
  out.text(payload);
}

std::uint32_t schema_of(std::string_view payload) { return Reader(payload).number<std::uint32_t>(); }

std::unexpected<Error> bad_piece(const std::string& what) {
  return fail(Code::invalid_argument, "serve.bad_piece", "these are no lines of a prediction log: " + what);
}

}  // namespace

std::string log_format::shipped_payload(const ShippedFrom& from, std::string_view items) {
  std::string payload;
  Writer out(payload);
  out.text(from.predictor);
  out.text(from.segment);
  out.number(from.from);
  out.number(from.to);
  payload.append(items);
  return payload;
}

Result<ShippedFrom> log_format::read_shipped_head(Reader& in) {
  ShippedFrom from;
  from.predictor = in.text();
  from.segment = in.text();
  from.from = in.number<std::uint64_t>();
  from.to = in.number<std::uint64_t>();
  if (!in.ok()) return ends_early();
  return from;
}

Result<void> log_format::walk_items(
    Reader& in, const std::function<Result<void>(std::uint32_t type, std::string_view payload)>& on_item) {
  while (!in.done()) {
    const auto type = in.number<std::uint32_t>();
    const auto payload = in.text();
    if (!in.ok()) return ends_early();
    TRY_VOID(on_item(type, payload));
  }
  return {};
}

Result<std::optional<std::string>> segment_key(Fs& fs, const std::string& path, std::uint64_t number) {
  TRY(const auto made, segment_made(fs, path));
  if (!made) return std::nullopt;
  return std::format("{}-{}", number, made->time_since_epoch().count());
}

Result<LogPiece> read_piece(Fs& fs, const std::string& path, std::uint64_t from, bool closed) {
  TRY(const auto content, read_file(fs, path, std::uint64_t{1} << 32));
  LogPiece piece;
  piece.from = piece.to = from = std::max(from, segment_header_bytes);
  std::map<std::uint32_t, std::string_view> schemas;
  std::set<std::uint32_t> named;
  std::string lines;
  std::uint64_t expected = segment_header_bytes;
  const auto enough = fail(Code::cancelled, "serve.piece_is_full", "");
  const auto on_record = [&](std::uint64_t at, std::uint32_t type, std::string_view payload) -> Result<void> {
    if (!closed && at != expected) return enough;  // somebody is in the middle of a line
    expected = at + padded(payload.size());
    if (type == record_schema) schemas[schema_of(payload)] = payload;
    if (at < from) return {};
    if (type == record_prediction) {
      const auto schema = schemas.find(schema_of(payload));
      if (schema != schemas.end()) {  // else nobody can say what the line means
        if (!lines.empty() && lines.size() + payload.size() > kPieceBytes) return enough;
        if (named.insert(schema->first).second) add_item(piece.items, record_schema, schema->second);
        add_item(lines, type, payload);
        ++piece.lines;
      }
    }
    piece.to = expected;
    return {};
  };
  if (auto walked = walk_records(content, {on_record, [](const DamagedPlace&) {}});
      !walked && walked.error().code != Code::cancelled)
    return fail(std::move(walked).error());
  piece.items += lines;
  if (piece.lines == 0) piece.items.clear();
  return piece;
}

Result<std::uint64_t> check_piece(const ShippedFrom& from, std::string_view items) {
  const auto is_name = [](std::string_view text) { return !text.empty() && text.size() <= kShippedNameBytesMax; };
  if (!is_name(from.predictor) || !is_name(from.segment) || from.to <= from.from)
    return bad_piece("they do not say where they come from");
  if (items.size() > kPieceBytesMax) return bad_piece(std::format("{} bytes are too many", items.size()));
  std::uint64_t lines = 0;
  std::set<std::uint32_t> schemas;
  Reader in(items);
  auto walked = walk_items(in, [&](std::uint32_t type, std::string_view payload) -> Result<void> {
    if (type != record_schema && type != record_prediction) return bad_piece(std::format("a record of type {}", type));
    if (type == record_schema) schemas.insert(schema_of(payload));
    if (type == record_prediction && !schemas.contains(schema_of(payload))) return bad_piece("a line without a schema");
    if (type == record_prediction) ++lines;
    return check_record(type, payload);
  });
  if (!walked) return bad_piece(walked.error().message);
  return lines;
}

std::vector<ShippedLine> shipped_lines(std::string_view items) {
  std::vector<ShippedLine> out;
  std::map<std::uint32_t, std::string> models;
  Reader in(items);
  // What ends early has no further lines.
  (void)walk_items(in, [&](std::uint32_t type, std::string_view payload) -> Result<void> {
    Reader record(payload);
    const auto schema = record.number<std::uint32_t>();
    if (type == record_schema) models[schema] = record.text();
    if (type != record_prediction) return {};
    ShippedLine line{.model = models[schema], .id = {}, .key = {}};
    const auto id = record.raw(line.id.bytes.size());
    line.time = TimePoint(Duration(record.number<std::int64_t>()));
    line.key = record.text();
    if (!record.ok()) return ends_early();
    std::memcpy(line.id.bytes.data(), id.data(), id.size());
    out.push_back(std::move(line));
    return {};
  });
  return out;
}

Result<void> read_shipped(Fs& fs, const std::string& dir, std::uint64_t after,
                          const std::function<void(const ShippedFrom&, std::string_view items)>& on_piece) {
  TRY(const auto segments, list_segments(fs, dir, after));
  for (const auto& segment : segments) {
    TRY(const auto content, read_file(fs, segment.path, std::uint64_t{1} << 32));
    TRY_VOID(walk_records(content, {[&](std::uint64_t, std::uint32_t type, std::string_view payload) -> Result<void> {
                                      if (type != record_shipped) return {};
                                      Reader in(payload);
                                      if (auto head = read_shipped_head(in)) on_piece(*head, in.rest());
                                      return {};
                                    },
                                    [](const DamagedPlace&) {}}));
  }
  return {};
}

}  // namespace millrace::serve
