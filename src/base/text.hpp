// Text made fit to be shown: of unknown origin, and numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace {

// What a terminal, JSON and a log can hold: what is not UTF-8 and control characters become U+FFFD, runs of them one;
// "\r\n" and "\r" (a progress bar that rewrites its line) become "\n"; colours and other terminal sequences are left
// out. Tabs and line ends stay. Twice is the same as once.
std::string printable(std::string_view bytes);

// The last `bytes` at most, from the beginning of a line where one begins in them; line ends at the end are left out.
std::string_view last_lines(std::string_view text, std::size_t bytes);

// One word for a POSIX shell, for commands that people copy: as it is where that will do, else in single quotes.
std::string shell_word(std::string_view text);

// Appends `text` as a JSON string. It must be UTF-8.
void append_json_text(std::string& out, std::string_view text);
// Appends the shortest text that reads back as the same double; null where it is not finite: JSON has no NaN.
void append_json_number(std::string& out, double value);
void append_json_float(std::string& out, float value);  // the same of a float

std::string with_thousands(std::int64_t number);  // 7,043

}  // namespace millrace
