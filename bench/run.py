#!/usr/bin/env python3
"""./dev bench: measures the release build and writes bench/RESULTS.md. Figures of one run on one machine belong together: look at
the ratios. Nothing else should run meanwhile."""
import json
import os
import pathlib
import platform
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parent.parent
BIN = TOP / "build" / "release" / "bin"
FEATURES, TREES = 30, 100


def get(url, body=None, method=None):
    request = urllib.request.Request(url, data=body, method=method or ("GET" if body is None else "POST"), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def wait(url, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            return get(url)
        except OSError:
            time.sleep(0.002)
    sys.exit(f"bench: no answer from {url}")


def resident(pid, field="VmRSS"):
    return int(re.search(rf"{field}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def best(runs, action):
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


class Server:
    def __init__(self, folder):
        self.folder = folder
        (folder / ".millrace" / "address").unlink(missing_ok=True)
        self.began = time.perf_counter()
        self.process = subprocess.Popen([BIN / "millrace", "up", "--listen", "127.0.0.1:0"], cwd=folder, stdout=open(folder / "up.out", "ab"), stderr=subprocess.STDOUT)
        address = folder / ".millrace" / "address"
        while not (address.exists() and address.read_text().strip()):
            if self.process.poll() is not None:
                sys.exit((folder / "up.out").read_text())
            time.sleep(0.002)
        self.url = address.read_text().strip()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def wrk(url, connections, script=None, seconds=5):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"] + (["-s", script] if script else []) + [url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    def latency(percent):
        value, unit = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", text).groups()
        return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    bad = re.search(r"Non-2xx[^:]*:\s+(\d+)", text)
    return rate, latency(50), latency(99), int(bad.group(1)) if bad else 0


def main():
    out = []
    rng = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as name:
        folder = pathlib.Path(name)
        rows = [[rng.gauss(0, 1) for _ in range(FEATURES)] for _ in range(5000)]
        with open(folder / "data.csv", "w") as file:
            file.write(",".join(f"x{i}" for i in range(FEATURES)) + ",y\n")
            for row in rows:
                file.write(",".join(f"{v:.6f}" for v in row) + f",{int(sum(row[:5]) + rng.gauss(0, 1) > 0)}\n")
        project = ('[project]\nname = "bench"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.y"\n'
                   f'trainer = {{ name = "boosted-trees", rounds = {TREES}, depth = 6, early_stopping = 0, learning_rate = LR }}\n[gates]\n"auc" = ">= 0.6"\n')
        (folder / "millrace.toml").write_text(project.replace("LR", "0.1"))

        before_main = best(20, lambda: subprocess.run([BIN / "millrace", "--version"], capture_output=True, check=True))
        nothing = best(20, lambda: subprocess.run(["/bin/true"], check=True))
        needed = subprocess.run(["readelf", "-d", BIN / "millrace"], capture_output=True, text=True).stdout.count("(NEEDED)")
        out += ["## Start and rest", "", "| what | figure |", "|---|---|",
                f"| `millrace --version`, whole process (`/bin/true`: {nothing:.1f} ms) | {before_main:.1f} ms |",
                f"| libraries named by the program | {needed} |"]
        server = Server(folder)
        wait(server.url + "/readyz")
        first = (time.perf_counter() - server.began) * 1000
        server.stop()
        restarts, idle = [], 0
        for _ in range(5):
            server = Server(folder)
            wait(server.url + "/readyz")
            restarts.append((time.perf_counter() - server.began) * 1000)
            idle = resident(server.process.pid)
            if len(restarts) < 5:
                server.stop()
        out += [f"| from a CSV of 5,000 rows and 31 columns to the first version answering | {first:.0f} ms |",
                f"| start to ready with a model to load (median of 5) | {statistics.median(restarts):.0f} ms |",
                f"| resident at rest, one model loaded | {idle:.0f} MB |", ""]

        body = json.dumps({f"x{i}": rows[0][i] for i in range(FEATURES)})
        script = folder / "post.lua"
        script.write_text(f"wrk.method='POST'\nwrk.body='{body}'\nwrk.headers['Content-Type']='application/json'\n")
        out += [f"## Predict: one row of {FEATURES} numbers, {TREES} trees of depth 6", "",
                "`hello` is `/healthz` of the same server: the HTTP library with nothing behind it. `wrk` shares the cores.", "",
                "| connections | hello /s | predict /s | predict / hello | p50 ms | p99 ms | errors |", "|---|---|---|---|---|---|---|"]
        for connections in (1, 16, 64):
            hello = wrk(server.url + "/healthz", connections)
            predict = wrk(server.url + "/predict/bench", connections, script)
            out.append(f"| {connections} | {hello[0]:,.0f} | {predict[0]:,.0f} | {predict[0] / hello[0]:.2f} | {predict[1]:.2f} | {predict[2]:.2f} | {predict[3]} |")
        took = [json.loads(get(server.url + "/predict/bench", body.encode()))["took_ms"] for _ in range(300)]
        version = json.loads(get(server.url + "/api/v1/models/bench/versions/1"))
        engine = next(g["got"] for g in version["gates"] if "latency" in g["expression"]) if any("latency" in g["expression"] for g in version["gates"]) else None
        out += ["", f"Inside the server a prediction takes {statistics.median(took):.3f} ms (parse, encode, XGBoost, log, median of 300 one by one)"
                + (f"; encode and XGBoost alone {engine} ms at the 99th percentile." if engine else "."), ""]

        began = time.perf_counter()
        request = json.dumps({"text": project.replace("LR", "0.2"), "dry_run": False}).encode()
        get(server.url + "/api/v1/project", request)
        while True:
            runs = json.loads(get(server.url + "/api/v1/runs"))["runs"]
            if len(runs) == 2:
                metrics = json.loads(get(server.url + f"/api/v1/runs/{runs[0]['id']}"))["metrics"]
                if metrics:
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
            answer = json.loads(get(server.url + "/api/v1/models/bench/rollback", b'{"reason":"bench"}'))
            moves.append(answer["took_ms"])
            time.sleep(0.1)
        text = load.stdout.read()
        bad = re.search(r"Non-2xx[^:]*:\s+(\d+)|Socket errors:.*", text)
        out += ["## Change", "", "| what | figure |", "|---|---|",
                f"| a parameter edited to its first metric | {edit:.1f} s |",
                f"| rollback under load (16 connections), median and slowest of {len(moves)} | {statistics.median(moves):.1f} ms, {max(moves):.1f} ms |",
                f"| requests failed during these {len(moves)} swaps | {bad.group(0) if bad else 0} |", ""]
        server.stop()
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    head = ["# Results", "", f"`./dev bench` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, {cpu}. One run; a shared machine, so the ratios say more than the figures.", ""]
    text = "\n".join(head + out)
    print(text)
    if "--dry-run" not in sys.argv:
        (TOP / "bench" / "RESULTS.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
