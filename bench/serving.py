"""Serving: the predict server beside the bare libraries that it stands on, over HTTP and gRPC, single rows and many.

Each figure of ours has its lower bound beside it, measured in turn on the same machine: a handler of the same HTTP library (or a callback
service of the same gRPC library) that does nothing but call the same engine."""
import array
import json
import pathlib
import random
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.request

from common import BIN, FEATURES, TOP, TREES, Server, get, post_script, resident, wait, wrk

sys.path.insert(0, str(TOP / "tests"))
import xgboost_models  # noqa: E402

MANY = 1000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def open_port(port, process):
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    sys.exit("bench: the bare program does not listen")


class Bare:
    def __init__(self, what, *arguments):
        self.port = free_port()
        self.process = subprocess.Popen([BIN / "millrace_bench_bare", what, str(self.port), *arguments])
        open_port(self.port, self.process)
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.process.kill()
        self.process.wait()


class Predictor:
    """`millrace predictor` on a folder of model files."""

    def __init__(self, folder, models, *arguments):
        self.out = open(folder / "predictor.out", "w+")
        self.began = time.perf_counter()
        self.process = subprocess.Popen([BIN / "millrace", "predictor", "--models", models, "--http", "127.0.0.1:0", *arguments], stdout=self.out, stderr=subprocess.STDOUT)
        while not (found := re.search(r"http://[\d.:]+", pathlib.Path(self.out.name).read_text())):
            if self.process.poll() is not None:
                sys.exit(pathlib.Path(self.out.name).read_text())
            time.sleep(0.001)
        self.url = found.group(0)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def script_of(folder, name, body, headers):
    """A wrk script that posts these bytes."""
    (folder / f"{name}.bin").write_bytes(body)
    script = folder / f"{name}.lua"
    lines = [f"local file = io.open('{folder / name}.bin', 'rb')", "wrk.method = 'POST'", "wrk.body = file:read('*a')"]
    script.write_text("\n".join(lines + [f"wrk.headers['{key}'] = '{value}'" for key, value in headers.items()]) + "\n")
    return script


def v2_json(rows):
    return json.dumps({"inputs": [{"name": "input-0", "datatype": "FP32", "shape": [len(rows), FEATURES], "data": [round(v, 6) for row in rows for v in row]}]}).encode()


def v2_binary(rows):
    """(body, headers) with the tensor as bytes after the JSON, and the answer asked for as bytes."""
    values = array.array("f", [v for row in rows for v in row]).tobytes()
    head = json.dumps({"inputs": [{"name": "input-0", "datatype": "FP32", "shape": [len(rows), FEATURES], "parameters": {"binary_data_size": len(values)}}],
                       "parameters": {"binary_data_output": True}}).encode()
    return head + values, {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def grpc_message(model, names, row):
    """ModelInferRequest of one row, a tensor for each input, raw contents; with gRPC's five bytes before it."""
    message = field(1, model.encode())
    for name in names:
        message += field(5, field(1, name.encode()) + field(2, b"FP64") + field(3, varint(1) + varint(1)))
    for value in row:
        message += field(7, struct.pack("<d", value))
    return struct.pack(">BI", 0, len(message)) + message


def h2load(address, path, body, streams, seconds=5):
    """(requests a second, p99 in ms) of unary gRPC calls, one connection for each, as many clients do."""
    command = ["h2load", f"-c{streams}", "-m1", "-t1", f"-D{seconds}", "--warm-up-time=1", "-d", body, "-H", "content-type: application/grpc", "-H", "te: trailers",
               "--connect-to", address, f"http://{address}{path}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"([\d.]+) req/s", text).group(1))
    done = re.search(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    if not done or int(done.group(2)) or int(done.group(3)):
        sys.exit("bench: calls failed\n" + text)
    return rate, int(done.group(1))


def answers(url, model):
    """Requests that the server counts as answered, by its own statistics."""
    return json.loads(get(f"{url}/v2/models/{model}/stats"))["model_stats"][0]["inference_stats"]["success"]["count"]


def check(figures, what):
    if figures[3]:
        sys.exit(f"bench: {what}: {figures[3]} answers that are not 2xx")
    return figures


def single_rows(out, folder, body, bare):
    server = Server(folder)
    wait(server.url + "/readyz")
    row = post_script(folder, body)
    log_off = folder / "off"
    log_off.mkdir()
    out += ["### One row as JSON", "", "`/predict/NAME` with the prediction log on, all rows; `off`: `[serve.log] share = 0`; `hello`: the HTTP library's own program.", "",
            "| connections | hello /s | predict /s | predict / hello | p50 ms | p99 ms | log off /s | on / off |", "|---|---|---|---|---|---|---|---|"]
    text = (folder / "millrace.toml").read_text()
    figures = {}
    for log in ("on", "off"):
        if log == "off":
            (folder / "millrace.toml").write_text(text + "[serve.log]\nshare = 0\n")
            subprocess.run([BIN / "millrace", "apply"], cwd=folder, check=True, capture_output=True)
            time.sleep(2)
        for connections in (1, 16, 64):
            hello = check(wrk(bare.url + "/hello", connections), "hello")
            figures[log, connections] = hello, check(wrk(server.url + "/predict/bench", connections, row), "predict")
    (folder / "millrace.toml").write_text(text)
    for connections in (1, 16, 64):
        hello, on = figures["on", connections]
        off_hello, off = figures["off", connections]
        # The machine's mood between the two is in the hello that each has beside it.
        ratio = (on[0] / hello[0]) / (off[0] / off_hello[0])
        out.append(f"| {connections} | {hello[0]:,.0f} | {on[0]:,.0f} | {on[0] / hello[0]:.2f} | {on[1]:.2f} | {on[2]:.2f} | {off[0]:,.0f} | {ratio:.2f} |")
    server.stop()


def many_rows(out, folder, models, bare, rows):
    server = Predictor(folder, models)
    wait(server.url + "/v2/health/ready")
    infer = server.url + "/v2/models/m/infer"
    as_json = script_of(folder, "json", v2_json(rows), {"Content-Type": "application/json"})
    body, headers = v2_binary(rows)
    as_bytes = script_of(folder, "binary", body, headers)
    out += ["", f"### {MANY:,} rows a request", "", "`millrace predictor` on an XGBoost file; `bare`: a handler of the HTTP library that hands the bytes to the same engine.", "",
            "| form | connections | rows /s | p99 ms | bare rows /s | ours / bare |", "|---|---|---|---|---|---|"]
    for connections in (1, 2, 16):
        ours = check(wrk(infer, connections, as_json), "JSON")
        out.append(f"| JSON | {connections} | {ours[0] * MANY:,.0f} | {ours[2]:.2f} | | |")
    for connections in (1, 2, 16):
        least = check(wrk(bare.url + "/rows", connections, as_bytes), "bare rows")
        ours = check(wrk(infer, connections, as_bytes), "binary")
        out.append(f"| binary | {connections} | {ours[0] * MANY:,.0f} | {ours[2]:.2f} | {least[0] * MANY:,.0f} | {ours[0] / least[0]:.2f} |")
    server.stop()


def grpc(out, folder, row):
    bare = Bare("grpc")
    port = free_port()
    server = Server(folder, "--grpc", f"127.0.0.1:{port}")
    wait(server.url + "/readyz")
    path = "/inference.GRPCInferenceService/ModelInfer"
    body = folder / "grpc.bin"
    body.write_bytes(grpc_message("bench", [f"x{i}" for i in range(FEATURES)], row))
    out += ["", "### One row over gRPC", "", f"`h2load`, a connection for each stream; {FEATURES} inputs with raw contents, the prediction log on. `bare`: a callback service of the same library that answers 64 bytes.", "",
            "| streams | bare /s | ours /s | ours / bare |", "|---|---|---|---|"]
    for streams in (1, 16, 64):
        least, _ = h2load(f"127.0.0.1:{bare.port}", path, body, streams)
        before = answers(server.url, "bench")
        ours, count = h2load(f"127.0.0.1:{port}", path, body, streams)
        if answers(server.url, "bench") - before < count:
            sys.exit("bench: gRPC calls were answered with an error")
        out.append(f"| {streams} | {least:,.0f} | {ours:,.0f} | {ours / least:.2f} |")
    bare.stop()
    server.stop()


def cold(out, folder, models, rows):
    body, headers = v2_binary(rows[:1])
    times = []
    for _ in range(5):
        server = Predictor(folder, models)
        while True:
            try:
                request = urllib.request.Request(server.url + "/v2/models/m/infer", data=body, headers=headers)
                urllib.request.urlopen(request, timeout=5).read()
                break
            except OSError:
                time.sleep(0.001)
        times.append((time.perf_counter() - server.began) * 1000)
        memory = resident(server.process.pid)
        server.stop()
    out += ["", "### Start", "", "| what | figure |", "|---|---|", f"| `millrace predictor`, start to the first right answer (median of 5; the first proves the model, the others take it from the cache) | {sorted(times)[2]:.0f} ms (first {times[0]:.0f}) |",
            f"| resident with the model loaded | {memory:.0f} MB |"]


def measure(folder, body):
    rng = random.Random(7)
    rows = [[rng.gauss(0, 1) for _ in range(FEATURES)] for _ in range(MANY)]
    models = folder / "models"
    models.mkdir()
    xgboost_models.train(models / "m.ubj", FEATURES, TREES, 6, count=20_000)
    bare = Bare("http", models / "m.ubj")
    out = [f"{TREES} trees of depth 6, {FEATURES} features. The clients share the cores.", ""]
    single_rows(out, folder, body, bare)
    many_rows(out, folder, models, bare, rows)
    grpc(out, folder, list(json.loads(body).values()))
    cold(out, folder, models, rows)
    bare.stop()
    return out
