"""`millrace loadtest` against a real server: what it counts, how it ends, and that a server which stands still can't hide behind it."""
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from conftest import MILLRACE, Server, small_project, wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loadtest")
    small_project(folder)
    made = Server(folder).start().wait_ready()
    yield made
    made.stop()


def measured(server, *arguments, expect=0):
    done = server.cli("loadtest", *arguments, "--json", expect=expect)
    return json.loads(done.stdout)


def served(server):
    text = server.get("/metrics").body.decode()
    return int(float(re.search(r'millrace_serve_requests\{model="small"\} (\S+)', text)[1]))


def test_every_request_arrives_and_every_field_is_there(server):
    before = served(server)
    report = measured(server, "small", "--rate", "300", "--duration", "2s", "--connections", "4")
    assert served(server) - before == 600
    assert {key: report[key] for key in ("model", "protocol", "arrivals", "connections", "rows_each", "seed", "passed")} == {
        "model": "small", "protocol": "predict", "arrivals": "fixed", "connections": 4, "rows_each": 1, "seed": 1, "passed": True}
    assert report["path"] == "/predict/small" and report["url"] == server.url and "example rows of small:1" in report["rows"]
    result = report["result"]
    assert (result["due"], result["answered"], result["failed"], result["errors"]) == (600, 600, 0, [])
    assert result["asked_per_s"] == 300 and 0 < result["reached_per_s"] <= 301 and result["rows_per_s"] == result["reached_per_s"]
    assert result["duration_s"] == 2 and 2 <= result["took_s"] < 30 and not result["interrupted"]
    for name in ("latency_ms", "send_delay_ms", "client_delay_ms"):
        figures = [result[name][key] for key in ("p50", "p90", "p99", "p999", "max")]
        assert figures == sorted(figures) and result[name]["mean"] <= result[name]["max"], name
    assert result["latency_ms"]["p50"] > 0
    assert result["saturated"]["what"] in ("nothing", "machine", "standstill", "connections") and result["saturated"]["why"]
    assert sum(second["due"] for second in result["seconds"]) == 600 == sum(second["answered"] for second in result["seconds"])
    assert any("server_cores_used" in second for second in result["seconds"]), result["seconds"]
    assert all(second["machine_busy"] >= 0 for second in result["seconds"] if "machine_busy" in second)


@pytest.mark.parametrize("protocol", ["predict", "v2", "v2-binary"])
def test_protocols_and_rows_each(server, protocol):
    report = measured(server, "small", "--rate", "50", "--duration", "500ms", "--protocol", protocol, "--rows-each", "20", "--arrivals", "poisson")
    result = report["result"]
    assert result["failed"] == 0 and result["answered"] == result["due"] > 5, result["errors"]
    assert result["rows_per_s"] == pytest.approx(20 * result["reached_per_s"])


def test_rows_of_files(server):
    (server.folder / "rows.csv").write_text("a,c,y\n0.5,red,1\nNA,\"green\",0\n")
    (server.folder / "rows.jsonl").write_text('{"a": 0.5, "c": "red"}\n{"a": null}\n')
    for file in ("rows.csv", "rows.jsonl", "data.csv"):
        report = measured(server, "small", "--rate", "100", "--duration", "300ms", "--rows", file)
        assert report["result"]["answered"] == 30 and report["result"]["failed"] == 0, report["result"]["errors"]
        assert file in report["rows"]
    done = server.cli("loadtest", "small", "--rows", "none.csv", expect=None)
    assert done.returncode == 1 and "none.csv" in done.stderr


def test_limits_decide_the_exit_status(server):
    kept = server.cli("loadtest", "small", "--rate", "100", "--duration", "500ms", "--p99", "10s", "--errors", "0")
    assert "limit      p99 <= 10s" in kept.stdout and "limit      errors <= 0   got 0   kept" in kept.stdout and "MISSED" not in kept.stdout
    missed = server.cli("loadtest", "small", "--rate", "100", "--duration", "500ms", "--p99", "1us", "--max", "10s", "--errors", "0", expect=2)
    assert re.search(r"limit      p99 <= 1us   got .* MISSED", missed.stdout)
    assert missed.stdout.count("MISSED") == 1
    report = measured(server, "small", "--rate", "100", "--duration", "500ms", "--p99", "1us", expect=2)
    assert not report["passed"] and report["result"]["limits"][0]["name"] == "p99" and not report["result"]["limits"][0]["passed"]


def test_a_model_that_does_not_exist(server):
    no_rows = server.cli("loadtest", "nobody", expect=1)
    assert "nobody" in no_rows.stderr
    (server.folder / "any.jsonl").write_text('{"a": 0.5}\n')
    report = measured(server, "nobody", "--rows", "any.jsonl", "--rate", "100", "--duration", "500ms", "--errors", "0", expect=2)
    assert report["result"]["answered"] == 0 and report["result"]["failed"] == 50
    (error,) = report["result"]["errors"]
    assert error["status"] == 404 and error["reason"].startswith("serve.") and error["count"] == 50
    assert measured(server, "nobody", "--rows", "any.jsonl", "--rate", "100", "--duration", "500ms", expect=1)["result"]["failed"] == 50


def test_a_ramp_finds_the_highest_rate_that_holds(server):
    # Only a few answers a second are allowed to be as quick as this: what breaks is the limit, whatever the machine.
    broken = measured(server, "small", "--ramp", "50..400", "--stage", "500ms", "--p99", "1us", expect=2)
    assert "highest_per_s" not in broken and [stage["held"] for stage in broken["stages"]] == [False]
    held = measured(server, "small", "--ramp", "20..60", "--stage", "500ms", "--p99", "10s")
    assert held["highest_per_s"] == 60 and [stage["asked_per_s"] for stage in held["stages"]] == [20, 31, 47, 60]
    assert all(stage["held"] for stage in held["stages"])


def test_wrong_usage(server):
    for arguments in (["--rate", "0"], ["--duration", "5"], ["--ramp", "100"], ["--errors", "few"], ["--p99", "0s"], ["--protocol", "grpc"],
                      ["--connections", "0"]):
        done = server.cli("loadtest", "small", *arguments, expect=64)
        assert done.stderr.startswith("error: ") and done.stdout == "", done
    assert server.cli("loadtest", expect=64).stderr.startswith("error: millrace loadtest needs model")
    help_text = server.cli("loadtest", "--help").stdout
    assert "--ramp" in help_text and "millrace loadtest churn --rate 2000" in help_text


def test_a_server_that_stands_still_is_seen_in_every_request_that_was_due(server):
    """SIGSTOP for a second in the middle: about a second's worth of requests has waited up to a second. A client that waits for each answer
    before it sends the next would have seen four slow ones."""
    stopped = []

    def stop():
        wait_for("the load", lambda: served_since() > 50)
        os.kill(server.process.pid, signal.SIGSTOP)
        stopped.append(time.monotonic())
        time.sleep(1)  # how long it stands still
        os.kill(server.process.pid, signal.SIGCONT)
        stopped.append(time.monotonic())

    before = served(server)

    def served_since():
        return served(server) - before

    thread = threading.Thread(target=stop)
    thread.start()
    report = measured(server, "small", "--rate", "200", "--duration", "4s", "--connections", "4")
    thread.join()
    still_ms = (stopped[1] - stopped[0]) * 1000
    result = report["result"]
    assert result["answered"] == 800 and result["failed"] == 0
    assert result["latency_ms"]["max"] >= 0.95 * still_ms
    # A quarter of the requests was due meanwhile, so 10 % of all waited for more than half of that time and 1 % for nearly all of it.
    assert result["latency_ms"]["p90"] >= 0.45 * still_ms
    assert result["latency_ms"]["p99"] >= 0.85 * still_ms
    assert result["send_delay_ms"]["p99"] >= 0.8 * still_ms  # they were due and could not be sent: all four connections waited
    assert result["client_delay_ms"]["p50"] < 0.2 * still_ms  # which was not the client's doing


def test_ctrl_c_prints_what_was_measured(server):
    process = subprocess.Popen([MILLRACE, "loadtest", "small", "--rate", "100", "--duration", "1h", "--p99", "10s"], cwd=server.folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = process.stderr.readline()  # the first second is over
    assert "answered" in line and "p99" in line
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped    after" in out and re.search(r"latency +p50 ", out) and "limit      p99 <= 10s" in out


def test_a_server_that_goes_away(server, servers, tmp_path):
    small_project(tmp_path)
    own = servers().start().wait_ready()
    process = subprocess.Popen([MILLRACE, "loadtest", "small", "--rate", "100", "--duration", "3s", "--timeout", "1s", "--errors", "0", "--json"],
                               cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stderr.readline()
    own.kill()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    result = json.loads(out)["result"]
    assert result["answered"] > 50 and result["due"] == 300 == result["answered"] + result["failed"]
    assert {error["reason"] for error in result["errors"]} <= {"connection_closed", "not_sent", "timeout"}
    gone = subprocess.run([MILLRACE, "loadtest", "small", "--server", own.url], cwd=tmp_path, text=True, capture_output=True)
    assert gone.returncode == 1 and "error: " in gone.stderr
