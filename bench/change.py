"""Change: an edit to its first metric, swaps under load."""
import json
import re
import statistics
import subprocess
import time

from common import get, post_script, project, ready


def measure(folder, body):
    server = ready(folder)
    script = post_script(folder, body)
    began = time.perf_counter()
    get(server.url + "/api/v1/project", json.dumps({"text": project(0.2), "dry_run": False}).encode())
    while True:
        runs = json.loads(get(server.url + "/api/v1/runs"))["runs"]
        if len(runs) == 2 and json.loads(get(server.url + f"/api/v1/runs/{runs[0]['id']}"))["metrics"]:
            break
        time.sleep(0.02)
    edit = time.perf_counter() - began
    while len([v for v in json.loads(get(server.url + "/api/v1/models/bench"))["versions"] if v["number"] > 0]) < 2:
        time.sleep(0.05)
    while json.loads(get(server.url + "/api/v1/status"))["models"][0].get("loaded") != 2:
        time.sleep(0.05)
    load = subprocess.Popen(["wrk", "-t1", "-c16", "-d8s", "-s", script, server.url + "/predict/bench"], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    moves = []
    while load.poll() is None:
        moves.append(json.loads(get(server.url + "/api/v1/models/bench/rollback", b'{"reason":"bench"}'))["took_ms"])
        time.sleep(0.1)
    bad = re.search(r"Non-2xx[^:]*:\s+(\d+)|Socket errors:.*", load.stdout.read())
    server.stop()
    return ["| what | figure |", "|---|---|",
            f"| a parameter edited to its first metric | {edit:.1f} s |",
            f"| rollback under load (16 connections), median and slowest of {len(moves)} | {statistics.median(moves):.1f} ms, {max(moves):.1f} ms |",
            f"| requests failed during these {len(moves)} swaps | {bad.group(0) if bad else 0} |"]
