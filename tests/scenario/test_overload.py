"""More requests that are long to compute than may wait for their model: those are sent away at once, and nobody else notices."""
import concurrent.futures
import json
import threading

from conftest import wait_for
from test_predictor import FEATURES, ROWS, bits, made, predictors, put  # noqa: F401 (fixtures)

MANY = 10_000  # rows: hundreds of kilobytes, and tens of milliseconds


def metrics(server):
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in server.get("/metrics").body.decode().splitlines() if not line.startswith("#")}


def test_past_its_queue_a_model_says_no_and_the_rest_answers(tmp_path, predictors, made):
    models = tmp_path / "models"
    put(made["multi"][0], models / "long.ubj")
    put(made["a"][0], models / "quick.ubj")
    predictor = predictors(models, "--queue", "1").start()
    predictor.wait_ready()
    rows = (ROWS * (MANY // len(ROWS) + 1))[:MANY]
    right = bits(made["multi"][1])
    long = json.dumps({"inputs": [{"name": "input-0", "datatype": "FP32", "shape": [MANY, FEATURES], "data": [x for row in rows for x in row]}]}).encode()
    by_row = json.dumps({"rows": rows}).encode()
    answered = refused = 0
    others, stop = [], threading.Event()

    def quick():
        while not stop.is_set():
            others.append(predictor.post("/predict/quick", ROWS[0]).status)
            others.append(predictor.get("/readyz").status)

    def ask(number):
        return predictor.post("/predict/long", by_row) if number % 3 == 0 else predictor.post("/v2/models/long/infer", long)

    with concurrent.futures.ThreadPoolExecutor(13) as pool:
        beside = pool.submit(quick)
        for _ in range(20):
            for answer in pool.map(ask, range(12)):
                if answer.status == 200:
                    answered += 1
                    if "outputs" in answer.json:
                        output = answer.json["outputs"][0]
                        assert output["shape"] == [MANY, 3] and bits([output["data"][-3:]]) == [right[(MANY - 1) % len(ROWS)]]
                    else:
                        assert bits([answer.json["predictions"][-1]["prediction"]]) == [right[(MANY - 1) % len(ROWS)]]
                    continue
                assert answer.status == 503 and answer.headers["Retry-After"] == "1", answer.body
                assert "1 requests wait for 'long' already" in answer.body.decode()
                refused += 1
            if refused and answered and len(others) >= 20:
                break
        stop.set()
        beside.result()
    assert refused and answered, (refused, answered)
    assert set(others) == {200}
    wait_for("the places to be free", lambda: metrics(predictor)['nv_inference_pending_request_count{model="long"}'] == 0)
    counted = metrics(predictor)
    assert counted['millrace_serve_overloaded_total{model="long"}'] == refused
    assert counted['nv_inference_request_success{model="long",version="1"}'] == answered
    assert counted['nv_inference_request_success{model="quick",version="1"}'] == len(others) / 2
    assert predictor.post("/v2/models/long/infer", long).status == 200  # and it is as before


def test_a_request_says_how_long_it_is_worth_waiting(tmp_path, predictors, made):
    models = tmp_path / "models"
    put(made["a"][0], models / "churn.ubj")
    predictor = predictors(models).start()
    predictor.wait_ready()

    def ask(count, timeout):
        data = [x for row in (ROWS * (count // len(ROWS) + 1))[:count] for x in row]
        return predictor.post("/v2/models/churn/infer", {"parameters": {"timeout": timeout}, "inputs": [{"name": "input-0", "datatype": "FP32", "shape": [count, FEATURES], "data": data}]})
    late = ask(MANY, 1)  # on its way to the pool more than a microsecond goes by
    assert late.status == 504 and "longer than its timeout of 1us" in late.json["error"], late.body
    assert ask(MANY, 60_000_000).status == 200 and ask(MANY, 0).status == 200
    assert ask(1, 60_000_000).status == 200
    for wrong in (-1, "soon", 1.5):
        assert ask(1, wrong).status == 400, wrong
