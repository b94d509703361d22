"""Releases: what a shadow costs the answers that it stands beside, also when it hangs.

Three servers with the same version serving: one without a release, one whose candidate answers beside it as a shadow, one whose shadow never
comes back. They are asked in turn at the same rate, open loop, so that a noisy machine meets all three."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

from common import BIN, Server, get, project, wait

ROUNDS, RATE = 5, 2000
STEPS = '[release]\nsteps = ["shadow 1h", "full"]\n'


def ready(folder, fault=""):
    os.environ["MILLRACE_FAULT"] = fault
    server = Server(folder)
    del os.environ["MILLRACE_FAULT"]
    wait(server.url + "/readyz")
    return server


def shadowed(folder, fault=""):
    """A server that answers with version 1, version 2 in its shadow."""
    server = ready(folder, fault)
    get(server.url + "/api/v1/project", json.dumps({"text": project(0.2) + STEPS, "dry_run": False}).encode())
    until = time.monotonic() + 120
    while True:
        releases = json.loads(get(server.url + "/api/v1/models/bench/releases"))["releases"]
        if releases and releases[0]["candidate"] == 2:
            break
        if time.monotonic() > until:
            sys.exit(f"bench: no release began: {releases}")
        time.sleep(0.05)
    return server


def load(server):
    command = [BIN / "millrace", "--server", server.url, "loadtest", "bench", "--rate", str(RATE), "--duration", "4s", "--connections", "16", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {done.stdout}{done.stderr}")
    result = json.loads(done.stdout)["result"]
    if result["failed"]:
        sys.exit(f"bench: {result['errors']}")
    return result["latency_ms"]


def shadows(server):
    one = json.loads(get(server.url + "/api/v1/models/bench/releases"))["releases"][0]
    return one["candidate_requests"], one["shadow_dropped"]


def measure(folder):
    first = folder / "plain"
    first.mkdir()
    for name in ("data.csv", "millrace.toml"):
        shutil.copy(folder / name, first / name)
    ready(first).stop()  # version 1 is trained
    for name in ("shadow", "hanging"):
        shutil.copytree(first, folder / name)
    servers = {"no release": ready(first), "a shadow": shadowed(folder / "shadow"), "a shadow that hangs": shadowed(folder / "hanging", "serve.answer.candidate=hang")}
    try:
        for server in servers.values():
            load(server)
        taken = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, server in servers.items():
                taken[name].append(load(server))
        answered, dropped = shadows(servers["a shadow"])
        _, dropped_hanging = shadows(servers["a shadow that hangs"])
        if not answered or not dropped_hanging:
            sys.exit("bench: the shadows did not answer, or none was dropped: nothing was measured")
    finally:
        for server in servers.values():
            server.stop()
    middle = {name: {p: statistics.median(one[p] for one in rounds) for p in ("p50", "p99")} for name, rounds in taken.items()}
    base = middle["no release"]
    rows = [f"| {name} | {m['p50']:.2f} | {m['p99']:.2f} | {m['p99'] / base['p99']:.2f} |" for name, m in middle.items()]
    return [f"Open loop, {RATE:,} requests a second over 16 connections, one row each; median of {ROUNDS} rounds of 4 s, the servers in turn.", "",
            "| beside the answers | p50 ms | p99 ms | p99 / without |", "|---|---|---|---|", *rows, "",
            f"The shadow answered {answered:,} requests and dropped {dropped:,}; of the one that hangs {dropped_hanging:,} were dropped."]
