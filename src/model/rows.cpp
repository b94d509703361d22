#include "model/rows.hpp"

#include "base/nearest.hpp"
#include "model/rows_internal.hpp"

namespace millrace::model {

RowParser::RowParser(const Manifest& manifest) {
  for (const auto& input : manifest.inputs) {
    names_.push_back(input.name);
    types_.push_back(input.type);
    required_.push_back(input.required);
  }
  inputs_ = names_.size();
  arrays_ = manifest.bare_outputs > 0 || manifest.takes_tensors();
  const auto add = [&](const std::string& name) {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == name) return static_cast<int>(i);
    }
    names_.push_back(name);
    return static_cast<int>(names_.size()) - 1;
  };
  if (!manifest.key.empty()) key_ = add(manifest.key);
  for (const auto& name : manifest.ignored) add(name);
  for (std::size_t i = 0; i < names_.size(); ++i) by_name_.emplace(names_[i], static_cast<int>(i));
}

int RowParser::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? -1 : found->second;
}

std::string RowParser::nearest_name(std::string_view name) const { return nearest(name.substr(0, 200), names_); }

std::string quoted(std::string_view text) {
  constexpr std::size_t kMax = 40;
  std::size_t length = std::min(text.size(), kMax);
  while (length < text.size() && length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;
  std::string out = "\"";
  for (const char c : text.substr(0, length))
    out.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c);
  out += length < text.size() ? "...\"" : "\"";
  return out;
}

}  // namespace millrace::model
