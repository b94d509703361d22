// How a failure is told: what happened, where, and what to do about it; one text for records, and its parts again.
#pragma once

#include <string>
#include <string_view>

namespace millrace::train {

struct FailureText {
  std::string what;   // one line
  std::string where;  // "train.py line 12, in load", "column 'age', row 700"; "" when there is no place
  std::string next;   // what mends it, with the command to give; "" when nothing is known
  std::string more;   // lines for who wants to know: what was printed last
  bool operator==(const FailureText&) const = default;
};

// WHAT, then lines "where: ..." and "next: ...", then the rest. Pure.
std::string render(const FailureText& failure);
// The parts of such a text; of any other text all is `what` and `more`. Pure.
FailureText read_failure_text(std::string_view text);

// What a command that ended badly was about, from the last lines that it printed: a Python traceback (the last frame in
// a file of the author's own, which lies below `folder`), a module or program that is missing, no memory, no disk.
struct CommandFault {
  std::string cause;  // code, dependency, memory, disk
  FailureText text;   // `what` is empty when the lines say nothing that is known
};
CommandFault read_command_fault(std::string_view printed, int status, std::string_view folder);

}  // namespace millrace::train
