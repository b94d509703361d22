#!/usr/bin/env python3
"""The two hands of the clock (src/base/clock.hpp) are not mixed: the calendar may jump, so no lease, deadline or back-off goes by it; the
steady hand means nothing outside of its process, so no stamp or schedule does.

What the compiler sees to: TimePoint and SteadyPoint don't convert, compare or subtract (clock_test.cpp), and what is written down or
compared with a schedule takes a TimePoint. What it can't see is the purpose of a sum: a calendar moment plus or minus something is a span
of the calendar. So each one in src/ is in the table below with what it is for, and one that is not is an error. Names are followed by
their declarations, in the same file or as a member in some header. No other clock is read outside of base, and nothing sleeps but at
the edge. layers.py calls this; alone: tools/clocks.py [SRC]."""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent

# file -> expression -> what the calendar is right for there: schedule, window, maturity, retention, stamp (shown to people)
CALENDAR = {
    "api/native/moment.cpp": {"now - *back": "stamp: a moment to look back at"},
    "api/native/routes_fleet.cpp": {"now - from.heard": "stamp: how long ago, for people"},
    "api/native/routes_project.cpp": {
        "now - data->created": "stamp: the age of the data that is shown",
        "now - missed->at": "stamp: how long people are told of it",
        "now - std::max(job.queued_at, job.run_after)": "stamp: a hint to people that nobody claims",
    },
    "api/native/routes_why.cpp": {
        "c.service.env().clock.now() - *project->retention.predictions": "retention",
        "zone.moments(today).first - Duration(1)": "window: today by the project's zone",
    },
    "app/test_time.cpp": {"*": "the calendar of a test is made there"},
    "base/clock.cpp": {"time - day": "the time of day as text"},
    "blob/local_gc.cpp": {
        "env_.clock.now() - config_.quarantine_keep": "retention: by the stamps of files",
        "env_.clock.now() - grace": "retention: by the stamps of files",
    },
    "flow/schedule.cpp": {
        "end.first - begin.first": "schedule",
        "begin.first + chr::minutes(minute)": "schedule",
    },
    "flow/window.cpp": {"time - day": "window"},
    "label/join.cpp": {
        "label.time - at(last).time": "maturity",
        "options.now - known.at(place).time": "maturity",
    },
    "loop/care.cpp": {"now + clocks_differ_max": "stamp: one that is to come is wrong"},
    "loop/fleet.cpp": {"now - kForgotten": "retention: of a predictor that is not heard of"},
    "loop/garbage.cpp": {
        "s.now - *s.last": "schedule: once a day",
        "now - *oldest_attempt": "retention: by the stamps of files",
        "now - started": "retention",
    },
    "loop/log_decide.cpp": {
        "now.now - *now.oldest": "schedule: a line that is a day old is rolled",
        "now - keep": "retention",
    },
    "loop/log_records.cpp": {"now - keep": "retention"},
    "loop/release.cpp": {"s.now - s.since": "schedule: how long a step of a release lasts, over restarts"},
    "loop/service_gc.cpp": {
        "now - file.modified": "retention",
        "now - dir.modified": "retention",
        "now - policy.history": "retention",
    },
    "loop/service_jobs.cpp": {"*job.started_at - job.queued_at": "stamp: how long it was queued"},
    "loop/service_release.cpp": {"release->since + probation.time": "stamp: until when a version is watched, for people"},
    "net/tls.cpp": {"facts.ends - now": "stamp: until when a certificate counts, for those who look at it"},
    "queue/local.cpp": {"now - retain_age": "retention"},
    "track/track.cpp": {"newest->time(0) + Duration(1)": "stamp: no run is made before the one before it"},
}
# Where the operating system's clocks are read.
CLOCKS = {"app/last_signal.cpp", "base/clock.cpp", "base/process.cpp", "base/process_cgroup.cpp"}
# Where a thread sleeps: for a person, a signal or another process.
SLEEPS = {"app/up.cpp", "app/signals.cpp", "app/demo.cpp", "app/chaos.cpp", "app/worker.cpp", "app/predictor_command.cpp", "app/fleet_predictor.cpp", "app/once_free.hpp", "app/doctor_look.cpp", "app/main.cpp",
          "base/process_cgroup.cpp",
          "blob/keys.cpp"}

READS_CLOCK = re.compile(r"\b(system_clock|steady_clock|high_resolution_clock|file_clock|utc_clock)\b|\b(clock_gettime|gettimeofday|localtime|"
                         r"localtime_r|gmtime|gmtime_r|mktime|timerfd_create)\s*\(|(?<![\w.>:])(?:std)?(?:::)?time\s*\(\s*(?:nullptr|NULL|0|&)")
SLEEPING = re.compile(r"\b(sleep_for|sleep_until|wait_until|nanosleep|usleep)\b\s*\(|(?<![\w.>:])::?sleep\s*\(")
DECLARED = re.compile(r"\b(?:std::optional<)?(?:millrace::)?(TimePoint|SteadyPoint)>?&?\s+(\w+)")
READ = re.compile(r"\b(\w+)\s*=\s*(?:[\w:]+\()?[\w.>()\-]*\bclock_?(?:\.|->)(now|steady)\(\)(?!\s*(?:\.|-|\+))")
OPERAND = r"\*?[A-Za-z_][\w:]*(?:\((?:[^()]|\([^()]*\))*\))?(?:(?:\.|->)\w+(?:\((?:[^()]|\([^()]*\))*\))?)*"
SUM = re.compile(rf"({OPERAND})\s+([-+])=?\s+({OPERAND})")
EPOCH = re.compile(rf"({OPERAND})(?:\.|->)time_since_epoch\(\)")
PAIR = {"first", "second"}  # of a pair, nearly everywhere
HANDS = {"now": "TimePoint", "steady": "SteadyPoint"}


def last_name(expression: str) -> str:
    while "(" in expression:
        shorter = re.sub(r"\([^()]*\)", "", expression)
        if shorter == expression:
            break
        expression = shorter
    names = re.split(r"\.|->", expression.lstrip("*"))
    if names[-1] in ("value", "value_or") and len(names) > 1:
        names.pop()
    return names[-1]


def scan(src: pathlib.Path) -> list[str]:
    problems, texts, members = [], {}, {}
    for path in sorted(p for p in src.rglob("*") if p.suffix in (".hpp", ".cpp")):
        where = path.relative_to(src).as_posix()
        if where.endswith("_test.cpp") or "/testing/" in where:
            continue
        # Comments and texts say nothing; what is left stays on its line.
        texts[where] = re.sub(r"//[^\n]*|\"(?:[^\"\\\n]|\\.)*\"", "", path.read_text())
        if path.suffix == ".hpp":
            for hand, name in DECLARED.findall(texts[where]):
                members.setdefault(name, set()).add(hand)
    for where, text in texts.items():
        if where not in CALENDAR and not re.search(r"Duration|TimePoint|SteadyPoint|clock|chrono", text):
            continue
        own = texts.get(where.removesuffix(".cpp") + ".hpp", "")
        declared = {}
        for hand, name in DECLARED.findall(own):
            declared.setdefault(name, []).append((-1, hand))
        for match in DECLARED.finditer(text):
            declared.setdefault(match[2], []).append((match.start(), match[1]))
        for match in READ.finditer(text):
            declared.setdefault(match[1], []).append((match.start(), HANDS[match[2]]))

        def hands(expression: str, at: int) -> set[str]:
            name = last_name(expression)
            if name in HANDS and expression.endswith("()"):
                return {HANDS[name]}
            if "." not in expression and "->" not in expression and "(" not in expression:
                before = [hand for place, hand in sorted(declared.get(name, [])) if place < at]
                return {before[-1]} if before else set()
            if name == "max" or name == "min":
                return set().union(*(hands(part, at) for part in re.split(r",\s*", expression[expression.index("(") + 1:-1])))
            if "." not in expression and "->" not in expression or name in PAIR and not where.startswith("flow/"):
                return set()
            return members.get(name, set())

        def problem(match: re.Match, what: str) -> None:
            problems.append(f"src/{where}:{text.count(chr(10), 0, match.start()) + 1}: {what}")

        expected = CALENDAR.get(where, {})
        for match in SUM.finditer(text):
            left, right = hands(match[1], match.start()), hands(match[3], match.start())
            if "TimePoint" not in left | right or {"SteadyPoint"} in (left, right):
                continue
            expression = re.sub(r"\s+", " ", match[0])
            if expression not in expected and "*" not in expected:
                problem(match, f"'{expression}' is a span of the calendar, which may jump. A lease, deadline or back-off goes by clock.steady(); "
                               "if it is a schedule, window, maturity, retention or stamp, say so in tools/clocks.py")
        for match in EPOCH.finditer(text):
            if "SteadyPoint" in hands(match[1], match.start()):
                problem(match, f"'{match[0]}': a steady moment means nothing outside of this process; a stamp is clock.now()")
        for match in READS_CLOCK.finditer(text):
            if where not in CLOCKS:
                problem(match, f"'{match[0]}': time is passed in, see base/clock.hpp")
        for match in SLEEPING.finditer(text):
            if where not in SLEEPS:
                problem(match, f"'{match[0]}': nothing sleeps here; a condition with wait_for, or a pause that somebody passes in")
    for where, expressions in CALENDAR.items():
        text = re.sub(r"\s+", " ", texts.get(where, ""))
        for expression in expressions:
            if where not in texts and "*" not in expressions or "*" not in expressions and expression not in text:
                problems.append(f"tools/clocks.py:1: there is no '{expression}' in src/{where} any more")
    return problems


if __name__ == "__main__":
    found = scan(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else TOP / "src")
    print("\n".join(found) if found else "clocks: ok")
    sys.exit(1 if found else 0)
