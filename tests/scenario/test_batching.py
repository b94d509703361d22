"""Waiting for a model: requests that wait are computed together and answered as alone; those that nobody waits for any more are not computed."""
import concurrent.futures
import json
import os
import sys
import threading

import pytest

if os.path.isdir("/python/onnxruntime"):
    sys.path.append("/python")
else:
    pytest.importorskip("onnxruntime", reason="the packages are fetched by: ./dev test scenario")

import grpc
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from conftest import small_project, wait_for
from test_onnx import Onnx, onnx_models, put
from test_overload import metrics
from test_predictor import FEATURES, ROWS, bits, made  # noqa: F401 (a fixture)

WIDE = (64, 1024, 1024, 10)  # a row takes a millisecond or so: longer than to be read


@pytest.fixture
def starts(tmp_path):
    running = []

    def start(*arguments):
        running.append(Onnx(tmp_path / "models", "--grpc", "127.0.0.1:0", *arguments).start())
        running[-1].wait_ready()
        return running[-1]
    yield start
    for one in running:
        one.stop()


def inputs_of(triton, values):
    one = triton.InferInput("x", list(values.shape), "FP32")
    one.set_data_from_numpy(values)
    return [one]


def ask_all(server, values, rounds):
    """Each row by itself, by 16 clients at once, HTTP and gRPC in turn; what each was answered."""
    address, answers = server.url.removeprefix("http://"), {}

    def client(which):
        triton = triton_grpc if which % 2 else triton_http
        one = triton.InferenceServerClient(server.grpc_address() if which % 2 else address)
        for at in range(rounds):
            row = (which * rounds + at) % len(values)
            got = one.infer("net", inputs_of(triton, values[row:row + 1])).as_numpy("probabilities")
            assert got.shape == (1, WIDE[-1])
            answers[which, at] = (row, got[0])
        one.close()

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(client, range(16)))
    return list(answers.values())


def test_requests_that_wait_are_computed_together(tmp_path, starts):
    (tmp_path / "models").mkdir()
    put(onnx_models.mlp(tmp_path / "net.onnx", sizes=WIDE), tmp_path / "models/net.onnx")
    values = np.random.default_rng(5).normal(size=(64, WIDE[0])).astype(np.float32)
    alone = starts()
    client = triton_http.InferenceServerClient(alone.url.removeprefix("http://"))
    right = [client.infer("net", inputs_of(triton_http, values[i:i + 1])).as_numpy("probabilities")[0] for i in range(len(values))]
    for row, got in ask_all(alone, values, 4):
        assert np.array_equal(got, right[row]), "without batching each is computed by itself, to the bit"
    counted = metrics(alone)
    name = 'model="net",version="1"'
    assert counted[f"nv_inference_exec_count{{{name}}}"] == counted[f"nv_inference_count{{{name}}}"] == 64 + 64
    assert not any(key.startswith("millrace_serve_batch_rows") for key in counted)
    alone.stop()

    together = starts("--batch-rows", "8", "--batch-delay", "2ms", "--concurrency", "1")
    asked = 0

    def some_waited():
        nonlocal asked
        for row, got in ask_all(together, values, 10):
            assert np.allclose(got, right[row], rtol=1e-4, atol=1e-4), row
            asked += 1
        now = metrics(together)
        return now if now[f"nv_inference_exec_count{{{name}}}"] < now[f"nv_inference_count{{{name}}}"] else None
    counted = wait_for("requests that waited", some_waited, 120)
    computed = counted[f"nv_inference_exec_count{{{name}}}"]
    assert counted[f"nv_inference_count{{{name}}}"] == counted[f"nv_inference_request_success{{{name}}}"] == asked
    assert counted['millrace_serve_batch_rows_sum{model="net"}'] == asked and counted['millrace_serve_batch_rows_count{model="net"}'] == computed
    assert counted['millrace_serve_batch_rows_bucket{model="net",le="8"}'] == computed, "no more rows than --batch-rows"
    stats = together.get("/v2/models/net/stats").json["model_stats"][0]
    assert stats["execution_count"] == computed and stats["inference_count"] == asked
    assert "model_not_batched" not in together.log()

    # Many rows are one request's; what is wrong with one is told to that one.
    client = triton_http.InferenceServerClient(together.url.removeprefix("http://"))
    assert np.allclose(client.infer("net", inputs_of(triton_http, values)).as_numpy("probabilities"), right, rtol=1e-4, atol=1e-4)
    with pytest.raises(InferenceServerException, match="63"):
        client.infer("net", inputs_of(triton_http, values[:1, :63]))


def test_trees_answer_to_the_bit(tmp_path, starts, made):
    (tmp_path / "models").mkdir()
    put(made["multi"][0], tmp_path / "models/multi.ubj")
    right = bits(made["multi"][1])
    predictor = starts("--batch-rows", "1000", "--concurrency", "1")
    body = json.dumps({"inputs": [{"name": "input-0", "datatype": "FP32", "shape": [len(ROWS) * 20, FEATURES], "data": [x for row in ROWS * 20 for x in row]}]}).encode()

    def ask(number):
        if number % 2:
            answer = predictor.post("/predict/multi", ROWS[number % len(ROWS)])
            assert bits([answer.json["prediction"]]) == [right[number % len(ROWS)]], answer.body
        else:
            data = predictor.post("/v2/models/multi/infer", body).json["outputs"][0]["data"]
            assert bits([data[3 * i:3 * i + 3] for i in range(len(ROWS) * 20)]) == right * 20
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(ask, range(400)))
    assert metrics(predictor)['nv_inference_request_success{model="multi",version="1"}'] == 400


def test_a_call_that_nobody_waits_for_is_not_computed(tmp_path, starts):
    (tmp_path / "models").mkdir()
    put(onnx_models.mlp(tmp_path / "net.onnx", sizes=WIDE), tmp_path / "models/net.onnx")
    predictor = starts("--concurrency", "1")
    client = triton_grpc.InferenceServerClient(predictor.grpc_address())
    many = inputs_of(triton_grpc, np.zeros((8_000, WIDE[0]), np.float32))
    client.infer("net", many)  # what it costs is known from now on
    pending, success = 'nv_inference_pending_request_count{model="net"}', 'nv_inference_request_success{model="net",version="1"}'

    def waiting(count):
        return lambda: metrics(predictor)[pending] >= count
    done = []
    long = [client.async_infer("net", many, lambda result, error: done.append(error)) for _ in range(3)]
    wait_for("three that wait", waiting(3), 60)
    # These come behind them: one's deadline passes, the other is given up.
    with pytest.raises(InferenceServerException) as late:
        client.infer("net", many, client_timeout=0.05)
    assert "DEADLINE_EXCEEDED" in late.value.status()
    given_up = client.async_infer("net", many, lambda result, error: done.append("given up"))
    given_up.cancel()
    wait_for("the long ones", lambda: len([one for one in done if one is None]) == len(long), 120)
    wait_for("nobody to wait", lambda: metrics(predictor)[pending] == 0, 60)
    assert metrics(predictor)[success] == 1 + len(long)
    client.close()


def test_the_rest_answers_while_one_model_is_busy(tmp_path, starts):
    """One model may use one thread: its long requests leave the others to another model, over gRPC as over HTTP."""
    (tmp_path / "models").mkdir()
    for name in ("net", "urgent"):
        put(onnx_models.mlp(tmp_path / f"{name}.onnx", sizes=WIDE), tmp_path / f"models/{name}.onnx")
    predictor = starts("--concurrency", "1", "--priority", "urgent=high", "--priority", "net=low")
    client = triton_grpc.InferenceServerClient(predictor.grpc_address())
    many, few = (inputs_of(triton_grpc, np.zeros((count, WIDE[0]), np.float32)) for count in (8_000, 1_000))
    finished = threading.Semaphore(0)
    for _ in range(8):
        client.async_infer("net", many, lambda result, error: finished.release())
    wait_for("eight that wait", lambda: metrics(predictor)['nv_inference_pending_request_count{model="net"}'] >= 4, 60)
    client.infer("urgent", few)
    assert metrics(predictor)['nv_inference_pending_request_count{model="net"}'] >= 1, "it did not wait for the others"
    for _ in range(8):
        assert finished.acquire(timeout=120)
    client.close()


@pytest.mark.parametrize("arguments, said", [(["--priority", "net"], "NAME=high"), (["--priority", "net=higher"], "NAME=high"), (["--batch-rows", "1"], "batch-rows"),
                                             (["--batch-delay", "soon"], "soon")])
def test_options_that_mean_nothing_are_refused(tmp_path, arguments, said):
    (tmp_path / "models").mkdir()
    predictor = Onnx(tmp_path / "models", *arguments)
    predictor.start(wait=False)
    wait_for("its end", lambda: predictor.process.poll() is not None, 60)
    assert predictor.process.returncode != 0 and said in predictor.log(), predictor.log()


def test_a_project_says_how_its_model_is_waited_for(tmp_path, servers):
    small_project(tmp_path, more='[serve]\nconcurrency = 1\npriority = "high"\nbatching = { max_rows = 100, max_delay = "1ms", preferred = [10, 50] }\n')
    server = servers().start().wait_ready()
    row = {"a": 0.9, "c": "red"}
    right = server.post("/predict/small", row).json
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for many in pool.map(lambda _: server.post("/predict/small", [row] * 50), range(200)):
            assert many.status == 200 and all(one["probabilities"] == right["probabilities"] for one in many.json["predictions"]), many.body
    counted = metrics(server)
    assert counted['millrace_serve_batch_rows_sum{model="small"}'] >= 50 * 200
    bad = (tmp_path / "millrace.toml").read_text().replace("max_rows = 100", "max_rows = 1")
    (tmp_path / "millrace.toml").write_text(bad)
    assert "serve.batching.max_rows" in server.cli("plan", expect=1).stderr
