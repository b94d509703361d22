"""[serve] fallback: what answers a request that the current version fails by its own fault; every protocol says so."""
import json
import os
import sys

import pytest

from conftest import wait_for
from test_release import Shop, row, write_project

FAILS = {"MILLRACE_FAULT": "serve.answer.candidate=error"}  # whatever is on probation
ROWS = {"dataframe_records": [{"a": 0.1, "b": 0.2, "id": 5}]}
TENSORS = {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [0.1]}, {"name": "b", "shape": [1], "datatype": "FP64", "data": [0.2]}]}


def failing_shop(servers, tmp_path, fallback, profile=""):
    """Version 2 is current, on probation, and fails every request."""
    more = (f"[serve]\nfallback = {fallback}\n" if fallback else "") + profile
    shop = Shop(servers, tmp_path, ["full"], more=more, env=FAILS)
    wait_for("version 2", lambda: shop.current() == 2 and shop.server.post("/predict/shop/versions/2", row("x")).status == 200, 120)
    return shop


def counted(shop, name):
    lines = [line for line in shop.server.get("/metrics").body.decode().splitlines() if line.startswith(name + "{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_the_version_before_answers_on_every_protocol(servers, tmp_path):
    shop = failing_shop(servers, tmp_path, '"previous"', '[profile.default]\ngrpc = "127.0.0.1:0"\n')

    # The answers are those of version 1, asked by number.
    wait_for("version 1 in its place", lambda: shop.ask("x").status == 200, 60)
    same = row("7")
    answer, right = shop.server.post("/predict/shop", same), shop.server.post("/predict/shop/versions/1", same)
    assert answer.status == 200 and answer.headers["Millrace-Version"] == "1" and answer.json["fallback"] is True, answer.body
    assert answer.json["model"] == "shop:1" and answer.json["probabilities"] == right.json["probabilities"]
    assert "fallback" not in right.json and "Millrace-Version" not in right.headers
    many = shop.server.post("/predict/shop", [row("1"), row("2")])
    assert many.json["fallback"] is True and many.json["model"] == "shop:1" and len(many.json["predictions"]) == 2

    answer = shop.server.post("/v2/models/shop/infer", TENSORS)
    assert answer.status == 200 and answer.json["model_version"] == "1" and answer.json["parameters"]["fallback"] is True, answer.body
    assert answer.headers["Millrace-Version"] == "1"
    assert answer.json["outputs"] == shop.server.post("/v2/models/shop/versions/1/infer", TENSORS).json["outputs"]
    answer = shop.server.post("/invocations", ROWS)
    assert answer.status == 200 and answer.json["model"] == "shop:1" and answer.json["fallback"] is True, answer.body
    assert answer.headers["Millrace-Version"] == "1"

    # What the client did wrong it is told; who names a version gets that one.
    asked = counted(shop, "millrace_serve_fallback_total")
    assert asked >= 5
    assert shop.server.post("/predict/shop", {"id": 1, "wrong": 1}).status == 400
    answer = shop.server.post("/predict/shop/versions/2", same)
    assert answer.status == 200 and answer.json["model"] == "shop:2" and "fallback" not in answer.json
    assert counted(shop, "millrace_serve_fallback_total") == asked

    # The release counts version 2's failures as it would without a fallback.
    assert wait_for("what failed", lambda: shop.releases()[0]["candidate_failed"], 60) >= 5
    lines = shop.query("shop.predictions", "SELECT version, why, count(*) FROM data WHERE why = 'fallback' GROUP BY version, why")
    assert [one[:2] for one in lines] == [["1", "fallback"]], lines


def test_over_grpc_the_answer_says_so(servers, tmp_path):
    if os.path.isdir("/python/tritonclient/grpc") and os.path.isdir("/python/grpc"):
        sys.path.append("/python")
    triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is fetched by: ./dev test scenario")
    import numpy as np
    shop = failing_shop(servers, tmp_path, "{ value = 1 }", '[profile.default]\ngrpc = "127.0.0.1:0"\n')
    wait_for("the constant", lambda: shop.ask("x").status == 200, 60)
    client = triton.InferenceServerClient((shop.server.data_dir / "grpc_address").read_text().strip())
    inputs = []
    for name, value in (("a", 0.1), ("b", 0.2)):
        inputs.append(triton.InferInput(name, [1], "FP64"))
        inputs[-1].set_data_from_numpy(np.array([value]))
    answer = client.infer("shop", inputs).get_response()
    assert answer.model_version == "0" and answer.parameters["fallback"].bool_param is True, answer
    answer = client.infer("shop", inputs, model_version="1").get_response()
    assert answer.model_version == "1" and "fallback" not in answer.parameters
    client.close()


def test_a_constant_answers_and_labels_join_it(servers, tmp_path):
    shop = failing_shop(servers, tmp_path, "")
    refused = shop.ask("x")
    assert refused.status == 503 and counted(shop, "millrace_serve_fallback_total") == 0, refused.body

    # Without a restart; a class that there is not is refused before anything changes.
    write_project(tmp_path, 20, ["full"], '[serve]\nfallback = { value = 3 }\n[labels]\nclasses = ["0", "1"]\n')
    shop.server.cli("plan", expect=1)
    write_project(tmp_path, 20, ["full"], "[serve]\nfallback = { value = 1 }\n")
    shop.server.cli("apply")
    answer = wait_for("the constant", lambda: (lambda one: one if one.status == 200 else None)(shop.ask("x")), 60)
    assert answer.json["prediction"] == "1" and answer.json["probabilities"] == {"0": 0, "1": 1}, answer.body
    assert answer.json["model"] == "shop:0" and answer.json["fallback"] is True and answer.headers["Millrace-Version"] == "0"
    labelled = shop.server.post("/labels/shop", [{"prediction": answer.json["id"], "value": "0"}])
    assert labelled.status == 200, labelled.body
    lines = shop.query("shop.predictions", f"SELECT version, why FROM data WHERE prediction_id = '{answer.json['id']}'")
    assert lines == [["0", "fallback"]], lines
