"""Batching: single rows of an ONNX network by 16 connections, each computed by itself and those that wait together."""
import pathlib
import re
import struct
import sys

from common import TOP, get, wait, wrk
from serving import Predictor, check, script_of

sys.path.insert(0, str(TOP / "tests"))
if pathlib.Path("/python/onnxruntime").is_dir():
    sys.path.append("/python")

CONNECTIONS = 16
NETS = {"64-128-10": (64, 128, 10), "64-1024-1024-10": (64, 1024, 1024, 10), "64-2048-2048-10": (64, 2048, 2048, 10)}
RUNS = {"off": (), "one at a time": ("--concurrency", "1"), "together": ("--batch-rows", "64", "--concurrency", "1")}


def counted(url, name):
    found = re.search(rf"^{re.escape(name)} (\S+)$", get(url + "/metrics").decode(), re.M)
    return float(found.group(1)) if found else 0.0


def request_of(folder, width):
    values = struct.pack(f"<{width}f", *[(i % 7 - 3) / 3 for i in range(width)])
    head = (f'{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1,{width}],"parameters":{{"binary_data_size":{len(values)}}}}}],'
            '"parameters":{"binary_data_output":true}}').encode()
    return script_of(folder, "row", head + values, {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))})


def measure(folder):
    import onnx_models
    out = [f"`millrace predictor` on ONNX networks, one row a request, binary, {CONNECTIONS} connections. `together`: `{' '.join(RUNS['together'])}`; `one at a time`: the same without batching.", "",
           "| network | run | rows /s | to off | p50 ms | p99 ms | rows a computation |", "|---|---|---|---|---|---|---|"]
    for name, sizes in NETS.items():
        models = folder / f"models-{name}"
        models.mkdir()
        onnx_models.mlp(models / "net.onnx", sizes=sizes)
        row = request_of(folder, sizes[0])
        off = 0
        for run, arguments in RUNS.items():
            server = Predictor(folder, models, *arguments)
            wait(server.url + "/v2/health/ready")
            rate, p50, p99, _ = check(wrk(server.url + "/v2/models/net/infer", CONNECTIONS, row), run)
            off = off or rate
            rows, times = (counted(server.url, f'nv_inference_{what}{{model="net",version="1"}}') for what in ("count", "exec_count"))
            server.stop()
            out.append(f"| {name} | {run} | {rate:,.0f} | {rate / off:.2f} | {p50:.2f} | {p99:.2f} | {rows / max(times, 1):.1f} |")
    return out
