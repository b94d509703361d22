#!/usr/bin/env python3
"""./dev bench peers [--peers triton,mlserver,...] [--seconds N] [--write]: Millrace beside other servers, on the same model file, machine
and load, one row as JSON a request. Runs on the host, with a Python that has wheels of them; each peer is installed into a virtual
environment of its own in the cache (--cache). The load comes from the root, as in the other benchmarks, and goes to Millrace and to the peer in
turn. Nothing else should run meanwhile."""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request

from common import FEATURES, TREES

TOP = pathlib.Path(__file__).resolve().parent.parent
HERE = TOP / "bench" / "peers"
CONNECTIONS = (1, 16, 64)
NAMES = {"mlserver": "MLServer, own runtime", "triton": "Triton, Python backend", "triton-batching": "Triton, Python backend, dynamic batching", "litserve": "LitServe", "bentoml": "BentoML",
         "mlflow": "mlflow models serve"}
TITLE = "Beside other servers"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def v2(row):
    return "/v2/models/m/infer", {"inputs": [{"name": "input-0", "datatype": "FP32", "shape": [1, FEATURES], "data": row}]}


def request_to(peer, row):
    """(path, body) of one row."""
    if peer == "litserve" or peer == "bentoml":
        return "/predict", {"row": row}
    return ("/invocations", {"inputs": [row]}) if peer == "mlflow" else v2(row)


def answer_of(peer, answer):
    if peer == "bentoml":
        return answer
    if peer == "litserve":
        return answer["prediction"]
    return answer["predictions"][0] if peer == "mlflow" else answer["outputs"][0]["data"][0]


def post(url, body):
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def environment(peer, cache):
    """The Python of the peer's virtual environment, made where it is missing; None, having said why, when it can't be."""
    packages = json.loads((HERE / "requirements.json").read_text())[peer]
    where = cache / f"{peer}-{hashlib.sha256(' '.join([sys.version, *packages]).encode()).hexdigest()[:16]}"
    python = where / "bin" / "python3"
    if (where / "whole").exists():
        return python
    shutil.rmtree(where, ignore_errors=True)
    print(f"bench: installing {', '.join(packages)}", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", "venv", where], capture_output=True, text=True)
    if done.returncode == 0:
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", *packages], capture_output=True, text=True)
    if done.returncode != 0:
        print(f"bench: {peer} is left out, it could not be installed:\n{(done.stdout + done.stderr)[-2000:]}", file=sys.stderr)
        return None
    (where / "whole").touch()
    return python


class Process:
    """A server, with all that it starts."""

    def __init__(self, command, out, **env):
        self.out = out
        with open(out, "wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **env}, start_new_session=True)

    def wait_for(self, url, body, seconds=300):
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                return post(url, body)
            except (OSError, ValueError):
                time.sleep(0.1)
        raise RuntimeError(f"no answer from {url}:\n{self.out.read_text(errors='replace')[-2000:]}")

    def stop(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, how)
                self.process.wait(15)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass


def in_root(*arguments):
    done = subprocess.run([TOP / "dev", "shell", "python3", "bench/peer_load.py", *map(str, arguments)], cwd=TOP, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return done.stdout


def load(url, body, connections, seconds, folder):
    """(requests a second, p50, p99 in ms)"""
    file = folder / "body.json"
    file.write_text(json.dumps(body))
    rate, p50, p99, bad = json.loads(in_root("load", url, file, connections, seconds))
    if bad:
        raise RuntimeError(f"{url}: {bad} answers that are not 2xx")
    return rate, p50, p99


def beside(peer, python, model, row, millrace, seconds, folder):
    """Lines of the table: the peer and Millrace in turn."""
    port = free_port()
    path, body = request_to(peer, row)
    env = {"PEER_MODEL": str(model), "PEER_PORT_2": str(free_port()), "PEER_PORT_3": str(free_port()), "PEER_BATCHING": "1" if peer == "triton-batching" else "0",
           "OMP_NUM_THREADS": "1"}
    if peer.startswith("triton"):  # its stub opens the Python library that it finds first, which must be of this Python
        env["LD_LIBRARY_PATH"] = sysconfig.get_config_var("LIBDIR")
    server = Process([python, HERE / f"serve_{peer.split('-')[0]}.py", str(model), str(port), str(folder)], folder / "server.out", **env)
    try:
        url = f"http://127.0.0.1:{port}{path}"
        answer = answer_of(peer, server.wait_for(url, body))
        ours_path, ours_body = v2(row)
        wanted = answer_of("millrace", post(millrace + ours_path, ours_body))
        if abs(answer - wanted) > 1e-6:
            raise RuntimeError(f"it answers {answer}, Millrace {wanted}: that is not the same model")
        out = []
        for connections in CONNECTIONS:
            ours = load(millrace + ours_path, ours_body, connections, seconds, folder)
            theirs = load(url, body, connections, seconds, folder)
            out.append(f"| {NAMES[peer]} | {connections} | {theirs[0]:,.0f} | {theirs[1]:.2f} | {theirs[2]:.2f} | {ours[0]:,.0f} | {ours[1]:.2f} | {ours[2]:.2f} | {ours[0] / theirs[0]:.1f} |")
            print(out[-1], flush=True)
        return out
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=",".join(NAMES), help="which, with commas between: " + ", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--write", action="store_true", help="put the table into bench/RESULTS.md")
    parser.add_argument("--cache", default=TOP / "build" / "peers", help="folder for the virtual environments")
    options = parser.parse_args()
    peers = [one for one in options.peers.split(",") if one]
    if unknown := [one for one in peers if one not in NAMES]:
        sys.exit(f"bench: no peer '{unknown[0]}'; there are: {', '.join(NAMES)}")
    lines = [f"| server | connections | /s | p50 ms | p99 ms | Millrace /s | p50 ms | p99 ms | Millrace / it |", "|---|---|---|---|---|---|---|---|---|"]
    failed = []
    with tempfile.TemporaryDirectory(prefix="millrace-peers-") as name:
        folder = pathlib.Path(name)
        model = folder / "models" / "m.ubj"
        model.parent.mkdir()
        row = json.loads(in_root("make", model))
        port = free_port()
        ours = Process([TOP / "millrace", "predictor", "--models", model.parent, "--http", f"127.0.0.1:{port}"], folder / "millrace.out")
        try:
            path, body = v2(row)
            ours.wait_for(f"http://127.0.0.1:{port}{path}", body)
            print("\n".join(lines), flush=True)
            for peer in peers:
                python = environment(peer.split("-")[0], pathlib.Path(options.cache))
                own = folder / peer
                own.mkdir()
                try:
                    if not python:
                        raise RuntimeError("it could not be installed")
                    lines += beside(peer, python, model, row, f"http://127.0.0.1:{port}", options.seconds, own)
                except (RuntimeError, OSError) as error:
                    failed.append(peer)
                    print(f"bench: {peer}: {error}", file=sys.stderr, flush=True)
        finally:
            ours.stop()
    if options.write and not failed:
        from run import RESULTS, sections, write
        known = sections(RESULTS.read_text())
        cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown processor")
        known[TITLE] = (f"`./dev bench peers` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, {cpu}. {TREES} trees of depth 6, {FEATURES} features, one row as JSON, "
                        f"{options.seconds} s each; the clients share the cores. `millrace predictor` and each server in turn.\n\n" + "\n".join(lines))
        write(known)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
