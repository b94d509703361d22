#include "serve/choice.hpp"

#include <charconv>
#include <format>

namespace millrace::serve {

Result<Choice> parse_choice(std::string_view text) {
  using Kind = Choice::Kind;
  if (text.empty()) return Choice{};
  if (text == "current") return Choice{Kind::current};
  if (text == "candidate") return Choice{Kind::candidate};
  Choice out{Kind::number};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.number);
  if (error == std::errc() && end == text.data() + text.size() && out.number >= 0) return out;
  return fail(Code::invalid_argument, "serve.bad_choice",
              std::format("{}: '{}' names no version; write its number, current or candidate", kChoiceHeader,
                          text.substr(0, 40)));
}

}  // namespace millrace::serve
