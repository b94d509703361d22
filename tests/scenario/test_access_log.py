"""[serve] access_log: a line for each request, or for some; rotated, and never in the requests' way."""
import json
import urllib.error

import pytest

from conftest import small_project, wait_for

ROW = {"a": 0.5, "c": "red"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines(server):
    path = server.data_dir / "access.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def started(tmp_path, servers, rule):
    small_project(tmp_path, more=f'[serve]\naccess_log = "{rule}"\n' if rule else "")
    return servers().start().wait_ready()


def test_every_request_has_a_line(tmp_path, servers):
    server = started(tmp_path, servers, "all")
    answers = [server.post("/predict/small?x=secret", ROW, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}),
               server.post("/predict/nobody", ROW), server.get("/nothing/here"), server.get("/api/v1/status")]
    wanted = [("POST", "/predict/small", "/predict/{model}", 200), ("POST", "/predict/nobody", "/predict/{model}", 404),
              ("GET", "/nothing/here", "", 404), ("GET", "/api/v1/status", "/api/v1/status", 200)]
    for answer, (method, path, route, status) in zip(answers, wanted):
        request = answer.headers["x-request-id"]
        (line,) = wait_for(f"the line of {path}", lambda: [each for each in lines(server) if each["request"] == request], 10)
        assert (line["method"], line["path"], line["route"], line["status"]) == (method, path, route, status)
        assert line["bytes"] == len(answer.body) and line["us"] > 0 and line["remote"].startswith("127.0.0.1:")
        assert line["trace"] == (TRACE if path == "/predict/small" else "")
    assert "secret" not in (server.data_dir / "access.log").read_text()
    metrics = server.get("/metrics").body.decode()
    assert "millrace_net_access_log_dropped_total 0" in metrics and "millrace_net_access_log_lines_total" in metrics


def test_only_errors(tmp_path, servers):
    server = started(tmp_path, servers, "errors")
    for _ in range(20):
        assert server.post("/predict/small", ROW).status == 200
    missing = server.get("/nothing").headers["x-request-id"]
    wait_for("the line", lambda: any(each["request"] == missing for each in lines(server)), 10)
    assert all(each["status"] >= 400 for each in lines(server))


def test_a_share_by_the_requests_id(tmp_path, servers):
    server = started(tmp_path, servers, "20%")
    asked = [server.get("/healthz").headers["x-request-id"] for _ in range(500)]
    server.stop()  # writes what waits
    kept = [each["request"] for each in lines(server) if each["request"] in set(asked)]
    assert 50 <= len(kept) <= 150 and len(set(kept)) == len(kept)


def test_off_by_default(tmp_path, servers):
    server = started(tmp_path, servers, "")
    assert server.post("/predict/small", ROW).status == 200
    server.stop()
    assert not (server.data_dir / "access.log").exists()
