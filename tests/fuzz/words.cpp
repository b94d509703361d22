// The small languages inside the project file, one per line of the input: gates, conditions of [retrain] when,
// comparisons, schedules, windows, durations, sizes, times, time zones, names.
#include "base/text.hpp"
#include "eval/gates.hpp"
#include "flow/holidays.hpp"
#include "flow/schedule.hpp"
#include "flow/window.hpp"
#include "fuzz/fuzz.hpp"
#include "loop/project_schema_internal.hpp"

using namespace millrace;

namespace {

void gate(std::string_view line) {
  const auto expression = std::string(fuzz::take_until(line, "\" = \""));
  auto parsed = eval::parse_gate({expression, std::string(line)});
  if (!fuzz::answered(parsed)) return;
  auto again = eval::parse_gate({parsed->expression, parsed->required});
  fuzz::require(again && again->metric == parsed->metric && again->number == parsed->number, "a gate reads back");
  (void)eval::where_text(*parsed);
  (void)eval::columns_of(std::span(&*parsed, 1));
}

void schedule(std::string_view line) {
  auto parsed = flow::parse_schedule(line);
  if (!fuzz::answered(parsed)) return;
  static const auto zone = flow::Zone::find("Europe/Lisbon").value_or(flow::Zone());
  const auto now = TimePoint(std::chrono::hours(24 * 365 * 56));
  const auto next = flow::next_fire(*parsed, now, zone);
  fuzz::require(next > now, "the next moment is later");
  fuzz::require(flow::next_fire(*parsed, next - Duration(1), zone) == next, "and is one at which it fires");
  (void)flow::due(*parsed, now, now + std::chrono::minutes(20), zone);
}

void number(std::string_view line) {
  if (auto time = parse_time(line); fuzz::answered(time)) {
    auto again = parse_time(format_time(*time));
    fuzz::require(again && *again == *time, "a time reads back");
  }
  if (auto duration = parse_duration(line); fuzz::answered(duration)) {
    auto again = parse_duration(format_duration(*duration));
    fuzz::require(again && *again == *duration, "a duration reads back");
  }
  if (auto bytes = parse_size(line); fuzz::answered(bytes)) {
    fuzz::require(*bytes >= 0, "a size is not negative");
    (void)format_size(*bytes);
  }
  if (const auto minute = flow::parse_minute_of_day(line)) {
    const auto again = flow::parse_minute_of_day(flow::format_minute_of_day(*minute));
    fuzz::require(again == minute, "a time of day reads back");
  }
}

void judges(std::string_view line) {
  using namespace loop::schema;
  const auto value = Tree::text(std::string(line));
  if (line.size() < 30 && line.contains('/')) (void)judge_zone(value);  // compares with all the names there are
  for (const auto judge :
       {judge_name, judge_uri, judge_target, judge_target_expr, judge_comparison, judge_plain_comparison,
        judge_condition, judge_schedule, judge_time_of_day, judge_listen, judge_character, judge_release_step,
        judge_not_empty, judge_holidays, judge_seal}) {
    const auto verdict = judge(value);
    fuzz::require(verdict.kind != Verdict::bad || !verdict.expected.empty(), "a judge says what it expected");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = fuzz::as_text(data, size);
  if (auto days = flow::parse_holidays(text, "holidays/XX.txt"); fuzz::answered(days))
    fuzz::require(std::ranges::is_sorted(*days), "holidays come sorted");
  for (int lines = 0; !text.empty() && lines < 6; ++lines) {
    const auto line = fuzz::take_until(text, "\n");
    gate(line);
    (void)loop::schema::parse_rule(line);  // its error may be without words: the checker has them
    (void)fuzz::answered(loop::parse_comparison(line));
    schedule(line);
    number(line);
    judges(line);
    const auto shown = printable(line);
    fuzz::require(printable(shown) == shown, "printable twice is the same as once");
  }
  return 0;
}
