"""Backup under load, restored elsewhere: everything acknowledged before it began is there, and it serves."""
import json
import os
import pathlib
import subprocess
import threading

from conftest import MILLRACE, Server, small_project, wait_for

ROW = {"a": 0.5, "c": "red"}


def run(*arguments, cwd, expect=0):
    done = subprocess.run([MILLRACE, *[str(a) for a in arguments]], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def bytes_below(folder):
    return sum(p.stat().st_size for p in pathlib.Path(folder).rglob("*") if p.is_file())


def test_a_running_server_is_copied_and_comes_up_elsewhere(servers, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    small_project(home)
    server = servers(folder=home).start().wait_ready()
    stop, acknowledged, lock = threading.Event(), [], threading.Lock()

    def ask():
        while not stop.is_set():
            made = server.post("/predict/small", ROW).json["id"]
            server.post("/labels/small", [{"prediction": made, "value": "1"}])
            with lock:
                acknowledged.append(made)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_for("traffic", lambda: len(acknowledged) > 300)
        with lock:
            before = list(acknowledged)
        made = json.loads(run("backup", tmp_path / "safe", "--json", cwd=home).stdout)
        wait_for("traffic after it", lambda: len(acknowledged) > len(before) + 100)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert made["manifest"]["blob_count"] > 0
    kept = server.get("/api/v1/models/small").json

    away = tmp_path / "away"
    away.mkdir()
    told = run("restore", tmp_path / "safe", cwd=away).stdout
    assert "restored" in told and "millrace.toml" in told, told
    assert "nothing to mend" in run("doctor", cwd=away).stdout
    copied = {p.name for p in (away / ".millrace").iterdir()}
    assert not copied & {"address", "token"}, "what belonged to the old server is void"
    (away / "data.csv").write_bytes((home / "data.csv").read_bytes())
    other = servers(folder=away).start().wait_ready()
    assert other.post("/predict/small", ROW).json["prediction"] == server.post("/predict/small", ROW).json["prediction"]
    assert [(v["number"], v["artifact"]) for v in other.model("small")["versions"]][-1:] == [(v["number"], v["artifact"]) for v in kept["versions"]][-1:]
    lost = [one for one in before if other.get(f"/api/v1/predictions/{one}").status != 200]
    assert not lost, f"{len(lost)} of {len(before)} acknowledged predictions are not in it"
    unlabelled = [one for one in before if other.get(f"/api/v1/predictions/{one}").json["label"] != "1"]
    assert not unlabelled, f"{len(unlabelled)} of {len(before)} labels are not in it"


def test_again_and_past_mistakes(servers, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    small_project(home, rows=20000)
    server = servers(folder=home).start().wait_ready()
    run("backup", "../safe", cwd=home)
    first = bytes_below(tmp_path / "safe")
    told = run("backup", "../safe", "--keep", "2", cwd=home).stdout
    assert bytes_below(tmp_path / "safe") - first < first / 10, told
    assert len(json.loads(run("backup", "../safe", "--list", "--json", cwd=home).stdout)) == 2
    refused = run("restore", "../safe", cwd=home, expect=1).stderr
    assert "holds something" in refused and "--data-dir" in refused
    assert "not available yet" in run("backup", "all.tar", cwd=home, expect=64).stderr
    assert "holds other things" in run("backup", home, cwd=home, expect=1).stderr
    (tmp_path / "nothing").mkdir()
    assert "no backups" in run("restore", "../nothing", "--data-dir", "new", cwd=home, expect=1).stderr
    # A damaged copy is found before anything is written.
    victim = max((tmp_path / "safe" / "blobs" / "objects").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    with open(victim, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    refused = run("restore", "../safe", "--data-dir", "new", cwd=home, expect=1).stderr
    assert victim.name in refused and not (home / "new").exists(), refused
    # The next backup brings it back.
    run("backup", "../safe", cwd=home)
    run("restore", "../safe", "--data-dir", "new", cwd=home)
    assert server.post("/predict/small", ROW).status == 200


def test_jobs_of_the_old_folder_are_taken_up_by_the_new_one(servers, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    small_project(home)
    server = servers(folder=home).start().wait_ready()
    small_project(home, trainer='{ name = "boosted-trees", rounds = 4000, depth = 6, early_stopping = 0, threads = 1 }')
    server.cli("apply")
    wait_for("the training", lambda: server.get("/api/v1/status").json["running"])
    run("backup", "../safe", cwd=home)
    server.kill()
    away = tmp_path / "away"
    away.mkdir()
    run("restore", "../safe", cwd=away)
    (away / "data.csv").write_bytes((home / "data.csv").read_bytes())
    other = Server(away).start().wait_ready()
    try:
        events = wait_for("the run to go on", lambda: [e for r in other.get("/api/v1/runs").json["runs"][:1] for e in other.get(f"/api/v1/runs/{r['id']}").json["events"] if "lost" in e])
        assert "is gone" in events[0], events
        other.wait_versions("small", 2, 240)
    finally:
        other.stop()
