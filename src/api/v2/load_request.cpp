#include "api/v2/load_request.hpp"

#include <simdjson.h>

#include <array>
#include <cstdint>
#include <format>

#include "api/json_reader_internal.hpp"
#include "api/protobuf_internal.hpp"
#include "table/value.hpp"

namespace millrace::api::v2 {

namespace {

constexpr std::string_view kFile = "file:";

std::unexpected<Error> bad_file(std::string_view name, std::string_view what) {
  return fail(Code::invalid_argument, "v2.bad_file", std::format("'{}' {}", table::excerpt(name, 60), what));
}

}  // namespace

std::optional<std::string> from_base64(std::string_view text) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static constexpr auto values = [] {
    std::array<std::uint8_t, 256> out;
    out.fill(64);
    for (std::size_t i = 0; i < digits.size(); ++i)
      out[static_cast<unsigned char>(digits[i])] = static_cast<std::uint8_t>(i);
    return out;
  }();
  if (text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const std::size_t missing = i + 4 == text.size() ? padding : 0;
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const auto value = k + missing >= 4 ? std::uint8_t{0} : values[static_cast<unsigned char>(text[i + k])];
      if (value == 64) return std::nullopt;
      bits = bits << 6 | value;
    }
    for (std::size_t k = 0; k + missing < 3; ++k) out += static_cast<char>(bits >> (16 - 8 * k) & 0xff);
  }
  return out;
}

Result<std::vector<SentFile>> parse_load_files(std::string_view body) {
  std::vector<SentFile> out;
  if (!simdjson::validate_utf8(body)) return fail(Code::invalid_argument, "api.bad_json", "the JSON is no UTF-8 text");
  JsonReader json(body);
  if (json.peek() == JsonReader::Kind::end) return out;
  TRY_VOID(json.object([&](const std::string& member) -> Result<void> {
    if (member != "parameters" || json.peek() != JsonReader::Kind::object) return json.skip();
    return json.object([&](const std::string& parameter) -> Result<void> {
      if (!parameter.starts_with(kFile)) return json.skip();
      if (json.peek() != JsonReader::Kind::string) return json.wrong("a file's content in base64");
      TRY(const auto text, json.string());
      auto bytes = from_base64(text);
      if (!bytes) return bad_file(parameter, "is no base64 (RFC 4648)");
      out.push_back({parameter.substr(kFile.size()), *std::move(bytes)});
      return {};
    });
  }));
  TRY_VOID(json.end());
  return out;
}

Result<LoadRequest> parse_grpc_load(std::string_view message, bool load) {
  LoadRequest out{.load = load};
  TRY_VOID(each_field(message, [&](const ProtoField& field) -> Result<void> {
    if (field.is_bytes(1)) TRY_VOID(proto_text(field));  // of a repository; there is one
    if (field.is_bytes(2)) {
      TRY(out.model, proto_text(field));
    }
    if (!field.is_bytes(3) || !load) return {};
    std::string name;
    std::optional<std::string_view> bytes;
    TRY_VOID(each_field(field.bytes, [&](const ProtoField& entry) -> Result<void> {
      if (entry.is_bytes(1)) {
        TRY(name, proto_text(entry));
      } else if (entry.is_bytes(2)) {
        return each_field(entry.bytes, [&](const ProtoField& choice) -> Result<void> {
          if (choice.is_bytes(4)) bytes = choice.bytes;
          return {};
        });
      }
      return {};
    }));
    if (!name.starts_with(kFile)) return {};
    if (!bytes) return bad_file(name, "is a file's content: it comes as bytes_param");
    out.files.push_back({name.substr(kFile.size()), std::string(*bytes)});
    return {};
  }));
  return out;
}

}  // namespace millrace::api::v2
