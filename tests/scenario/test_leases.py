"""Leases are real: a worker that was stopped past its lease and comes back late changes nothing, and that is visible."""
import os
import random
import signal
import subprocess

from conftest import MILLRACE, wait_for, write_csv


def worker(server, name):
    return subprocess.Popen([MILLRACE, "worker", "--server", server.url, "--server-data", server.data_dir, "--name", name],
                            cwd=server.folder, stdout=open(server.folder / f"{name}.out", "ab"), stderr=subprocess.STDOUT,
                            env={**os.environ, **server.env})


def test_a_stopped_workers_late_commit_is_refused(servers, tmp_path):
    rng = random.Random(5)
    rows = [[rng.random(), rng.random()] for _ in range(2000)]
    write_csv(tmp_path / "data.csv", [["a", "b", "y"]] + [[a, b, int(a + b > 1)] for a, b in rows])
    (tmp_path / "millrace.toml").write_text('[project]\nname = "lease"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.y"\n'
                                            '[gates]\n"auc" = ">= 0.8"\n')
    server = servers("--no-worker").start()
    first = worker(server, "first")
    second = None
    try:
        # Training begins on the first worker; it is stopped while the job runs.
        run = wait_for("the training", lambda: [r for r in server.get("/api/v1/runs").json["runs"] if r["state"] == "running"])[0]
        first.send_signal(signal.SIGSTOP)
        wait_for("the first claim in the history", lambda: any("train claimed first" in e for e in server.get(f"/api/v1/runs/{run['id']}").json["events"]))
        second = worker(server, "second")
        server.wait_ready(120)  # the second one took over and finished
        first.send_signal(signal.SIGCONT)

        def refused():
            events = server.get(f"/api/v1/runs/{run['id']}").json["events"]
            return events if any("refused first" in e for e in events) else None
        events = wait_for("the late commit to be refused", refused, 60)
        assert sum("train done" in e for e in events) == 1, events
        assert any("lost" in e for e in events), events
        assert "refused" in server.cli("runs", "show", run["id"]).stdout
        assert [v["number"] for v in server.model("lease")["versions"] if v["number"] > 0] == [1]
    finally:
        for process in (first, second):
            if process:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                process.wait(30)
