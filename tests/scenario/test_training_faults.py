"""Faults of a training: docs/reliability/trainings.md says cause, place and what mends each, and is read here."""
import io
import os
import pathlib
import re
import signal
import subprocess
import zipfile

import pytest

from conftest import TOP, wait_for, write_csv
from test_limits import ROW, TREES, command, jobs_of, newest, project, rows, run_of, still_serves

TABLE = {}
for line in (TOP / "docs" / "reliability" / "trainings.md").read_text().splitlines():
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    if line.startswith("| ") and len(cells) == 4 and cells[0] != "fault":
        TABLE[cells[0]] = [re.findall(r"`([^`]+)`", cell) for cell in cells[1:]]
FAULTS = {}


def fault(name):
    def add(function):
        FAULTS[name] = function
        return function
    return add


def memory(server):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) * 1024


@pytest.fixture
def served(servers, tmp_path):
    write_csv(tmp_path / "data.csv", rows(3000))
    project(tmp_path, TREES)
    return servers().start().wait_ready()


def notes(server):
    return "\n".join(server.get("/api/v1/status").json["models"][0]["notes"])


def failed_run(server, before, seconds=60):
    """What is said about the run after `before`, which fails: by `runs show`, the API and `status`."""
    def over():
        run = newest(server)
        return run if run["id"] != before["id"] and run.get("ended") else None
    run = run_of(server, wait_for("the end of the run", over, seconds))
    assert run["state"] == "failed", run
    shown = server.cli("runs", "show", run["id"]).stdout
    found = run["fault"]
    assert f"failure  {found['cause']}: {found['what']}" in shown, shown
    for name in ("where", "next"):
        assert not found.get(name) or f"{name.ljust(8)} {found[name]}\n" in shown, (name, shown)
    assert f"run {run['id']} failed: {found['cause']}: {found['what']}" in server.cli("status").stdout
    return "\n".join([found["cause"] + ": " + found["what"], found.get("where", ""), found.get("next", "")])


def apply(server, trainer, more=""):
    before = newest(server)
    project(server.folder, trainer, more)
    server.cli("apply")
    return before


def trained(server, *commands):
    """The commands are given, and lead to a version."""
    before = len(server.model("lim")["versions"])
    for one in commands:
        server.cli(*one)
    server.wait_versions("lim", before)
    wait_for("a run that ends well", lambda: newest(server)["state"] == "finished", 60)
    assert "failed" not in notes(server), notes(server)


def works(server):
    """A command that makes a model: the file of version 1."""
    version = server.get("/api/v1/models/lim/versions/1").json
    with zipfile.ZipFile(io.BytesIO(server.get(f"/api/v1/blobs/{version['artifact']}").body)) as archive:
        (server.folder / "mine.ubj").write_bytes(archive.read("model.ubj"))
    return "import os, shutil\nshutil.copy('mine.ubj', os.environ['MILLRACE_OUTPUT'])\n"


def test_the_table_and_the_faults_are_the_same():
    assert set(TABLE) == set(FAULTS) and len(TABLE) >= 10
    assert {cell[0][0] for cell in TABLE.values()} >= {"data", "code", "memory", "disk", "time", "dependency", "killed"}


@pytest.mark.parametrize("name", TABLE)
def test_each_is_told_and_mended(served, name, tmp_path):
    before = memory(served)
    steps = FAULTS[name](served)
    said = next(steps)
    cause, where, mend = TABLE[name]
    assert f"{cause[0]}: " in said or f"reason  {cause[0]}" in said, said
    for words in where + mend:
        assert words in said, (words, said)
    still_serves(served)
    grown = memory(served) - before
    assert grown < 60_000_000, f"the server grew by {grown} bytes"
    assert next(steps, None) is None, "mended"
    assert served.post("/predict/lim", ROW).status == 200


@fault("a word in a column of numbers, in a late row")
def late_word(server):
    table = rows(3000)
    table[2801][1] = "abc"
    write_csv(server.folder / "data.csv", table)
    yield from failed_check(server, r"b: .* -> text")


@fault("one class only in the target")
def one_class(server):
    write_csv(server.folder / "data.csv", [line if i == 0 else line[:4] + [1] for i, line in enumerate(rows(3000))])
    yield from refused_reading(server)


def refused_reading(server):
    wait_for("the reading", lambda: "was not read" in notes(server), 30)
    assert "error: data: " in server.cli("ingest", "data", expect=1).stderr
    yield server.cli("status").stdout
    write_csv(server.folder / "data.csv", rows(3000) + rows(20, 5)[1:])
    server.cli("ingest", "data")
    wait_for("what was wrong to be forgotten", lambda: not notes(server))


@fault("an input column is gone from the file")
def column_gone(server):
    write_csv(server.folder / "data.csv", [line[:2] + line[3:] for line in rows(3000)])
    yield from failed_check(server, "c: gone")


def failed_check(server, difference):
    runs = len(server.get("/api/v1/runs").json["runs"])
    wait_for("the check", lambda: "failed its checks" in notes(server), 30)
    said = server.cli("status").stdout
    diff = re.search(r"millrace (data diff \S+ \S+)", said).group(1)
    assert re.search(difference, server.cli(*diff.split()).stdout)
    yield said
    assert len(server.get("/api/v1/runs").json["runs"]) == runs, "nothing was trained on it"
    write_csv(server.folder / "data.csv", rows(3000) + rows(20, 5)[1:])
    wait_for("what was wrong to be forgotten", lambda: not notes(server), 30)


@fault("a command raises an exception")
def exception(server):
    good = works(server)
    (server.folder / "lib").mkdir()
    (server.folder / "lib" / "helper.py").write_text("def parse(text):\n    return float(text)\n")
    (server.folder / "train.py").write_text("from lib import helper\nprint('begun')\nhelper.parse('abc')\n")
    yield failed_run(server, apply(server, command("python3 train.py", files=["lib/helper.py", "mine.ubj"])))
    (server.folder / "lib" / "helper.py").write_text("def parse(text):\n    return text\n" + good)
    trained(server, ["train"])


@fault("a command with a syntax error")
def syntax_error(server):
    good = works(server)
    (server.folder / "train.py").write_text("import os\nprint('begun'\n")
    yield failed_run(server, apply(server, command("python3 train.py", files=["mine.ubj"])))
    (server.folder / "train.py").write_text(good)
    trained(server, ["train"])


@fault("a module that is not installed")
def missing_module(server):
    good = works(server)
    (server.folder / "train.py").write_text("import nosuchmodule\n" + good)
    yield failed_run(server, apply(server, command("python3 train.py", files=["mine.ubj"])))
    (server.folder / "nosuchmodule.py").write_text("")  # what pip would do
    trained(server, ["train"])


@fault("a program that is not installed")
def missing_program(server):
    works(server)
    (server.folder / "train.sh").write_text("nosuchprogram --model\n")
    yield failed_run(server, apply(server, command("sh train.sh", files=["mine.ubj"])))
    (server.folder / "train.sh").write_text("cp mine.ubj \"$MILLRACE_OUTPUT\"\n")
    trained(server, ["train"])


@fault("more memory than the cap")
def too_much_memory(server):
    good = works(server)
    (server.folder / "train.py").write_text("import time\nheld = []\nfor _ in range(40):\n    held.append(bytearray(b'x' * 8_000_000))\n    time.sleep(0.01)\n" + good)
    trainer = command("python3 train.py", files=["mine.ubj"])
    yield failed_run(server, apply(server, trainer, '[retrain]\nresources = { memory = "250MB" }\n'))
    project(server.folder, trainer, '[retrain]\nresources = { memory = "1GB" }\n')
    trained(server, ["apply"], ["train"])


@fault("a full disk under the job's scratch folder")
def full_scratch(server):
    small = server.folder / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        works(server)
        scratch = server.data_dir / "scratch"
        subprocess.run(["rm", "-rf", scratch], check=True)
        scratch.symlink_to(small)
        before = apply(server, command("cp mine.ubj \"$MILLRACE_OUTPUT\"", files=["mine.ubj"]))
        run = wait_for("the run", lambda: newest(server)["id"] != before["id"] and newest(server))
        events = wait_for("the attempt that failed", lambda: [e for e in run_of(server, run)["events"] if "disk: " in e])
        yield events[0]
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        trained(server)
    finally:
        server.stop()
        subprocess.run(["umount", small], capture_output=True)
        server.start().wait_ready()


@fault("longer than `max_duration`")
def too_long(server):
    works(server)
    trainer = command("sleep 3; cp mine.ubj \"$MILLRACE_OUTPUT\"", files=["mine.ubj"])
    yield failed_run(server, apply(server, trainer, '[retrain]\nresources = { max_duration = "1s" }\n'))
    project(server.folder, trainer, '[retrain]\nresources = { max_duration = "1m" }\n')
    trained(server, ["apply"], ["train"])


@fault("the child is killed from outside")
def killed(server):
    works(server)
    before = apply(server, command("sleep 3; cp mine.ubj \"$MILLRACE_OUTPUT\"", files=["mine.ubj"]))
    run = wait_for("the run", lambda: newest(server)["id"] != before["id"] and newest(server)["state"] == "running" and newest(server))
    for pid in wait_for("its process", lambda: jobs_of(server)):
        os.kill(pid, signal.SIGKILL)
    events = wait_for("the attempt that was killed", lambda: [e for e in run_of(server, run)["events"] if "killed: " in e])
    assert "signal 9" in events[0]
    yield events[0]
    trained(server)


@fault("a parameter out of its range")
def bad_parameter(server):
    runs = len(server.get("/api/v1/runs").json["runs"])
    project(server.folder, 'trainer = { name = "boosted-trees", rounds = 20, depth = 9999 }')
    refused = server.cli("apply", expect=1).stderr
    assert len(server.get("/api/v1/runs").json["runs"]) == runs, "nothing was begun"
    yield refused
    project(server.folder, 'trainer = { name = "boosted-trees", rounds = 20, depth = 9 }')
    trained(server, ["apply"])
