// Every kind of file that a data folder can hold. A file of no kind is none of Millrace's, and a test walks a folder
// that went through the whole loop and finds none.
#pragma once

#include <span>
#include <string_view>

namespace millrace::app {

struct FileKind {
  std::string_view name;     // "segment of the prediction log"
  std::string_view pattern;  // relative to the data folder; see matches()
  std::string_view writer;
  std::string_view needed_by;
  // Why nothing is lost with such a file, whatever happens to it; empty: something is, and doctor looks at it.
  std::string_view harmless;
};

std::span<const FileKind> file_kinds();

// Pure. In a pattern `#` stands for digits, `@` for a SHA-256 in hex, `*` for anything without '/', and `**` at the end
// for anything. The kind of a file, nullptr: none.
bool matches(std::string_view pattern, std::string_view path);
const FileKind* kind_of(std::string_view path);

}  // namespace millrace::app
