"""Bad requests, from a data file: [path, body, status, reason, field]. null: any. Nothing of them changes the state."""
import hashlib
import json
import pathlib
import random

import pytest

from conftest import write_csv

CASES = json.loads((pathlib.Path(__file__).parent / "bad_requests.json").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from conftest import Server
    folder = tmp_path_factory.mktemp("bad")
    rng = random.Random(11)
    rows = [[rng.randrange(18, 90), rng.choice(["gold", "silver", "iron"])] for _ in range(500)]
    write_csv(folder / "data.csv", [["age", "plan", "y"]] + [[age, plan, int(age + rng.gauss(0, 5) > 50)] for age, plan in rows])
    (folder / "millrace.toml").write_text('[project]\nname = "bad"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.y"\n[gates]\n"auc" = ">= 0.6"\n')
    made = Server(folder).start().wait_ready()
    yield made
    made.stop()


def state(server):
    """What a request must not change: data, models, aliases, labels known, lines in the log."""
    parts = [server.get(path).body for path in ("/api/v1/datasets", "/api/v1/models/bad", "/api/v1/project")]
    status = server.get("/api/v1/status").json["models"][0]
    parts.append(json.dumps([status["current"], status["requests"], status["labels_waiting"], status["live_rows"]]).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def test_there_are_enough_of_them():
    assert len(CASES) >= 60


def test_each_is_refused_with_its_reason_and_changes_nothing(server):
    assert server.post("/predict/bad", {"age": 30, "plan": "gold"}).status == 200
    before = state(server)
    problems = []
    for path, body, status, reason, field in CASES:
        answer = server.request("POST", path, body.encode("utf-8", "surrogatepass"))
        error = answer.json.get("error", {}) if answer.status >= 400 else {}
        if answer.status != status or (reason and error.get("reason") != reason) or (field and error.get("field") != field):
            problems.append((path, body, answer.status, error))
        elif not error.get("message") or (field and not (error.get("expected") or "unknown" in reason or "duplicate" in reason or "missing" in reason)):
            problems.append(("says too little", body, error))
    huge = server.request("POST", "/predict/bad", b'{"age": 3, "plan": "' + b"x" * (17 << 20) + b'"}')
    assert huge.status == 413 or huge.status == 429 or huge.status == 400, huge.status
    assert not problems, "\n".join(map(str, problems))
    assert state(server) == before
