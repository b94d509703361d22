"""Swaps under 16 connections: no request fails, and each answer is exactly what the version named in it gives.

The promise is 200 swaps in 60 seconds: MILLRACE_SWAP_SECONDS=60. By default the same number is spread over fewer.
"""
import http.client
import json
import os
import pathlib
import random
import threading
import time

from conftest import small_project, wait_for, write_csv

SWAPS = 200
SECONDS = float(os.environ.get("MILLRACE_SWAP_SECONDS", 12))
ROW = json.dumps({"a": 1.5, "b": -0.5}).encode()


def test_swaps_under_load(servers, tmp_path):
    rng = random.Random(10)
    rows = [[rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(800)]
    write_csv(tmp_path / "data.csv", [["a", "b", "y"]] + [[a, b, int(a + b + rng.gauss(0, 0.3) > 0)] for a, b in rows])
    (tmp_path / "millrace.toml").write_text('[project]\nname = "swap"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.y"\n'
                                            'trainer = { name = "boosted-trees", rounds = 40 }\n[gates]\n"auc" = ">= 0.7"\n')
    server = servers().start().wait_ready()
    server.cli("promote", "swap:baseline")
    expected = {f"swap:{version}": server.request("POST", f"/predict/swap/versions/{version}", ROW).json["probability"] for version in (0, 1)}
    assert expected["swap:0"] != expected["swap:1"]
    host = server.url.removeprefix("http://")
    stop, wrong, seen, slowest, lock = threading.Event(), [], {}, [0.0], threading.Lock()

    def ask():
        connection = http.client.HTTPConnection(host, timeout=30)
        count, slow = {}, 0.0
        while not stop.is_set():
            began = time.monotonic()
            connection.request("POST", "/predict/swap", ROW, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            slow = max(slow, time.monotonic() - began)
            parsed = json.loads(body)
            if answer.status != 200 or expected.get(parsed.get("model")) != parsed["probability"]:
                wrong.append((answer.status, body))
                break
            count[parsed["model"]] = count.get(parsed["model"], 0) + 1
        with lock:
            slowest[0] = max(slowest[0], slow)
            for model, times in count.items():
                seen[model] = seen.get(model, 0) + times

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    moves, began, took = 0, time.monotonic(), []
    while moves < SWAPS:
        pause = began + moves * SECONDS / SWAPS - time.monotonic()
        if pause > 0:
            time.sleep(pause)  # at a steady rate: requests of all kinds meet a swap, and swaps meet a warm process
        answer = server.post("/api/v1/models/swap/rollback", {"reason": "a test of swapping"})
        assert answer.status == 200, answer.body
        assert answer.json["changed"]
        took.append(answer.json["took_ms"])
        moves += 1
    seconds = time.monotonic() - began
    stop.set()
    for thread in threads:
        thread.join()
    print(f"{moves} swaps in {seconds:.1f} s (slowest {max(took):.1f} ms), {sum(seen.values())} answers, slowest request {slowest[0] * 1000:.1f} ms")
    assert not wrong, wrong[:3]
    assert min(seen.get(model, 0) for model in expected) > 50, seen


def test_jobs_give_way_to_the_server(servers, tmp_path):
    """Where the processors are short, answers come before trainings: the server's own threads at 0, its jobs at 10."""
    small_project(tmp_path, trainer='{ name = "boosted-trees", rounds = 4000, early_stopping = 0 }', rows=4000)
    server = servers().start()

    def nice_of(pid):
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[16])

    def jobs():
        found = []
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                words = stat.read_text().rsplit(")", 1)[1].split()
                if int(words[1]) == server.process.pid and b"spec.json" in (stat.parent / "cmdline").read_bytes():
                    found.append(int(words[16]))
            except OSError:
                continue  # it ended while we looked
        return found

    own = nice_of(server.process.pid)
    wait_for("a job at 10", lambda: 10 in jobs(), 60)
    assert nice_of(server.process.pid) == own
