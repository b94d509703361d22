"""Build times: all of it without the compiler cache, then one edit to its test's end."""
import os
import shutil
import subprocess
import time

from common import TOP


def run(*command):
    began = time.perf_counter()
    before = os.times()
    subprocess.run(command, cwd=TOP, check=True, capture_output=True, env=os.environ | {"CCACHE_DISABLE": "1"})
    after = os.times()
    return time.perf_counter() - began, after.children_user + after.children_system - before.children_user - before.children_system


def edited(path, target, test=None):
    """An edit that the compiler can't skip: a new function at the end of a source file."""
    source = TOP / path
    text = source.read_text()
    try:
        source.write_text(text + "\nnamespace { [[maybe_unused]] int edited_by_bench() { return 1; } }\n")
        took = run("ninja", "-C", "build/bench-build", target)[0]
        if test:
            took += run(f"build/bench-build/bin/{test}")[0]
        return took
    finally:
        source.write_text(text)


def measure():
    folder = TOP / "build" / "bench-build"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["cmake", "--preset", "release", "-B", folder], cwd=TOP, check=True, capture_output=True)
    wall, cpu = run("ninja", "-C", folder)
    out = ["Without the compiler cache.", "", "| what | figure |", "|---|---|",
           f"| cold build of both programs, {os.cpu_count()} cores | {wall / 60:.1f} min ({cpu / 60:.1f} min of CPU) |"]
    wall, cpu = run("ninja", "-C", folder, "unit_tests")
    out.append(f"| the unit tests' programs after it | {wall / 60:.1f} min ({cpu / 60:.1f} min of CPU) |")
    out.append(f"| an edit of `flow/decide.cpp` to `flow_test` passed | {edited('src/flow/decide.cpp', 'flow_test', 'flow_test'):.1f} s |")
    out.append(f"| an edit of `eval/gate_judge.cpp` to `eval_test` passed | {edited('src/eval/gate_judge.cpp', 'eval_test', 'eval_test'):.1f} s |")
    out.append(f"| an edit of `loop/decide.cpp` to both programs linked | {edited('src/loop/decide.cpp', 'all'):.1f} s |")
    shutil.rmtree(folder, ignore_errors=True)
    return out
