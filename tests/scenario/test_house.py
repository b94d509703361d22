"""House rules that need the built program."""
import re
import subprocess

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


def test_wrong_usage_says_what_to_do():
    for arguments, words in ((["nonsense"], "--help"), (["tune"], "not available yet"), (["promote"], "version"), (["up", "--listen", "x", "no.csv"], "")):
        done = subprocess.run([MILLRACE, *arguments], capture_output=True, text=True, cwd="/tmp")
        assert done.returncode != 0 and words in done.stderr + done.stdout, (arguments, done)
    assert subprocess.run([MILLRACE, "nonsense"], capture_output=True).returncode == 64
