"""MLflow's scoring protocol: the four forms of a body and CSV, each with the answers of /predict; refusals in MLflow's shape."""
import json

import pytest

from conftest import Server, small_project

ROWS = [{"a": 0.125, "c": "red"}, {"a": 0.75, "c": "blue"}, {"a": None, "c": "green"}]
LISTS = [[row["a"], row["c"]] for row in ROWS]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invocations")
    small_project(folder)
    made = Server(folder).start().wait_ready()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def expected(server):
    return [p["prediction"] for p in server.post("/predict/small", ROWS).json["predictions"]]


@pytest.mark.parametrize("body", [
    {"dataframe_split": {"columns": ["a", "c"], "index": [0, 1, 2], "data": LISTS}},
    {"dataframe_split": {"data": [[c, a] for a, c in LISTS], "columns": ["c", "a"]}, "params": {}},
    {"dataframe_records": ROWS},
    {"instances": ROWS},
    {"instances": LISTS},
    {"inputs": {"a": [row["a"] for row in ROWS], "c": [[row["c"]] for row in ROWS]}},
    {"inputs": LISTS},
], ids=lambda body: next(iter(body)))
def test_every_form_answers_as_predict_does(server, expected, body):
    for path in ("/invocations", "/invocations/small"):
        answer = server.post(path, body)
        assert answer.status == 200, answer.body
        assert answer.json["predictions"] == expected and answer.json["model"] == "small:1"
        assert len(set(answer.json["ids"])) == len(ROWS)


def test_csv_and_nan(server, expected):
    csv = "a,c\n0.125,red\n0.75,blue\n,green\n".encode()
    answer = server.request("POST", "/invocations", csv, headers={"Content-Type": "text/csv; charset=utf-8"})
    assert answer.json["predictions"] == expected
    # What Python writes for a missing number.
    body = json.dumps({"instances": [[float("nan") if a is None else a, c] for a, c in LISTS]}).encode()
    assert b"NaN" in body
    assert server.request("POST", "/invocations", body).json["predictions"] == expected


def test_a_label_finds_its_prediction(server):
    answer = server.post("/invocations", {"instances": LISTS}).json
    assert server.post("/labels/small", [{"prediction": answer["ids"][1], "value": answer["predictions"][1]}]).json["accepted"] == 1


@pytest.mark.parametrize("status, code, body, says", [
    (400, "BAD_REQUEST", b"{", "byte 1"),
    (400, "BAD_REQUEST", b"{}", "dataframe_split"),
    (400, "BAD_REQUEST", {"rows": LISTS}, "'rows'"),
    (400, "BAD_REQUEST", {"instances": [[1]]}, "row 0 has 1 values, and there are 2 inputs"),
    (400, "BAD_REQUEST", {"instances": [["x", "red"]]}, "a: expected"),
    (400, "BAD_REQUEST", {"instances": []}, "row"),
    (400, "BAD_REQUEST", {"dataframe_records": [{"aa": 1, "c": "red"}]}, "'a'"),
    (400, "BAD_REQUEST", {"inputs": {"a": [1, 2], "c": ["red"]}}, "'a' has 2 values, 'c' has 1"),
    (400, "BAD_REQUEST", {"instances": LISTS, "params": {"n": 1}}, "params"),
])
def test_refusals(server, status, code, body, says):
    answer = server.request("POST", "/invocations", body) if isinstance(body, bytes) else server.post("/invocations", body)
    assert (answer.status, answer.json["error_code"]) == (status, code), answer.body
    assert says in answer.json["message"]
    assert server.post("/invocations", {"instances": LISTS}).status == 200


def test_the_rest_of_the_scoring_server(server):
    assert server.get("/ping").status == 200
    assert server.get("/version").status == 200 and server.get("/version").body.strip()
    answer = server.post("/invocations/nobody", {"instances": LISTS})
    assert (answer.status, answer.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
