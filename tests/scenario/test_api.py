"""The native API against its own OpenAPI text: every operation is driven from it, no answer is a 5xx, each matches its schema."""
import json
import random

import jsonschema
import pytest

from conftest import TOP, write_csv

GOLDEN = TOP / "docs" / "api" / "openapi.json"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from conftest import Server
    folder = tmp_path_factory.mktemp("api")
    rng = random.Random(8)
    rows = [[rng.random(), rng.choice("abc")] for _ in range(400)]
    write_csv(folder / "data.csv", [["a", "c", "y"]] + [[a, c, int(a + rng.gauss(0, 0.1) > 0.5)] for a, c in rows])
    (folder / "millrace.toml").write_text('[project]\nname = "api"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.y"\n'
                                          'trainer = { name = "boosted-trees", rounds = 20 }\n[gates]\n"auc" = ">= 0.6"\n')
    made = Server(folder).start().wait_ready()
    yield made
    made.stop()


def test_the_text_is_the_golden_one(server):
    text = server.get("/api/v1/openapi.json").body.decode()
    assert json.loads(text) == json.loads(GOLDEN.read_text()), "the API changed: look at the difference, then write docs/api/openapi.json anew"


def operations():
    return [(method, path) for path, item in json.loads(GOLDEN.read_text())["paths"].items() for method in item]


def body_of(operation, schema_name, good):
    bodies = {"ApplyRequest": {"text": "[project]\nname = \"api\"\n", "dry_run": True}, "AcceptRequest": {"reason": ""}, "IngestRequest": {"source": "data"},
              "QueryRequest": {"sql": "SELECT count(*) FROM data", "rows_max": 5}, "TrainRequest": {"quick": True}, "GcRequest": {"dry_run": False}, "PromoteRequest": {"version": 1},
              "ClaimRequest": {"worker": "w", "kinds": ["none"]}, "HeartbeatRequest": {"token": 1}, "EndRequest": {"token": 99},
              "Labels": [{"prediction": "06F3ZZZZZZZZZZZZZZZZZZZZZZ", "value": "1"}]}
    return bodies.get(schema_name, {}) if good else [["wrong"]]


@pytest.mark.parametrize("method, path", operations())
def test_every_operation(server, method, path):
    api = json.loads(GOLDEN.read_text())
    operation = api["paths"][path][method]
    run = server.get("/api/v1/runs").json["runs"][0]["id"]
    job = "01ZZZZZZZZZZZZZZZZZZZZZZZZ"
    prediction = server.post("/predict/api", {"a": 0.5, "c": "b"}).json["id"]
    known = {"dataset": "data", "version": "1", "run": run, "model": "api", "job": job, "prediction": prediction}
    for values in (known, {name: "no%20such" for name in known}, {name: "%00" for name in known}):
        url = path
        for name, value in values.items():
            url = url.replace("{" + name + "}", value)
        if path.endswith("/diff"):
            url += "?with=1"
        contents = operation.get("requestBody", {}).get("content", {})
        schema = contents.get("application/json", {}).get("schema", {}).get("$ref", "").rsplit("/", 1)[-1]
        tries = [None] if method == "get" else [body_of(operation, schema, True), body_of(operation, schema, False), b"{", b"\xff\xfe"]
        for body in tries:
            answer = server.request(method.upper(), url, body)
            assert answer.status < 500 or answer.status in (501, 503), (url, body, answer.status, answer.body)
            declared = operation["responses"].get(str(answer.status), operation["responses"]["default"])
            reference = declared["content"].get("application/json", {}).get("schema", {}).get("$ref")
            if reference:
                jsonschema.Draft202012Validator(api["components"]["schemas"][reference.rsplit("/", 1)[-1]]).validate(answer.json)
            if answer.status >= 400:
                error = answer.json["error"]
                assert error["code"] and "." in error["reason"] and error["message"], answer.body
