"""What bounds a training, what it tells while it runs, what is left of it when it fails."""
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
import urllib.parse

import pytest

from conftest import wait_for, write_csv

ROW = {"a": 1, "b": 1, "c": 0, "d": 0}
TREES = 'trainer = { name = "boosted-trees", rounds = 20 }'


def rows(count=1500, seed=9):
    rng = random.Random(seed)
    table = [["a", "b", "c", "d", "y"]]
    for _ in range(count):
        row = [rng.gauss(0, 1) for _ in range(4)]
        table.append(row + [int(row[0] + row[1] + rng.gauss(0, 0.5) > 0)])
    return table


def project(folder, trainer, more=""):
    (folder / "millrace.toml").write_text(f'[project]\nname = "lim"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.y"\n{trainer}\n'
                                          f'[gates]\n"auc" = ">= 0.7"\n{more}')


def command(line, **parameters):
    own = "".join(f", {name} = {json.dumps(value)}" for name, value in parameters.items())
    return f"trainer = {{ name = \"command\", command = '{line}'{own} }}"


@pytest.fixture
def served(servers, tmp_path):
    """A server whose version 1 answers."""
    write_csv(tmp_path / "data.csv", rows())
    project(tmp_path, TREES)
    return servers().start().wait_ready()


def newest(server):
    return server.get("/api/v1/runs").json["runs"][0]


def run_of(server, run):
    return server.get(f"/api/v1/runs/{run['id']}").json


def ended(server, before, seconds=60):
    """The run after `before`, once it is over."""
    def over():
        run = newest(server)
        return run if run["id"] != before["id"] and run.get("ended") else None
    return run_of(server, wait_for("the end of the run", over, seconds))


def apply_and_wait(server, trainer, more="", seconds=60):
    before = newest(server)
    project(server.folder, trainer, more)
    server.cli("apply")
    return ended(server, before, seconds)


def still_serves(server, version="lim:1"):
    assert server.post("/predict/lim", ROW).json["model"] == version, "what served goes on"
    assert server.get("/readyz").status == 200


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_too_much_memory_ends_the_training_alone(served):
    (served.folder / "hog.py").write_text("import time\nheld = []\nwhile True:\n    held.append(bytearray(b'x' * 8_000_000))\n    time.sleep(0.01)\n")
    run = apply_and_wait(served, command("python3 hog.py"), '[retrain]\nresources = { memory = "250MB" }\n')
    assert run["state"] == "failed" and run["failure"].startswith("memory: "), run["failure"]
    assert "250.0 MB" in run["failure"] and "resources" in run["failure"], run["failure"]
    limiters = ["cgroup v2", "cgroup v1", "rlimit"]
    assert any(name in run["limits"]["memory limit"] for name in limiters), run["limits"]
    assert any(name in run["failure"] for name in limiters)
    assert run["resources"]["memory_bytes_max"] == 250_000_000
    assert 0 < run["resources"]["memory_bytes_peak"] <= 1.5 * 250_000_000
    still_serves(served)
    shown = served.cli("runs", "show", run["id"]).stdout
    assert "memory limit: 250.0 MB" in shown


def test_a_training_has_a_limit_that_nobody_asked_for(served):
    run = run_of(served, newest(served))
    assert "of this machine's" in run["limits"]["memory limit"], run["limits"]
    assert run["limits"]["time limit"].startswith("2h")
    assert 64e6 < run["resources"]["memory_bytes_max"] < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_too_long_ends_it_and_all_that_it_started(served):
    (served.folder / "long.sh").write_text("trap '' TERM\n(trap '' TERM; echo $$ > deaf; sleep 600 & echo $! > grandchild; wait) &\necho begun\nwait\nsleep 600\n")
    began = time.monotonic()
    run = apply_and_wait(served, command("sh long.sh"), '[retrain]\nresources = { max_duration = "2s" }\n')
    assert run["state"] == "failed" and run["failure"].startswith("time: "), run["failure"]
    assert "2s" in run["failure"] and "max_duration" in run["failure"], run["failure"]
    assert time.monotonic() - began < 30
    for name in ("deaf", "grandchild"):
        pid = int((served.folder / name).read_text())
        wait_for(f"the end of {name}", lambda: not alive(pid), 10)
    still_serves(served)


def follow(server, path):
    """The lines of an answer that goes on, as they come."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    while line := answer.readline():
        yield line
    connection.close()


def test_progress_is_seen_within_two_seconds(served):
    (served.folder / "steps.py").write_text(
        "import json, os, time\n"
        "for step in range(1, 9):\n"
        "    with open(os.environ['MILLRACE_PROGRESS'], 'a') as file:\n"
        "        file.write(json.dumps({'step': step, 'done': step / 8, 'metrics': {'sent': time.time()}}) + '\\n')\n"
        "    print('step', step, time.time(), flush=True)\n"
        "    time.sleep(0.4)\n"
        "raise SystemExit(1)\n")
    before = newest(served)
    project(served.folder, command("python3 steps.py"))
    served.cli("apply")
    run = wait_for("the run", lambda: newest(served)["id"] != before["id"] and newest(served))
    late, at = {}, set()
    for line in follow(served, f"/api/v1/runs/{run['id']}/follow"):
        progress = json.loads(line)
        for metric in progress["metrics"]:
            if metric["name"] == "sent":
                late.setdefault(metric["value"], time.time() - metric["value"])
                at.add(progress["round"])
    assert progress["state"] == "failed", "the stream ends with the run"
    assert len(late) >= 3, late
    assert max(late.values()) < 2, late
    history = served.get(f"/api/v1/runs/{run['id']}/metrics").json["metrics"]["sent"]
    assert [point["step"] for point in history] == list(range(1, 9)), "each is kept, with its step"
    assert b"step 8" in b"".join(follow(served, f"/api/v1/runs/{run['id']}/logs/follow"))
    assert served.get(f"/api/v1/runs/{run['id']}/follow").status == 409, "urllib asks with Connection: close"
    followed = served.cli("runs", "logs", "--follow", run["id"]).stdout
    assert "step 1 " in followed and "step 8 " in followed


def test_output_survives_the_death_of_the_server(servers, tmp_path):
    write_csv(tmp_path / "data.csv", rows())
    project(tmp_path, 'trainer = { name = "boosted-trees", rounds = 400, early_stopping = 0, threads = 1 }')
    mark = tmp_path / "killed"
    server = servers(env={"MILLRACE_FAULT": f"loop.checkpoint.after_commit=kill/once:{mark}"}).start(wait=False)
    wait_for("the kill", mark.exists, 120)
    server.process.wait(30)
    server.start().wait_ready()
    run = newest(server)
    log = server.cli("runs", "logs", run["id"]).stdout
    before, _, after = log.partition("-- attempt 2")
    assert " train " in before and after, "what the first attempt printed is still there\n" + log
    assert "taken up after round" in after, log
    shown = run_of(server, run)
    assert shown["resources"]["resumed_after_round"] > 0
    assert "identical" in server.cli("models", "rebuild", "lim:1", "--verify").stdout


def jobs_of(server):
    """Process ids of the job processes that work in this server's folder."""
    out = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if any(b"millrace-job" in word for word in words[:3]) and any(str(server.data_dir).encode() in word for word in words):
            out.append(int(entry.name))
    return out


def test_a_killed_training_goes_on_from_its_checkpoint(servers, tmp_path):
    write_csv(tmp_path / "data.csv", rows(6000))
    project(tmp_path, 'trainer = { name = "boosted-trees", rounds = 1500, early_stopping = 0, depth = 8, subsample = 0.8, threads = 1 }')
    server = servers().start()
    run = wait_for("a checkpoint", lambda: (server.get("/api/v1/runs").json["runs"] or [None])[0])
    wait_for("rounds", lambda: any(p["step"] >= 120 for points in
                                   server.get(f"/api/v1/runs/{run['id']}/metrics").json["metrics"].values() for p in points), 120)
    for pid in jobs_of(server):
        os.kill(pid, signal.SIGKILL)
    server.wait_ready(180)
    shown = run_of(server, run)
    assert shown["resources"]["resumed_after_round"] >= 50, shown["resources"]
    assert any("killed" in event for event in shown["events"]), shown["events"]
    assert "identical" in server.cli("models", "rebuild", "lim:1", "--verify").stdout


@pytest.mark.parametrize("line, cause, says", [
    ("echo the lab is out of magnets; exit 3", "code", ["status 3", "out of magnets"]),
    ("true", "code", ["no model", "MILLRACE_OUTPUT"]),
    ("echo nonsense > \"$MILLRACE_OUTPUT\"", "code", ["the model that the command wrote"]),
    ("head -c 3000 /dev/urandom; printf \"\\033[2J\\000\\377last words\"; exit 1", "code", ["status 1", "last words"]),
    ("kill -9 $$", "code", ["signal 9"]),
    ("python3 -c \"import no_such_module\"", "dependency", ["no_such_module"]),
])
def test_failures_say_what_happened(served, line, cause, says):
    run = apply_and_wait(served, command(line))
    assert run["state"] == "failed", run
    assert run["failure"].startswith(cause + ": "), run["failure"]
    for words in says:
        assert words in run["failure"], run["failure"]
    assert not [c for c in run["failure"] if ord(c) < 32 and c not in "\n\t"], "nothing that a terminal obeys"
    shown = served.cli("runs", "show", run["id"]).stdout
    assert "\x1b" not in shown and "\x00" not in shown
    assert "\x1b" not in served.cli("runs", "logs", run["id"]).stdout
    still_serves(served)


def test_one_that_never_ends_is_cancelled(served):
    (served.folder / "deaf.sh").write_text("trap '' TERM INT\necho $$ > deaf\nwhile true; do sleep 1; done\n")
    before = newest(served)
    project(served.folder, command("sh deaf.sh"))
    served.cli("apply")
    wait_for("the command", (served.folder / "deaf").exists)
    run = newest(served)
    served.cli("runs", "cancel", run["id"])
    assert ended(served, before)["state"] == "cancelled"
    pid = int((served.folder / "deaf").read_text())
    wait_for("its end", lambda: not alive(pid), 20)
    wait_for("its job's end", lambda: not served.get("/api/v1/status").json["running"], 20)
    still_serves(served)


def test_only_what_an_edit_asks_for_runs(served):
    def counts():
        return (len(served.get("/api/v1/datasets").json["versions"]), len(served.get("/api/v1/runs").json["runs"]))
    assert counts() == (1, 1)
    project(served.folder, TREES)
    served.cli("apply", expect=None)
    project(served.folder, TREES, "[labels]\nmature = \"10d\"\n")
    served.cli("apply")
    project(served.folder, 'trainer = { name = "boosted-trees", rounds = 20, gamma = 0.5 }', "[labels]\nmature = \"10d\"\n")
    served.cli("apply")
    served.wait_versions("lim", 2)
    wait_for("rest", lambda: not served.get("/api/v1/status").json["running"])
    assert counts() == (1, 2), "one training, and nothing was read again"
    run = run_of(served, newest(served))
    assert run["params"]["gamma"] == "0.5" and run["params"]["max_bin"] == "256" and run["params"]["grow_policy"] == "depthwise"
    assert run["data"]["version"] == 1


def test_a_run_says_which_code_and_data_it_took(served):
    git = shutil.which("git")
    (served.folder / "train.py").write_text("import features\n")
    (served.folder / "features.py").write_text("print('as it was')\nraise SystemExit(5)\n")
    if git:
        (served.folder / ".gitignore").write_text(".millrace\n")
        for words in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "x"]):
            subprocess.run([git, *words], cwd=served.folder, check=True)
    trainer = command("python3 train.py", files=["features.py"], epochs=3)
    run = apply_and_wait(served, trainer)
    assert "status 5" in run["failure"] and "as it was" in run["failure"], run["failure"]
    assert run["params"] == {"epochs": "3"}
    code = run["code"]
    assert [file["path"] for file in code["files"]] == ["train.py", "features.py"]
    for file, name in zip(code["files"], ["train.py", "features.py"]):
        assert served.get(f"/api/v1/blobs/{file['digest']}").body == (served.folder / name).read_bytes()
    assert b"epochs" in served.get(f"/api/v1/blobs/{code['project_file']}").body
    assert b"[retrain.resources]" in served.get(f"/api/v1/blobs/{code['project_digest']}").body or \
        b"resources = {" in served.get(f"/api/v1/blobs/{code['project_digest']}").body
    if git:
        assert len(code["git_commit"]) == 40, code
        assert b"+" in served.get(f"/api/v1/blobs/{code['git_diff']}").body, "the edited project file differs from the commit"
    data = run["data"]
    assert data["dataset"] == "data" and data["version"] == 1 and data["rows"] == 1500 and len(data["parts"]) == 1 and data["digest"]
    shown = served.cli("runs", "show", run["id"]).stdout
    for words in ("data@1", "python3 train.py", "features.py", "processor time"):
        assert words in shown, shown


def test_a_command_is_rebuilt_from_what_was_kept(served):
    version = served.get("/api/v1/models/lim/versions/1").json
    import io
    import zipfile
    with zipfile.ZipFile(io.BytesIO(served.get(f"/api/v1/blobs/{version['artifact']}").body)) as archive:
        (served.folder / "mine.ubj").write_bytes(archive.read("model.ubj"))
    (served.folder / "train.sh").write_text("cp mine.ubj \"$MILLRACE_OUTPUT\"\n")
    run = apply_and_wait(served, command("sh train.sh", files=["mine.ubj"]))
    assert run["version"] == "lim:2", run
    (served.folder / "train.sh").write_text("echo changed since; exit 9\n")
    (served.folder / "mine.ubj").unlink()
    done = served.cli("models", "rebuild", "lim:2", "--verify")
    assert "identical" in done.stdout, done.stdout


def test_a_command_that_cannot_run_is_told_before(served):
    (served.folder / "train.py").write_text("raise SystemExit(1)\n")
    runs = len(served.get("/api/v1/runs").json["runs"])
    for line, name in [("python3 trian.py", "trian.py"), ("no-such-interpreter train.py", "no-such-interpreter"), ("./train.py", "train.py")]:
        project(served.folder, command(line))
        for verb in ("plan", "apply"):
            refused = served.cli(verb, expect=None)
            assert refused.returncode != 0 and name in refused.stderr, (verb, line, refused)
            assert name != "trian.py" or "did you mean train.py" in refused.stderr
    assert len(served.get("/api/v1/runs").json["runs"]) == runs, "nothing was started"
    still_serves(served)


def test_a_full_scratch_disk_is_named(served, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", small], capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        scratch = served.data_dir / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.symlink_to(small)
        before = newest(served)
        project(served.folder, command("true"))
        served.cli("apply")
        run = wait_for("the run", lambda: newest(served)["id"] != before["id"] and newest(served))
        events = wait_for("the failure", lambda: [e for e in run_of(served, run)["events"] if "disk" in e])
        assert "scratch" in events[0] and "No space left" in events[0], events
        served.cli("runs", "cancel", run["id"], expect=None)
        still_serves(served)
    finally:
        served.stop()
        subprocess.run(["umount", small], capture_output=True)
