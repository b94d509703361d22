#!/usr/bin/env python3
"""A thousand models in one predictor: how soon it is ready, what memory it takes, what a bound of memory costs those who ask.

    ./dev build release millrace && ./dev shell python3 bench/many_models.py [--models 1000] [--seconds 10]

Each model has 100 trees of depth 6 over 30 features and answers otherwise than the others. Prints a line per figure, and its target."""
import argparse
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))
import xgboost_models  # noqa: E402

MILLRACE = TOP / os.environ.get("MILLRACE_BUILD", "build/release") / "bin" / "millrace"
FEATURES = 30


def name(i):
    return f"m{i:04}"


def make_models(folder, count):
    """One model is trained; the others differ from it in their base score, digit for digit as long."""
    first = xgboost_models.train(folder / "first.ubj", FEATURES, 100, 6, count=20_000)
    content = first.read_bytes()
    at = content.index(b"base_score")
    digits = re.compile(rb"\d\.\d{3,}E").search(content, at)
    first.unlink()
    for i in range(count):
        mine = bytearray(content)
        if digits:
            begin, end = digits.start() + 2, digits.end() - 1
            mine[begin:end] = str(i + 1).rjust(4, "0").encode().ljust(end - begin, b"1")[:end - begin]
        path = folder / f"{name(i)}.ubj"
        path.write_bytes(mine)
        os.utime(path, (1e9, 1e9))
    return len(content), bool(digits)


class Predictor:
    def __init__(self, folder, *arguments):
        self.out = tempfile.NamedTemporaryFile("w+", suffix=".out")
        self.began = time.monotonic()
        self.process = subprocess.Popen([MILLRACE, "predictor", "--models", folder, "--http", "127.0.0.1:0", *arguments],
                                        stdout=self.out, stderr=subprocess.DEVNULL)
        while True:
            line = pathlib.Path(self.out.name).read_text()
            if "http://" in line:
                self.port = int(re.search(r"http://[^:]*:(\d+)", line).group(1))
                break
            time.sleep(0.002)
        while self.get("/readyz") != 200:
            time.sleep(0.005)
        self.ready_s = time.monotonic() - self.began

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def get(self, path):
        connection = self.connection()
        connection.request("GET", path)
        answer = connection.getresponse()
        self.body = answer.read().decode()
        connection.close()
        return answer.status

    def metric(self, wanted):
        self.get("/metrics")
        return int(re.search(rf"^{wanted} (\d+)", self.body, re.M).group(1))

    def resident(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text()).group(1)) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def line(what, value, target=""):
    print(f"{what:58} {value:>14}   {target}", flush=True)


class Traffic:
    """`threads` keep-alive connections, each asks one model after the other as `draw(rng)` says."""

    def __init__(self, predictor, draw, threads, seconds):
        self.times, self.failed = {}, 0
        self.draw, self.predictor, self.until = draw, predictor, time.monotonic() + seconds
        self.lock = threading.Lock()
        self.workers = [threading.Thread(target=self.work, args=(i,)) for i in range(threads)]

    def work(self, seed):
        rng = random.Random(seed)
        body = json.dumps([rng.gauss(0, 1) for _ in range(FEATURES)])
        connection = self.predictor.connection()
        mine, failed = {}, 0
        while time.monotonic() < self.until:
            model = self.draw(rng)
            began = time.perf_counter()
            connection.request("POST", f"/predict/{name(model)}", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            mine.setdefault(model, []).append(time.perf_counter() - began)
            failed += answer.status != 200
        with self.lock:
            self.failed += failed
            for model, times in mine.items():
                self.times.setdefault(model, []).extend(times)

    def run(self):
        for worker in self.workers:
            worker.start()
        for worker in self.workers:
            worker.join()
        return self

    def percentile(self, share, models=None):
        all_times = sorted(t for model, times in self.times.items() if models is None or model in models for t in times)
        return all_times[min(len(all_times) - 1, int(len(all_times) * share))] * 1000 if all_times else float("nan")

    def count(self):
        return sum(map(len, self.times.values()))


def zipf(count, exponent=1.1):
    weights = [1 / (i + 1) ** exponent for i in range(count)]
    return lambda rng: rng.choices(range(count), weights)[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    count, fit = options.models, options.models // 5
    folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-many-"))
    try:
        size, differ = make_models(folder, count)
        line("models, bytes of each file", f"{count} x {size}", "" if differ else "ALL THE SAME")
        cold = Predictor(folder, "--poll", "250ms")
        line("ready from cold", f"{cold.ready_s:.2f} s", "< 5 s")
        time.sleep(2)
        line("resident, all loaded, after proofs", f"{cold.resident():.0f} MB", "< 150 MB")
        bytes_all = cold.metric("millrace_serve_models_bytes")
        line("of that in models, as they say", f"{bytes_all / 1e6:.0f} MB")
        cold.stop()

        warm = Predictor(folder, "--poll", "250ms")
        line("ready from the cache", f"{warm.ready_s:.2f} s", "< 1 s")
        time.sleep(1)
        line("resident, all loaded, from the cache", f"{warm.resident():.0f} MB", "< 150 MB")
        xgboost = "libxgboost" in pathlib.Path(f"/proc/{warm.process.pid}/maps").read_text()
        line("XGBoost opened", str(xgboost), "False")
        hot = set(range(20))
        alone = Traffic(warm, lambda rng: rng.randrange(20), 4, options.seconds).run()
        line("20 hot models alone: requests, p99", f"{alone.count()}, {alone.percentile(0.99):.2f} ms")
        spread = Traffic(warm, zipf(count), 4, options.seconds).run()
        line("Zipf over all, no bound: requests, p99 of the hot",
             f"{spread.count()}, {spread.percentile(0.99, hot):.2f} ms")
        warm.stop()

        bound = Predictor(folder, "--poll", "250ms", "--memory", str(bytes_all * fit // count))
        line("ready with memory for a fifth", f"{bound.ready_s:.2f} s")
        before = bound.metric("millrace_serve_brought_back")
        zipped = Traffic(bound, zipf(count), 4, options.seconds).run()
        loads = bound.metric("millrace_serve_brought_back") - before
        line("Zipf over all: requests, failed", f"{zipped.count()}, {zipped.failed}", "none fails")
        line("loads", str(loads))
        line("p50, p99 of all", f"{zipped.percentile(0.5):.2f}, {zipped.percentile(0.99):.2f} ms")
        line("p99 of the hot against no bound", f"{zipped.percentile(0.99, hot) / spread.percentile(0.99, hot):.2f}", "<= 1.2")
        line("in memory", str(bound.metric("millrace_serve_versions_resident")), f"<= {fit}")
        bound.stop()

        going = Predictor(folder, "--poll", "250ms")
        for i in range(count // 10, count):
            (folder / f"{name(i)}.ubj").unlink()
        time.sleep(5)
        after = going.resident()
        going.stop()
        few = Predictor(folder, "--poll", "250ms")
        time.sleep(1)
        line("resident 5 s after nine of ten went, against few alone", f"{after:.0f} / {few.resident():.0f} MB", "<= 1.2x")
        few.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
