#include "label/label.hpp"

#include <fmt/format.h>

namespace millrace::label {

std::string_view origin_name(Origin origin) {
  switch (origin) {
    case Origin::human:
      return "human";
    case Origin::system:
      return "system";
    case Origin::model:
      return "model";
  }
  return "";
}

Result<Origin> parse_origin(std::string_view name) {
  for (const Origin origin : {Origin::human, Origin::system, Origin::model}) {
    if (name == origin_name(origin)) return origin;
  }
  return fail(Code::invalid_argument, "label.bad_origin",
              fmt::format("'{}' is not an origin; expected human, system or model", name));
}

Digest digest_of(const Label& label) {
  Sha256 hash;
  // Length before text, so that no two labels share their bytes; an absent field has no length that a text could have.
  const auto put = [&](const std::optional<std::string>& text) {
    hash.update(text ? fmt::format("{}:{}", text->size(), *text) : "-;");
  };
  put("label 1");  // the layout of what follows
  put(label.model);
  put(label.prediction ? std::optional(label.prediction->text()) : std::nullopt);
  put(label.key);
  put(label.id);
  put(label.time_given ? std::optional(format_time(label.time)) : std::nullopt);
  put(std::string(origin_name(label.origin)));
  put(label.author);
  put(label.value);
  return hash.finish();
}

}  // namespace millrace::label
