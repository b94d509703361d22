"""What the benchmarks share: a project to measure on, a server, a load."""
import json
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
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
    def __init__(self, folder, *arguments):
        self.folder = folder
        (folder / ".millrace" / "address").unlink(missing_ok=True)
        self.began = time.perf_counter()
        self.process = subprocess.Popen([BIN / "millrace", "up", "--listen", "127.0.0.1:0", *arguments], cwd=folder, stdout=open(folder / "up.out", "ab"), stderr=subprocess.STDOUT)
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


def project(learning_rate):
    return ('[project]\nname = "bench"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.y"\n'
            f'trainer = {{ name = "boosted-trees", rounds = {TREES}, depth = 6, early_stopping = 0, learning_rate = {learning_rate} }}\n'
            '[gates]\n"auc" = ">= 0.6"\n')


def make_project(folder):
    """5,000 rows of 30 numbers and a binary target. Returns the body of a request for the first row."""
    rng = random.Random(1)
    rows = [[rng.gauss(0, 1) for _ in range(FEATURES)] for _ in range(5000)]
    with open(folder / "data.csv", "w") as file:
        file.write(",".join(f"x{i}" for i in range(FEATURES)) + ",y\n")
        for row in rows:
            file.write(",".join(f"{v:.6f}" for v in row) + f",{int(sum(row[:5]) + rng.gauss(0, 1) > 0)}\n")
    (folder / "millrace.toml").write_text(project(0.1))
    return json.dumps({f"x{i}": rows[0][i] for i in range(FEATURES)})


def post_script(folder, body):
    script = folder / "post.lua"
    script.write_text(f"wrk.method='POST'\nwrk.body='{body}'\nwrk.headers['Content-Type']='application/json'\n")
    return script


def ready(folder):
    server = Server(folder)
    wait(server.url + "/readyz")
    return server
