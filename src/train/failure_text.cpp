#include "train/failure_text.hpp"

#include <algorithm>
#include <format>
#include <optional>
#include <vector>

namespace millrace::train {
namespace {

constexpr std::string_view where_mark = "where: ", next_mark = "next: ";

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    out.push_back(line);
  }
  return out;
}

struct Frame {
  std::string_view file, line, function;
};

// `  File "/home/a/train.py", line 12, in load`: of Python's tracebacks and of its syntax errors.
std::optional<Frame> frame_of(std::string_view line) {
  constexpr std::string_view begin = "File \"", middle = "\", line ", in = ", in ";
  while (line.starts_with(' ') || line.starts_with('|') || line.starts_with('+')) line.remove_prefix(1);
  if (!line.starts_with(begin)) return std::nullopt;
  line.remove_prefix(begin.size());
  const auto end = line.find(middle);
  if (end == std::string_view::npos) return std::nullopt;
  Frame out{.file = line.substr(0, end), .line = {}, .function = {}};
  line.remove_prefix(end + middle.size());
  out.line = line.substr(0, line.find_first_not_of("0123456789"));
  if (const auto at = line.find(in); at != std::string_view::npos) out.function = line.substr(at + in.size());
  return out.line.empty() ? std::nullopt : std::optional(out);
}

std::string_view below(std::string_view path, std::string_view folder) {
  if (!folder.empty() && path.starts_with(folder) && path.substr(folder.size()).starts_with('/'))
    return path.substr(folder.size() + 1);
  return path;
}

bool is_own(std::string_view path, std::string_view folder) {
  const bool installed = path.contains("/site-packages/") || path.contains("/dist-packages/");
  return !path.starts_with('<') && !installed && (!path.starts_with('/') || below(path, folder) != path);
}

// What stands between two marks, the last time that both are there.
std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  const auto begin = text.rfind(before);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + before.size());
  return text.substr(0, text.find(after));
}

// "sh: 1: prog: not found", "bash: line 1: prog: command not found": prog.
std::string_view missing_program(std::string_view line) {
  for (std::string_view end : {": command not found", ": not found", ": No such file or directory"}) {
    if (!line.ends_with(end)) continue;
    line.remove_suffix(end.size());
    const auto colon = line.rfind(": ");
    return colon == std::string_view::npos ? line : line.substr(colon + 2);
  }
  return {};
}

}  // namespace

std::string render(const FailureText& failure) {
  std::string out = failure.what;
  if (!failure.where.empty()) out += std::format("\n{}{}", where_mark, failure.where);
  if (!failure.next.empty()) out += std::format("\n{}{}", next_mark, failure.next);
  if (!failure.more.empty()) out += "\n" + failure.more;
  return out;
}

FailureText read_failure_text(std::string_view text) {
  FailureText out;
  const auto take = [&] {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    return line;
  };
  out.what = take();
  if (text.starts_with(where_mark)) out.where = take().substr(where_mark.size());
  if (text.starts_with(next_mark)) out.next = take().substr(next_mark.size());
  out.more = text;
  return out;
}

CommandFault read_command_fault(std::string_view printed, int status, std::string_view folder) {
  CommandFault out{.cause = "code", .text = {}};
  const auto lines = lines_of(printed);
  std::optional<Frame> own, last;
  std::size_t after = 0;  // the line behind the last frame
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].starts_with("Traceback ")) own = last = std::nullopt;
    const auto frame = frame_of(lines[i]);
    if (!frame) continue;
    last = frame;
    if (is_own(frame->file, folder)) own = frame;
    after = i + 1;
  }
  if (last) {
    for (std::size_t i = after; i < lines.size(); ++i) {
      if (!lines[i].empty() && !lines[i].starts_with(' ')) {
        out.text.what = lines[i];
        break;
      }
    }
    const auto& place = own ? *own : *last;
    const auto file = below(place.file, folder);
    out.text.where =
        std::format("{} line {}{}{}", file, place.line, place.function.empty() ? "" : ", in ", place.function);
    out.text.next = std::format("mend {} line {}, then: millrace train", file, place.line);
  }
  const std::string_view what = out.text.what;
  if (what.starts_with("ModuleNotFoundError") || what.starts_with("ImportError: No module named")) {
    const auto module = between(what, "No module named '", "'");
    const auto top = module.substr(0, module.find('.'));
    out.cause = "dependency";
    out.text.next = std::format(
        "install the Python module '{}' where the command finds it: python3 -m pip install {}; then: millrace train",
        top, top);
  } else if (what.starts_with("MemoryError") || what.contains("ArrayMemoryError")) {
    out.cause = "memory";
    out.text.next.clear();
  } else if (what.contains("No space left on device") || what.contains("Disk quota exceeded")) {
    out.cause = "disk";
    out.text.next.clear();
  } else if (what.empty() && status == 127 && !lines.empty()) {
    const auto program = missing_program(lines.back());
    if (!program.empty()) {
      out.cause = "dependency";
      out.text.what = std::format("the command needs the program '{}', which is not installed here", program);
      out.text.next =
          std::format("install {}, or name another in model.trainer.command; then: millrace train", program);
    }
  }
  return out;
}

}  // namespace millrace::train
