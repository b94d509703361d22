"""The Open Inference Protocol v2 over HTTP: the raw protocol here, other people's clients in test_v2_clients.py. Its answers are those of
/predict, bit for bit; whatever is wrong with a request is refused in the protocol's own shape, and the server stays up."""
import csv
import gzip
import http.client
import json
import struct
import zlib

import pytest

from conftest import DATA, Server, read_csv, wait_for, write_csv

NUMBERS = ["pclass", "age", "sibsp", "parch", "fare"]
TEXTS = ["sex", "embarked"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The Titanic's passengers: numbers, texts, both with holes."""
    if not DATA.is_dir():
        pytest.skip("the public data sets are not beside the checkout (MILLRACE_SHARED)")
    folder = tmp_path_factory.mktemp("v2")
    table = read_csv("titanic.csv.gz")
    head = [name.lower() for name in table[0]]
    keep = [head.index(name) for name in ["survived", *NUMBERS, *TEXTS]]
    write_csv(folder / "data.csv", [["survived", *NUMBERS, *TEXTS]] + [[row[i] for i in keep] for row in table[1:]])
    (folder / "millrace.toml").write_text('[project]\nname = "titanic"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.survived"\n'
                                          'trainer = { name = "boosted-trees", rounds = 20 }\n[gates]\n"auc" = ">= 0.6"\n')
    made = Server(folder).start().wait_ready()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def rows(server):
    """The first passengers as /predict takes them, holes and all."""
    with open(server.folder / "data.csv", newline="") as file:
        table = list(csv.DictReader(file))[:200]
    kinds = {each["name"]: each["datatype"] for each in server.get("/v2/models/titanic").json["inputs"]}

    def value(name, text):
        if text in ("", "NA", "?"):
            return None
        return {"INT64": int, "FP64": float}.get(kinds[name], str)(text)
    return [{name: value(name, row[name]) for name in NUMBERS + TEXTS} for row in table]


@pytest.fixture(scope="module")
def expected(server, rows):
    answer = server.post("/predict/titanic", rows)
    assert answer.status == 200, answer.body
    return [(p["prediction"], p["probability"], list(p["probabilities"].values())) for p in answer.json["predictions"]]


def kinds_of(server):
    return {each["name"]: each["datatype"] for each in server.get("/v2/models/titanic").json["inputs"]}


def columns(server, rows, nested=False):
    """The rows as tensors, with nulls for what is missing."""
    kinds, n = kinds_of(server), len(rows)
    return [{"name": name, "shape": [n, 1] if nested else [n], "datatype": kinds[name],
             "data": [[row[name]] if nested else row[name] for row in rows]} for name in NUMBERS + TEXTS]


def infer(server, body, path="/v2/models/titanic/infer", **headers):
    return server.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers=headers)


def outputs(answer):
    assert answer.status == 200, answer.body
    return {each["name"]: each["data"] for each in answer.json["outputs"]}


def triples(found):
    chances = found["probabilities"]
    return [(label, p, chances[2 * i:2 * i + 2]) for i, (label, p) in enumerate(zip(found["prediction"], found["probability"]))]


def test_health_and_metadata(server):
    assert server.get("/v2/health/live").json == {"live": True}
    assert server.get("/v2/health/ready").json == {"ready": True}
    about = server.get("/v2").json
    assert about["name"] == "millrace" and "binary_tensor_data" in about["extensions"]
    model = server.get("/v2/models/titanic").json
    assert (model["name"], model["versions"]) == ("titanic", ["1"]), model
    assert [each["name"] for each in model["outputs"]] == ["prediction", "probability", "probabilities"]
    assert set(kinds_of(server)) == set(NUMBERS + TEXTS)
    assert kinds_of(server)["sex"] == "BYTES" and kinds_of(server)["fare"] == "FP64"
    assert server.get("/v2/models/titanic/versions/1").json == model
    assert server.get("/v2/models/titanic/ready").json == {"name": "titanic", "ready": True}
    assert server.get("/v2/models/titanic/versions/1/ready").status == 200
    config = server.get("/v2/models/titanic/config").json
    assert [each["name"] for each in config["input"]] == [each["name"] for each in model["inputs"]]


def test_the_answers_are_those_of_predict(server, rows, expected):
    for nested in (False, True):
        answer = infer(server, {"id": "mine", "parameters": {"null_is_missing": True}, "inputs": columns(server, rows, nested)})
        assert triples(outputs(answer)) == expected
        assert answer.json["id"] == "mine" and answer.json["model_name"] == "titanic" and answer.json["model_version"] == "1"
    with_nan = columns(server, rows)
    for column in with_nan:
        hole = "" if column["datatype"] == "BYTES" else float("nan")
        column["data"] = [hole if value is None else value for value in column["data"]]
    assert triples(outputs(infer(server, {"parameters": {"missing_text": ""}, "inputs": with_nan}))) == expected


def test_each_row_has_an_id_that_labels_can_use(server, rows):
    answer = infer(server, {"parameters": {"null_is_missing": True}, "inputs": columns(server, rows[:3]), "outputs": [{"name": "prediction_id"}]}).json
    assert [each["name"] for each in answer["outputs"]] == ["prediction_id"]
    ids = answer["parameters"]["prediction_ids"].split(",")
    assert ids == answer["outputs"][0]["data"] and len(set(ids)) == 3
    taken = server.post("/labels/titanic", [{"prediction": each, "value": "1"} for each in ids])
    assert taken.status == 200 and taken.json["accepted"] == 3, taken.body
    why = wait_for("the prediction's line", lambda: server.get(f"/api/v1/predictions/{ids[1]}").json if
                   server.get(f"/api/v1/predictions/{ids[1]}").status == 200 else None)
    assert why["prediction"] is not None, why


def good(server):
    return {"sex": "male", "embarked": "S", "pclass": 3, "age": 22.0, "sibsp": 1, "parch": 0, "fare": 7.25}


def test_requests_without_a_content_type(server):
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rsplit(":", 1)[1]), timeout=60)
    connection.request("POST", "/v2/models/titanic/infer", json.dumps({"inputs": columns(server, [good(server)])}).encode())
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def refusals(server):
    """(status, a word of the message, body or (path, body)): each is one thing wrong with a good request, whose answer is 200."""
    def one(**changes):
        return {"name": "age", "shape": [1], "datatype": "FP64", "data": [22], **changes}

    def of(age, *more, **members):
        return {"inputs": [c for c in columns(server, [good(server)]) if c["name"] != "age"] + [age, *more], **members}
    without = {k: v for k, v in one().items() if k != "data"}
    return [
        (200, "", of(one())),
        (200, "", of(one(), outputs=[])),
        (200, "", of(one(), id=None, other=[{"a": None}], parameters={"priority": 1, "timeout": 2_000_000})),
        (400, "object", b""),
        (400, "byte 1", b"{"),
        (400, "UTF-8", b"\x00\xff"),
        (400, "object", b"[]"),
        (400, "64 levels", b'{"x":' + b"[" * 100_000),
        (400, "'inputs'", {}),
        (400, "'inputs'", {"inputs": []}),
        (400, "an array", {"inputs": None}),
        (400, "no name", {"inputs": [{}]}),
        (400, "did you mean 'age'", of(one(name="agee"))),
        (400, "'pclass' is required", {"inputs": [one()]}),
        (400, "twice", of(one(), one())),
        (400, "send FP64", of(one(datatype="BYTES", data=["22"]))),
        (400, "send FP64", of(one(datatype="BOOL", data=[True]))),
        (400, "no datatype", of(one(datatype="FLOAT"))),
        (400, "text", of(one(datatype=None))),
        (400, "element 0", of(one(data=["22"]))),
        (400, "element 0", of(one(data=[True]))),
        (400, "null_is_missing", of(one(data=[None]))),
        (400, "infinite", of(one(data=[float("inf")]))),
        (400, "list", of(one(data=None))),
        (400, "list", of(one(data=22))),
        (400, "no 'data'", of(without)),
        (400, "-1 in its shape", of(one(shape=[-1]))),
        (400, "-5 in its shape", of(one(shape=[-5, -1]))),
        (400, "no rows", of(one(shape=[0], data=[]))),
        (400, "its shape is [rows]", of(one(shape=[]))),
        (400, "one or two numbers", of(one(shape=[1, 1, 1]))),
        (400, "an array", of(one(shape=None))),
        (400, "whole number", of(one(shape=["1"]))),
        (400, "rows; at most", of(one(shape=[2 ** 62, 4]))),
        (400, "rows; at most", of(one(shape=[10_001], data=[1] * 10_001))),
        (400, "columns", of(one(shape=[1, 2], data=[1, 2]))),
        (400, "wants 2", of(one(shape=[2]))),
        (400, "more than the 1", of(one(data=[1, 2]))),
        (400, "length 1 of its shape", of(one(shape=[2, 1], data=[[1, 2], [3]]))),
        (400, "rows, but", of(one(shape=[2], data=[1, 2]))),
        (400, "no output", of(one(), outputs=[{"name": "predictions"}])),
        (400, "twice", of(one(), outputs=[{"name": "prediction"}] * 2)),
        (400, "classification", of(one(), outputs=[{"name": "prediction", "parameters": {"classification": 3}}])),
        (400, "shared memory", of({**without, "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 8}})),
        (400, "binary_data_size", of({**without, "parameters": {"binary_data_size": 8}})),
        (400, "a number of bytes", of({**without, "parameters": {"binary_data_size": "8"}})),
        (404, "titanik", ("/v2/models/titanik/infer", of(one()))),
        (404, "99 is not in memory", ("/v2/models/titanic/versions/99/infer", of(one()))),
        (404, "whole numbers", ("/v2/models/titanic/versions/latest/infer", of(one()))),
        (404, "nothing at", ("/v2/models/titanic/explain", of(one()))),
    ]


def logged(server):
    (line,) = [line for line in server.get("/metrics").body.decode().splitlines() if line.startswith("millrace_serve_rows{")]
    return float(line.rsplit(" ", 1)[1])


def test_what_is_wrong_is_refused_in_the_protocols_own_shape(server, rows, expected):
    before = logged(server)
    for status, word, body in refusals(server):
        path, body = body if isinstance(body, tuple) else ("/v2/models/titanic/infer", body)
        answer = infer(server, body, path)
        assert answer.status == status, (word, answer.status, answer.body)
        if status != 200:
            assert list(answer.json) == ["error"] and word in answer.json["error"], (word, answer.body)
    assert logged(server) - before == 3, "what is refused is neither computed nor logged"
    for method, path, status in [("GET", "/v2/models/titanik", 404), ("GET", "/v2/models/titanic/versions/99/ready", 404),
                                 ("GET", "/v2/models/titanic/infer", 405), ("GET", "/v2/nothing", 404), ("POST", "/v2", 405)]:
        answer = server.request(method, path)
        assert answer.status == status and isinstance(answer.json["error"], str), (method, path, answer.body)
    too_large = infer(server, b" " * (17 << 20))
    assert too_large.status == 413 and isinstance(too_large.json["error"], str)
    assert triples(outputs(infer(server, {"parameters": {"null_is_missing": True}, "inputs": columns(server, rows)}))) == expected


def packed(server, rows):
    """The rows as binary tensors: the JSON's length, and the body."""
    kinds, inputs, binary = kinds_of(server), [], b""
    for name in NUMBERS + TEXTS:
        values = [row[name] for row in rows]
        if kinds[name] == "BYTES":
            data = b"".join(struct.pack("<I", len((v or "").encode())) + (v or "").encode() for v in values)
        else:
            data = struct.pack(f"<{len(rows)}d", *[float("nan") if v is None else v for v in values])
        binary += data
        inputs.append({"name": name, "shape": [len(rows)], "datatype": "BYTES" if kinds[name] == "BYTES" else "FP64",
                       "parameters": {"binary_data_size": len(data)}})
    head = json.dumps({"parameters": {"missing_text": "", "binary_data_output": True}, "inputs": inputs}).encode()
    return len(head), head + binary


def unpacked(answer):
    assert answer.status == 200, answer.body
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert answer.headers["Content-Type"] == "application/octet-stream"
    head, binary, found = json.loads(answer.body[:length]), answer.body[length:], {}
    for output in head["outputs"]:
        assert "data" not in output
        size = output["parameters"]["binary_data_size"]
        data, binary = binary[:size], binary[size:]
        if output["datatype"] == "FP64":
            found[output["name"]] = list(struct.unpack(f"<{size // 8}d", data))
            continue
        found[output["name"]] = texts = []
        while data:
            (n,) = struct.unpack("<I", data[:4])
            texts.append(data[4:4 + n].decode())
            data = data[4 + n:]
    assert not binary
    return found


def test_binary_both_ways(server, rows, expected):
    length, body = packed(server, rows)
    assert triples(unpacked(infer(server, body, **{"Inference-Header-Content-Length": str(length)}))) == expected
    for wrong in (length - 1, length + 1, 0, len(body) + 1, "x", "-1", 2 ** 70):
        answer = infer(server, body, **{"Inference-Header-Content-Length": str(wrong)})
        assert answer.status == 400 and isinstance(answer.json["error"], str), (wrong, answer.body)
    for cut in (body[:-1], body + b"!", body[:length], body[:length - 1]):
        answer = infer(server, cut, **{"Inference-Header-Content-Length": str(length)})
        assert answer.status == 400 and isinstance(answer.json["error"], str)
    assert infer(server, body).status == 400, "binary data that no header tells of"
    one = {"inputs": columns(server, [good(server)]), "outputs": [{"name": "probability", "parameters": {"binary_data": True}}, {"name": "prediction"}]}
    mixed = infer(server, one)
    length = int(mixed.headers["Inference-Header-Content-Length"])
    head = json.loads(mixed.body[:length])
    assert [o["name"] for o in head["outputs"]] == ["probability", "prediction"] and len(mixed.body) == length + 8
    assert head["outputs"][1]["data"] == ["0"]


def test_compressed_bodies(server, rows, expected):
    length, body = packed(server, rows)
    for coding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        answer = infer(server, pack(body), **{"Content-Encoding": coding, "Inference-Header-Content-Length": str(length)})
        assert triples(unpacked(answer)) == expected
        bad = infer(server, pack(body)[:-3], **{"Content-Encoding": coding})
        assert bad.status == 400 and isinstance(bad.json["error"], str)
        bomb = infer(server, pack(b" " * (64 << 20)), **{"Content-Encoding": coding})
        assert bomb.status == 413 and isinstance(bomb.json["error"], str)
    other = infer(server, body, **{"Content-Encoding": "br"})
    assert other.status == 415 and isinstance(other.json["error"], str)


def test_the_same_counters_as_predict(server):
    def counted():
        lines = [line for line in server.get("/metrics").body.decode().splitlines() if line.startswith("millrace_serve_")]
        return [float(line.rsplit(" ", 1)[1]) for name in ("requests", "rows") for line in lines if line.startswith(f"millrace_serve_{name}{{")]
    before = counted()
    assert len(before) == 2
    assert infer(server, {"inputs": columns(server, [good(server)] * 3)}).status == 200
    assert infer(server, {"inputs": []}).status == 400
    assert [now - then for now, then in zip(counted(), before)] == [1, 3]


def test_the_repository(server):
    for body in (b"", b"{}", b'{"ready": true}'):
        assert server.request("POST", "/v2/repository/index", body).json == [{"name": "titanic", "version": "1", "state": "READY", "reason": ""}]
    assert server.request("POST", "/v2/repository/index", b"[]").status == 400
    for verb, command in (("load", "millrace promote titanic:VERSION"), ("unload", "millrace rollback titanic")):
        answer = server.post(f"/v2/repository/models/titanic/{verb}")
        assert answer.status == 409 and command in answer.json["error"], answer.body
        assert server.post(f"/v2/repository/models/titanik/{verb}").status == 404
    assert server.get("/v2/models/titanic/ready").status == 200


def counts_of(server, version="1"):
    found = [each for each in server.get("/v2/models/titanic/stats").json["model_stats"] if each["version"] == version]
    return found[0]


def test_statistics(server, rows):
    """Of each version, as perf_analyzer reads them: what was answered, what failed, and how long the parts took."""
    before = counts_of(server)
    assert infer(server, {"inputs": columns(server, rows[:3]), "parameters": {"null_is_missing": True}}).status == 200
    assert server.post("/predict/titanic", rows[:2]).status == 200
    assert infer(server, {"inputs": []}).status == 400
    assert infer(server, b"{").status == 400
    after = counts_of(server)
    def spent(what, kind):
        return after["inference_stats"][what][kind] - before["inference_stats"][what][kind]
    assert (after["inference_count"] - before["inference_count"], after["execution_count"] - before["execution_count"]) == (5, 2)
    assert (spent("success", "count"), spent("fail", "count")) == (2, 2)
    assert spent("success", "ns") > 0 and spent("compute_infer", "ns") > 0
    assert spent("success", "ns") == sum(spent(part, "ns") for part in ("queue", "compute_input", "compute_infer", "compute_output"))
    assert all(spent(part, "count") == 2 for part in ("queue", "compute_input", "compute_infer", "compute_output"))
    assert after["last_inference"] > before["last_inference"] and after["last_inference"] > 1_700_000_000_000
    assert server.get("/v2/models/titanic/versions/1/stats").json["model_stats"] == [after] == server.get("/v2/models/stats").json["model_stats"]
    for path in ("/v2/models/titanik/stats", "/v2/models/titanic/versions/9/stats", "/v2/models/titanic/versions/x/stats"):
        answer = server.get(path)
        assert answer.status == 404 and set(answer.json) == {"error"}, (path, answer.body)


def test_metrics_under_the_names_that_dashboards_know(server, rows):
    def metrics():
        lines = [line for line in server.get("/metrics").body.decode().splitlines() if not line.startswith("#")]
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}
    before = metrics()
    for _ in range(10):
        assert server.post("/predict/titanic", rows[:2]).status == 200
    assert infer(server, b"{").status == 400
    after = metrics()
    one = '{model="titanic",version="1"}'
    def risen(name):
        return after[name] - before[name]
    assert (risen("nv_inference_request_success" + one), risen("nv_inference_request_failure" + one)) == (10, 1)
    assert (risen("nv_inference_count" + one), risen("nv_inference_exec_count" + one)) == (20, 10)
    queue = risen("nv_inference_queue_duration_us" + one)
    assert queue < 10_000  # they are computed where they are read
    parts = queue + sum(risen(f"nv_inference_compute_{part}_duration_us" + one) for part in ("input", "infer", "output"))
    assert risen("nv_inference_request_duration_us" + one) == parts > 0
    for phase in ("queue", "input", "infer", "output", "whole"):
        series = [(name, value) for name, value in after.items() if name.startswith(f'millrace_request_seconds_bucket{{model="titanic",phase="{phase}"')]
        assert len(series) == 19 and series[-1][0].endswith('le="+Inf"}')
        values = [value for _, value in series]
        assert values == sorted(values) and values[-1] == after[f'millrace_request_seconds_count{{model="titanic",phase="{phase}"}}']
        assert risen(f'millrace_request_seconds_count{{model="titanic",phase="{phase}"}}') == 10
    whole = '{model="titanic",phase="whole"}'
    assert abs(risen("millrace_request_seconds_sum" + whole) * 1e6 - risen("nv_inference_request_duration_us" + one)) < 1


def test_settings(server):
    """They say what is; what can't be set is refused by name, what is so already is not."""
    trace, logging = server.get("/v2/trace/setting"), server.get("/v2/logging")
    assert trace.json["trace_level"] == ["OFF"] and server.get("/v2/models/titanic/trace/setting").json == trace.json
    assert logging.json["log_error"] is True and logging.json["log_verbose_level"] == 0
    assert server.get("/v2/models/titanik/trace/setting").status == 404
    for path, same, other in (("/v2/trace/setting", {"trace_level": ["OFF"], "trace_rate": None}, {"trace_level": ["TIMESTAMPS"]}),
                              ("/v2/logging", {"log_info": True, "log_verbose_level": 0}, {"log_verbose_level": 1})):
        assert server.post(path, same).json == server.get(path).json
        for body, name in ((other, list(other)[0]), ({"trace_levl": 1, "log_infoo": 1}, "trace_levl")):
            answer = server.post(path, body)
            assert answer.status == 400 and name in answer.json["error"], (path, answer.body)
        for broken in (b"[]", b"{", b'{"log_info":{}}', b"\xff"):
            assert server.request("POST", path, broken).status == 400, broken
