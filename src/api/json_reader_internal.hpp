// Reads JSON once from left to right, straight into what the caller wants: a tensor's numbers go into its own buffer
// and never become a tree. Besides JSON it takes NaN, which Python's clients write for a missing number.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace::api {

// Every error is invalid_argument `api.bad_json` and names the byte. The text must be UTF-8 (check it before) and
// outlive the reader.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  enum class Kind { object, array, string, number, boolean, null, nan, end, broken };
  Kind peek();  // of the next value; `nan` also stands for infinities

  // Calls `member(name)` for each, which reads the value.
  template <class F>
  Result<void> object(F member) {
    TRY_VOID(open('{', "an object"));
    for (bool first = true;; first = false) {
      TRY(const bool more, next('}', first));
      if (!more) return {};
      TRY(const auto name, string());
      TRY_VOID(colon());
      TRY_VOID(member(name));
    }
  }
  // Calls `item()` for each, which reads it.
  template <class F>
  Result<void> array(F item) {
    TRY_VOID(open('[', "an array"));
    for (bool first = true;; first = false) {
      TRY(const bool more, next(']', first));
      if (!more) return {};
      TRY_VOID(item());
    }
  }
  Result<std::string> string();
  Result<std::string_view> number();  // its text, which is a JSON number
  Result<bool> boolean();
  Result<void> null();
  Result<std::string_view> nan();  // "NaN", "Infinity", "-Infinity"
  Result<void> skip();             // any value, checked
  // The text of a value, checked, for later.
  Result<std::string_view> raw();
  Result<void> end();  // nothing follows

  std::unexpected<Error> wrong(std::string_view expected);

 private:
  void blank();
  Result<void> open(char c, std::string_view what);
  Result<bool> next(char close, bool first);
  Result<void> colon();
  Result<void> word(std::string_view text);
  Result<void> escape(std::string& out);
  Result<unsigned> hex4();

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace millrace::api
