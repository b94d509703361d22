"""Predict: beside the bare HTTP library and the bare XGBoost call."""
import json
import statistics
import subprocess

from common import BIN, FEATURES, TREES, get, post_script, ready, wrk


def artifact_file(server, folder):
    """The served version's archive, as anybody downloads it."""
    digest = json.loads(get(server.url + "/api/v1/models/bench/versions/1"))["artifact"]
    path = folder / "model.millrace"
    path.write_bytes(get(server.url + f"/api/v1/blobs/{digest}"))
    return path


def measure(folder, body):
    server = ready(folder)
    script = post_script(folder, body)
    out = [f"One row of {FEATURES} numbers, {TREES} trees of depth 6. `hello` is `/healthz` of the same server: the HTTP library with nothing behind it.",
           "`wrk` shares the cores.", "",
           "| connections | hello /s | predict /s | predict / hello | p50 ms | p99 ms | errors |", "|---|---|---|---|---|---|---|"]
    for connections in (1, 16, 64):
        hello = wrk(server.url + "/healthz", connections)
        predict = wrk(server.url + "/predict/bench", connections, script)
        out.append(f"| {connections} | {hello[0]:,.0f} | {predict[0]:,.0f} | {predict[0] / hello[0]:.2f} | {predict[1]:.2f} | {predict[2]:.2f} | {predict[3]} |")
    took = [json.loads(get(server.url + "/predict/bench", body.encode()))["took_ms"] for _ in range(300)]
    blob = artifact_file(server, folder)
    server.stop()

    (folder / "row.json").write_text(body)
    (folder / "phase-log").mkdir(exist_ok=True)
    phases = json.loads(subprocess.run([BIN / "millrace_bench_phases", blob, folder / "row.json", folder / "phase-log"], capture_output=True, text=True, check=True).stdout)
    bare = phases.pop("bare xgboost")
    total = sum(phases.values())
    out += ["", f"Inside the server a prediction took {statistics.median(took) * 1000:.0f} us (median of 300, one by one). The same steps alone in one thread, hot, median of 200 rounds:", "",
            "| step | us | share | |", "|---|---|---|---|"]
    notes = {"engine": f"our own trees; the bare call of XGBoost with its text made beforehand: {bare:.1f} us, ratio {phases['engine'] / bare:.2f}",
             "answer": "scores, decision, label", "log": "id, time, line in the mapped segment"}
    out += [f"| {name} | {value:.2f} | {value / total:.0%} | {notes.get(name, '')} |" for name, value in phases.items()]
    out += [f"| together | {total:.2f} | | {total / bare:.2f} of the bare XGBoost call |"]
    return out
