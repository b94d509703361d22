"""What must not be let through is refused, and says why."""
import random

import pytest

from conftest import read_csv, write_csv


def project(folder, name, target, more=""):
    (folder / "millrace.toml").write_text(f'[project]\nname = "{name}"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.{target}"\n{more}')


def refused(server, name):
    server.wait_versions(name, 1)
    version = server.get(f"/api/v1/models/{name}/versions/1").json
    assert version["verdict"] == "failed", version
    assert any(not gate["passed"] and gate["why"] for gate in version["gates"]), version["gates"]
    assert server.get("/readyz").status == 503, "a refused first version does not serve"
    assert server.post(f"/predict/{name}", {}).status in (404, 503)
    assert f"{name}:1" in server.cli("status").stdout
    return version


def test_a_shuffled_target_is_refused(servers, data, tmp_path):
    rows = read_csv("credit_default.csv.gz")[:6001]
    target = rows[0].index("default.payment.next.month")
    rows[0][target] = "defaulted"
    values = [row[target] for row in rows[1:]]
    random.Random(4).shuffle(values)
    for row, value in zip(rows[1:], values):
        row[target] = value
    write_csv(tmp_path / "data.csv", rows)
    project(tmp_path, "shuffled", "defaulted")
    refused(servers().start(), "shuffled")


def test_thirty_rows_are_refused(servers, tmp_path):
    rng = random.Random(1)
    write_csv(tmp_path / "data.csv", [["a", "b", "y"]] + [[rng.random(), rng.random(), i % 2] for i in range(30)])
    project(tmp_path, "tiny", "y")
    refused(servers().start(), "tiny")


def test_a_failed_version_needs_a_reason_and_keeps_it(servers, tmp_path):
    rng = random.Random(2)
    write_csv(tmp_path / "data.csv", [["a", "b", "y"]] + [[rng.random(), rng.random(), rng.randrange(2)] for i in range(400)])
    project(tmp_path, "noise", "y")
    server = servers().start()
    refused(server, "noise")
    no = server.post("/api/v1/models/noise/promote", {"version": 1})
    assert no.status == 409 and no.json["error"]["reason"] == "registry.gate_not_passed"
    assert server.cli("promote", "noise:1", expect=2).returncode == 2
    server.cli("promote", "noise:1", "--reason", "a test of the override")
    version = server.get("/api/v1/models/noise/versions/1").json
    assert version["verdict"] == "overridden" and version["override_reason"] == "a test of the override"
    assert server.post("/predict/noise", {"a": 0.5, "b": 0.5}).status == 200
    server.cli("promote", "noise:baseline")
    baseline = server.post("/predict/noise", {"a": 0.5, "b": 0.5}).json
    assert baseline["model"] == "noise:0"
    assert server.post("/predict/noise", {"a": 0.1, "b": 0.9}).json["probability"] == baseline["probability"]
    server.cli("rollback", "noise")
    assert server.post("/predict/noise", {"a": 0.5, "b": 0.5}).json["model"] == "noise:1"


def test_a_failing_check_keeps_the_version_out(servers, tmp_path):
    rng = random.Random(3)
    write_csv(tmp_path / "data.csv", [["age", "b", "y"]] + [[rng.randrange(5, 80), rng.random(), rng.randrange(2)] for i in range(300)])
    project(tmp_path, "checked", "y", "[check.data]\nage = { type = \"int\", min = 16 }\n")
    server = servers().start()
    from conftest import wait_for
    version = wait_for("the dataset version", lambda: (server.get("/api/v1/datasets").json["versions"] or [None])[0])
    assert version["state"] == "failed"
    shown = server.get("/api/v1/datasets/data/versions/1").json
    assert any(c["level"] == "error" and c["column"] == "age" for c in shown["checks"])
    assert not server.get("/api/v1/runs").json["runs"], "never trained on"
    server.cli("data", "accept", "data@1", "--reason", "children are customers now")
    server.wait_versions("checked", 1)
    assert server.get("/api/v1/datasets/data/versions/1").json["state"] == "accepted"


@pytest.mark.parametrize("text, expect", [
    ("[projct]\nname = 'x'\n", "project"),
    ("[project]\nname = 'x'\n[source.a]\nuri = 'file:a.csv'\n[model]\ntarget = 'a.y'\n[privacy]\npolicies = ['gdpr']\n", "not available yet"),
    ("[project\n", "line 1"),
])
def test_project_file_errors_name_the_place(servers, tmp_path, text, expect):
    (tmp_path / "millrace.toml").write_text(text)
    server = servers()
    done = server.cli("up", expect=None)
    assert done.returncode != 0 and expect in done.stderr, done.stderr
