"""House rules that need the built program."""
import re
import shutil
import subprocess
import sys

from conftest import MILLRACE, TOP


def test_every_fault_point_is_listed():
    listed = subprocess.run([MILLRACE, "faults"], capture_output=True, text=True, check=True).stdout.split()
    used = set()
    for source in (TOP / "src").rglob("*.cpp"):
        if not source.name.endswith("_test.cpp") and "/testing/" not in source.as_posix():
            used |= set(re.findall(r'reach\("([a-z_.]+)"\)', source.read_text()))
    assert sorted(used) == sorted(listed)


def test_the_server_does_not_load_the_engines():
    needed = subprocess.run(["readelf", "-d", MILLRACE], capture_output=True, text=True, check=True).stdout
    for library in ("duckdb", "arrow", "parquet", "xgboost", "onnxruntime"):
        assert f"lib{library}" not in needed


def test_the_two_hands_of_the_clock_are_not_mixed(tmp_path):
    sys.path.insert(0, str(TOP / "tools"))
    import clocks
    assert clocks.scan(TOP / "src") == []
    # It can see: each of these is found, at its line.
    planted = (("flow/decide.cpp", "  for (const auto& job : running) {", "  if (env.clock.now() - job.heard_at < job.lease) return {};\n", "span of the calendar"),
               ("train/worker.cpp", "  auto now = env_.clock.steady();", "  auto today = env_.clock.now();\n  if (today > today + config_.look_every) return;\n", "span of the calendar"),
               ("serve/predictor_load.cpp", "    auto action = next_swap(", "    auto stamp = env_.clock.steady();\n    line.us = stamp.time_since_epoch().count();\n", "steady moment"),
               ("blob/local_write.cpp", "#include", "const auto began = std::chrono::steady_clock::now();\n", "time is passed in"),
               ("loop/service_log.cpp", "Result<void> Service::look_at_log() {", "std::this_thread::sleep_for(pause);\n", "nothing sleeps"))
    for where, before, text, words in planted:
        copy = tmp_path / "src"
        shutil.copytree(TOP / "src", copy)
        source = (copy / where).read_text()
        assert before in source, (where, before)
        (copy / where).write_text(source.replace(before, text + before, 1))
        found = clocks.scan(copy)
        assert found and all(f"src/{where}:" in line and words in line for line in found), (where, found)
        shutil.rmtree(copy)


def test_wrong_usage_says_what_to_do():
    for arguments, words in ((["nonsense"], "--help"), (["tune"], "not available yet"), (["promote"], "version"), (["up", "--listen", "x", "no.csv"], "")):
        done = subprocess.run([MILLRACE, *arguments], capture_output=True, text=True, cwd="/tmp")
        assert done.returncode != 0 and words in done.stderr + done.stdout, (arguments, done)
    assert subprocess.run([MILLRACE, "nonsense"], capture_output=True).returncode == 64
