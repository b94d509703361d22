"""`millrace predictor` on a plain folder: what people who come from Triton or MLServer do with it."""
import base64
import json
import math
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest

from conftest import MILLRACE, Server, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import xgboost_models  # noqa: E402

FEATURES = 8


class Predictor(Server):
    """`millrace predictor --models FOLDER`; requests as a server takes them."""

    def __init__(self, models, *arguments, out=None, env=None):
        self.models = pathlib.Path(models)
        self.arguments = [str(a) for a in arguments]
        self.out = out or self.models.parent / "predictor.out"
        self.env = env or {}
        self.process = None

    def start(self, wait=True):
        begin = self.out.stat().st_size if self.out.exists() else 0
        self.output = open(self.out, "ab")
        self.process = subprocess.Popen([MILLRACE, "predictor", "--models", self.models, "--http", "127.0.0.1:0", *self.arguments],
                                        stdout=self.output, stderr=subprocess.STDOUT, env={**os.environ, **self.env})
        if wait:
            def address():
                lines = [line for line in self.out.read_text(errors="replace")[begin:].splitlines() if line.startswith("predictor ")]
                return lines[0].split()[1] if lines else self.gone()
            self.url = wait_for("the predictor's address", address)
            assert not self.gone(), self.log()
        return self

    def log(self):
        return self.out.read_text(errors="replace")

    def ask(self, model, rows, version=None):
        """The outputs over /v2, JSON: a list for each row."""
        body = {"inputs": [{"name": "input-0", "datatype": "FP32", "shape": [len(rows), len(rows[0])],
                            "data": [x for row in rows for x in row]}]}
        path = f"/v2/models/{model}" + (f"/versions/{version}" if version is not None else "") + "/infer"
        answer = self.post(path, body)
        assert answer.status == 200, answer.body
        output = answer.json["outputs"][0]
        assert (output["name"], output["datatype"], output["shape"][0]) == ("predict", "FP32", len(rows))
        width = output["shape"][1]
        return [output["data"][i * width:(i + 1) * width] for i in range(len(rows))], answer.json["model_version"]

    def index(self):
        return {(line["name"], line["version"]): line for line in self.post("/v2/repository/index").json}

    def answers(self, model, version=None, seconds=20):
        def there():
            answer = self.get(f"/v2/models/{model}")
            return answer.status == 200 and (version is None or self.serving(model) == version)
        wait_for(f"{model} to answer\n{self.log()}", there, seconds)

    def serving(self, model):
        try:
            return self.ask(model, [[0.0] * FEATURES])[1]
        except AssertionError:
            return None

    def maps(self):
        return pathlib.Path(f"/proc/{self.process.pid}/maps").read_text()


def bits(rows):
    return [[struct.pack("<f", x) for x in row] for row in rows]


ROWS = xgboost_models.rows(200, FEATURES, seed=5, missing=0)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Model files that all answer otherwise: a, b, c (binary), multi, value; and each one's right answers to ROWS."""
    folder = tmp_path_factory.mktemp("made")
    files = {}
    for seed, name in enumerate(["a", "b", "c"]):
        files[name] = xgboost_models.train(folder / f"{name}.ubj", FEATURES, 20, 4, seed)
    files["multi"] = xgboost_models.train(folder / "multi.ubj", FEATURES, 10, 4, 7, "multi:softprob", 3)
    files["value"] = xgboost_models.train(folder / "value.json", FEATURES, 10, 4, 8, "reg:squarederror")
    return {name: (path, xgboost_models.predict(path, ROWS)) for name, path in files.items()}


@pytest.fixture
def predictors():
    running = []

    def make(*arguments, **more):
        running.append(Predictor(*arguments, **more))
        return running[-1]
    yield make
    for one in running:
        one.stop()


def put(source, target):
    """As a careful person does it: a copy under another name, then a rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.copy"
    shutil.copyfile(source, temporary)
    temporary.rename(target)


def test_files_answer_as_xgboost_does(tmp_path, predictors, made):
    models = tmp_path / "models"
    put(made["a"][0], models / "churn.ubj")
    put(made["multi"][0], models / "classes" / "3" / "model.ubj")
    put(made["value"][0], models / "price.json")
    (models / "README.txt").write_text("no model")
    predictor = predictors(models).start()
    predictor.wait_ready()
    for model, name, width in [("churn", "a", 1), ("classes", "multi", 3), ("price", "value", 1)]:
        got, _ = predictor.ask(model, ROWS)
        assert bits(got) == bits(made[name][1]), model
        about = predictor.get(f"/v2/models/{model}").json
        assert about["inputs"] == [{"name": "input-0", "datatype": "FP32", "shape": [-1, FEATURES]}]
        assert about["outputs"] == [{"name": "predict", "datatype": "FP32", "shape": [-1, width]}]
    assert predictor.ask("classes", ROWS[:1])[1] == "3"

    # Binary tensors both ways.
    body = json.dumps({"inputs": [{"name": "input-0", "datatype": "FP32", "shape": [len(ROWS), FEATURES],
                                   "parameters": {"binary_data_size": 4 * FEATURES * len(ROWS)}}],
                       "parameters": {"binary_data_output": True}}).encode()
    raw = b"".join(struct.pack(f"<{FEATURES}f", *row) for row in ROWS)
    answer = predictor.post("/v2/models/churn/infer", body + raw, headers={"Inference-Header-Content-Length": str(len(body))})
    assert answer.status == 200, answer.body
    tail = answer.body[int(answer.headers["Inference-Header-Content-Length"]):]
    assert tail == b"".join(struct.pack("<f", row[0]) for row in made["a"][1])

    # What is missing is the same in every form; an infinity is refused by its place.
    gap = [None if i % 3 else x for i, x in enumerate(ROWS[0])]
    by_row = predictor.post("/predict/churn", gap).json["prediction"]
    missing = {"name": "input-0", "datatype": "FP32", "shape": [1, FEATURES], "data": gap, "parameters": {"null_is_missing": True}}
    as_matrix = predictor.post("/v2/models/churn/infer", {"inputs": [missing]}).json
    assert bits([as_matrix["outputs"][0]["data"]]) == bits([[by_row]]) and as_matrix["parameters"]["prediction_id"]
    by_rows = predictor.post("/v2/models/churn/infer", {"inputs": [missing], "outputs": [{"name": "predict"}, {"name": "prediction_id"}]}).json
    assert by_rows["outputs"][0] == as_matrix["outputs"][0] and len(by_rows["outputs"][1]["data"]) == 1
    endless = predictor.post("/v2/models/churn/infer", {"inputs": [{**missing, "data": [1e39] + gap[1:]}]})
    assert endless.status == 400, endless.body

    # /predict: a row, rows, by name; /invocations needs the model's name where there are several.
    row = ROWS[0]
    one = predictor.post("/predict/churn", row).json
    assert bits([[one["prediction"]]]) == bits(made["a"][1][:1]) and one["model"] == "churn:1"
    many = predictor.post("/predict/churn", {"rows": ROWS[:3]}).json["predictions"]
    assert bits([[p["prediction"]] for p in many]) == bits(made["a"][1][:3])
    named = predictor.post("/predict/churn", {f"f{i}": x for i, x in enumerate(row)}).json
    assert named["prediction"] == one["prediction"]
    classes = predictor.post("/predict/classes", row).json["prediction"]
    assert bits([classes]) == bits(made["multi"][1][:1])
    assert predictor.post("/invocations", {"inputs": ROWS[:2]}).status == 400
    assert predictor.post("/invocations/churn", {"inputs": ROWS[:2]}).status == 200

    # What is wrong is said.
    for body, status in [([1, 2], 400), ({"f0": "x"}, 400), ([[1]], 400), ("[", 400)]:
        assert predictor.post("/predict/churn", body.encode() if isinstance(body, str) else body).status == status, body
    assert predictor.post("/predict/nobody", row).status == 404
    metrics = predictor.get("/metrics").body.decode()
    assert 'millrace_serve_up{model="churn"} 1' in metrics
    assert predictor.get("/healthz").status == 200 and predictor.get("/readyz/churn").status == 200
    assert "3 serve: churn:1, classes:3, price:1" in predictor.log()


def test_versions_are_numbers_and_come_and_go(tmp_path, predictors, made):
    models = tmp_path / "models"
    for number, name in [("9", "a"), ("10", "b")]:
        put(made[name][0], models / "m" / number / "xgboost.ubj")
    predictor = predictors(models, "--poll", "100ms").start().wait_ready()
    got, version = predictor.ask("m", ROWS)
    assert version == "10" and bits(got) == bits(made["b"][1])
    got, version = predictor.ask("m", ROWS, version=9)
    assert version == "9" and bits(got) == bits(made["a"][1])
    assert predictor.get("/v2/models/m").json["versions"] == ["9", "10"]
    put(made["c"][0], models / "m" / "11" / "model.ubj")
    wait_for("version 11", lambda: predictor.serving("m") == "11")
    assert bits(predictor.ask("m", ROWS)[0]) == bits(made["c"][1])
    shutil.rmtree(models / "m" / "11")
    wait_for("version 10 again", lambda: predictor.serving("m") == "10")
    shutil.rmtree(models / "m")
    wait_for("no model m", lambda: predictor.get("/v2/models/m").status == 404)
    assert predictor.index() == {}
    assert not predictor.gone()


class Load:
    """Threads that ask one model and hold each answer against those that are allowed."""

    def __init__(self, predictor, model, allowed, threads=4):
        self.bad, self.count, self.ended, self.seen = [], 0, False, set()
        self.allowed = {name: bits(answers[:4]) for name, answers in allowed.items()}

        def ask():
            while not self.ended:
                try:
                    got, _ = predictor.ask(model, ROWS[:4])
                    mine = [name for name, right in self.allowed.items() if bits(got) == right]
                    self.seen.update(mine)
                    if not mine:
                        self.bad.append(got)
                except Exception as error:  # whatever it is, it is a failed request
                    self.bad.append(repr(error))
                self.count += 1
        self.threads = [threading.Thread(target=ask) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        for thread in self.threads:
            thread.join()


def test_a_half_copied_file_is_never_served(tmp_path, predictors, made):
    models = tmp_path / "models"
    put(made["a"][0], models / "m.ubj")
    predictor = predictors(models, "--poll", "100ms").start().wait_ready()
    content = made["b"][0].read_bytes()
    pieces = 10
    with Load(predictor, "m", {"a": made["a"][1], "b": made["b"][1]}) as load:
        with open(models / "m.ubj", "wb", buffering=0) as file:  # over the one that serves
            for i in range(pieces):
                assert load.seen <= {"a"}, f"after {i} of {pieces} pieces"
                file.write(content[len(content) * i // pieces:len(content) * (i + 1) // pieces])
                time.sleep(3 / pieces if i % 3 else 0.6)  # some pauses are longer than two looks
            assert load.seen <= {"a"} or file.tell() == len(content)
        wait_for("the new model", lambda: "b" in load.seen)
        time.sleep(0.2)
    assert load.bad == [] and load.count > 50, (load.count, load.bad[:3])
    assert bits(predictor.ask("m", ROWS)[0]) == bits(made["b"][1])
    assert predictor.get("/readyz").status == 200


def test_swaps_under_load_lose_nothing(tmp_path, predictors, made):
    models = tmp_path / "models"
    put(made["a"][0], models / "m" / "1" / "model.ubj")
    predictor = predictors(models, "--poll", "50ms").start().wait_ready()
    names = ["a", "b", "c"]
    with Load(predictor, "m", {name: made[name][1] for name in names}) as load:
        for number in range(2, 12):
            put(made[names[(number - 1) % 3]][0], models / "m" / str(number) / "model.ubj")
            wait_for(f"version {number}", lambda: predictor.serving("m") == str(number))
            if number > 4:
                shutil.rmtree(models / "m" / str(number - 4))
    assert load.bad == [] and load.seen == set(names), (load.bad[:3], load.seen)


def test_what_fails_is_not_served_and_says_why(tmp_path, predictors, made):
    models = tmp_path / "models"
    put(made["a"][0], models / "m" / "1" / "model.ubj")
    put(made["b"][0], models / "good.ubj")
    (models / "broken.ubj").write_bytes(made["a"][0].read_bytes()[:3000])
    (models / "cut.json").write_bytes(made["value"][0].read_bytes()[:3000])
    (models / "net.onnx").write_bytes(b"no")
    os.utime(models / "broken.ubj", (1, 1))
    predictor = predictors(models, "--poll", "100ms").start().wait_ready()
    predictor.answers("good")
    wait_for("all to be tried", lambda: all((n, "1") in predictor.index() and predictor.index()[n, "1"]["reason"]
                                            for n in ["broken", "cut", "net"]))
    index = predictor.index()
    assert index["good", "1"]["state"] == "READY"
    assert index["broken", "1"]["state"] == "UNAVAILABLE" and "no whole XGBoost model" in index["broken", "1"]["reason"]
    assert "ONNX Runtime" in index["net", "1"]["reason"]
    assert predictor.get("/v2/models/broken/ready").status == 503
    assert "no whole XGBoost model" in predictor.get("/readyz/broken").body.decode()
    assert predictor.post("/predict/broken", ROWS[0]).status == 503

    # A new version that its golden rows contradict: the old one stays.
    version = models / "m" / "2"
    version.mkdir()
    golden = {"inputs": ROWS[:2], "outputs": [[row[0]] for row in made["c"][1][:2]], "tolerance": 0}
    (version / "golden.json").write_text(json.dumps(golden))
    put(made["b"][0], version / "model.ubj")
    wait_for("the refusal", lambda: "golden row 0" in predictor.index().get(("m", "2"), {}).get("reason", ""))
    assert predictor.ask("m", ROWS[:1])[1] == "1"
    golden["outputs"] = [[row[0]] for row in made["b"][1][:2]]
    (version / "golden.json").write_text(json.dumps(golden))
    wait_for("version 2", lambda: predictor.serving("m") == "2")
    # Started anew with a broken newest version the one before answers.
    (models / "m" / "3").mkdir()
    (models / "m" / "3" / "model.ubj").write_bytes(b"{nothing")
    predictor.stop()
    predictor.start().wait_ready()
    predictor.answers("m", "2")


def test_load_and_unload_by_clients(tmp_path, predictors, made):
    models = tmp_path / "models"
    put(made["a"][0], models / "m.ubj")
    predictor = predictors(models, "--poll", "0s").start().wait_ready()
    assert predictor.post("/v2/repository/models/m/unload").status == 200
    assert predictor.post("/predict/m", ROWS[0]).status == 404
    assert predictor.post("/v2/repository/models/m/load").status == 200
    assert predictor.post("/predict/m", ROWS[0]).status == 200
    shutil.copyfile(made["b"][0], models / "m.ubj")
    assert predictor.post("/v2/repository/models/m/load").status == 200
    assert bits(predictor.ask("m", ROWS)[0]) == bits(made["b"][1])
    (models / "m.ubj").write_bytes(b"{broken")
    refused = predictor.post("/v2/repository/models/m/load")
    assert refused.status == 400 and "m.ubj" in refused.json["error"]
    assert bits(predictor.ask("m", ROWS)[0]) == bits(made["b"][1])
    assert predictor.post("/v2/repository/models/nobody/load").status == 404
    assert predictor.post("/v2/repository/models/nobody/unload").status == 404
    upload = predictor.post("/v2/repository/models/m/load", {"parameters": {"config": "{}", "file:1/model.ubj": "AAAA"}})
    assert upload.status == 403 and "--allow-upload" in upload.json["error"]


def test_a_load_may_bring_its_files(tmp_path, predictors, made):
    models = tmp_path / "models"
    models.mkdir()
    predictor = predictors(models, "--poll", "0s", "--allow-upload").start()

    def load(model, files):
        return predictor.post(f"/v2/repository/models/{model}/load", {"parameters": {"config": "{}", **{
            f"file:{path}": base64.b64encode(content).decode() for path, content in files.items()}}})
    a, b = (made[name][0].read_bytes() for name in "ab")
    golden = json.dumps({"inputs": ROWS[:2], "outputs": [[row[0]] for row in made["b"][1][:2]]}).encode()
    assert load("m", {"1/model.ubj": a}).status == 200
    assert bits(predictor.ask("m", ROWS)[0]) == bits(made["a"][1])
    assert load("m", {"2/model.ubj": b, "2/golden.json": golden}).status == 200
    assert bits(predictor.ask("m", ROWS)[0]) == bits(made["b"][1]) and predictor.serving("m") == "2"
    before = sorted(path.relative_to(models) for path in models.rglob("*") if not str(path.relative_to(models)).startswith("."))
    # A model that is not what its proof says is not served, and what answered goes on.
    refused = load("m", {"3/model.ubj": a, "3/golden.json": golden})
    assert refused.status == 400 and "golden" in refused.json["error"], refused.body
    assert predictor.serving("m") == "2"
    shutil.rmtree(models / "m" / "3")
    # Nothing is written outside of the model's folder, nor what is no model's file, nor half of a request.
    for path in ("../m/1/model.ubj", "1/../../x.ubj", "/tmp/x.ubj", "1/.model.ubj", "1/config.pbtxt", "one/model.ubj", "1/2/model.ubj", ""):
        wrong = load("m", {"4/model.ubj": a, path: b"x"})
        assert wrong.status == 400, (path, wrong.body)
    assert load("../evil", {"1/model.ubj": a}).status in (400, 404)
    broken = predictor.post("/v2/repository/models/m/load", {"parameters": {"file:5/model.ubj": "AAA*"}})
    assert broken.status == 400 and "base64" in broken.json["error"]
    assert sorted(path.relative_to(models) for path in models.rglob("*") if not str(path.relative_to(models)).startswith(".")) == before
    assert predictor.serving("m") == "2"


def test_folders_that_do_not_do(tmp_path):
    def run(*arguments):
        return subprocess.run([MILLRACE, "predictor", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    missing = run("--models", tmp_path / "nobody")
    assert missing.returncode != 0 and "there is no such folder" in missing.stderr
    file = tmp_path / "file"
    file.write_text("x")
    assert "this is a file" in run("--models", file).stderr
    assert "--grpc" in run("--models", tmp_path, "--grpc", "nowhere:x").stderr
    assert "--memory" in run("--help").stdout and "millrace predictor --models" in run("--help").stdout


def test_an_empty_folder_waits_and_a_signal_ends(tmp_path, predictors, made):
    models = tmp_path / "models"
    models.mkdir()
    predictor = predictors(models, "--poll", "100ms").start()
    assert predictor.get("/healthz").status == 200 and predictor.get("/readyz").status == 503
    assert "none serves yet" in wait_for("the summary", lambda: "none serves" in predictor.log() and predictor.log())
    put(made["a"][0], models / "m.ubj")
    predictor.wait_ready()
    assert "serves    m:1" in wait_for("news", lambda: "serves " in predictor.log() and predictor.log())
    predictor.process.send_signal(signal.SIGTERM)
    assert predictor.process.wait(20) == 0
    assert "stopping" in predictor.log()


def test_the_second_start_needs_no_xgboost(tmp_path, predictors, made):
    models = tmp_path / "models"
    put(made["a"][0], models / "m.ubj")
    put(made["value"][0], models / "v.json")
    predictor = predictors(models).start().wait_ready()
    assert "libxgboost" in predictor.maps()
    cache = models / ".millrace-cache"
    assert len(list(cache.glob("*.flat"))) == 2
    predictor.stop()
    predictor.start().wait_ready()
    assert "libxgboost" not in predictor.maps()
    for model, name in [("m", "a"), ("v", "value")]:
        assert bits(predictor.ask(model, ROWS)[0]) == bits(made[name][1])
    predictor.stop()
    # A flipped byte anywhere is noticed, and the model is proven again.
    for file in cache.glob("*.flat"):
        content = bytearray(file.read_bytes())
        content[len(content) * 2 // 3] ^= 4
        file.write_bytes(content)
    predictor.start().wait_ready()
    assert "libxgboost" in predictor.maps() and "model_cache_damaged" in predictor.log()
    for model, name in [("m", "a"), ("v", "value")]:
        assert bits(predictor.ask(model, ROWS)[0]) == bits(made[name][1])
    predictor.stop()
    # Another file under the same name has nothing in the cache.
    put(made["b"][0], models / "m.ubj")
    predictor.start().wait_ready()
    predictor.answers("m")
    assert bits(predictor.ask("m", ROWS)[0]) == bits(made["b"][1])


@pytest.mark.parametrize("point", ["model.cache.before_write", "model.cache.after_write", "serve.load.after_golden"])
def test_killed_while_it_loads(tmp_path, predictors, made, point):
    models = tmp_path / "models"
    put(made["a"][0], models / "m.ubj")
    predictor = predictors(models, env={"MILLRACE_FAULT": f"{point}=kill"}).start(wait=False)
    assert predictor.process.wait(30) == -signal.SIGKILL
    predictor.env = {}
    predictor.start().wait_ready()
    assert bits(predictor.ask("m", ROWS)[0]) == bits(made["a"][1])


def value_of(predictor, name, model=None):
    label = f'{{model="{model}"}}' if model else ""
    for line in predictor.get("/metrics").body.decode().splitlines():
        if line.startswith(f"{name}{label} "):
            return int(line.split()[-1])
    raise AssertionError(name)


def test_more_models_than_memory(tmp_path, predictors, made):
    """Those asked for longest ago leave and come back, once however many ask."""
    models = tmp_path / "models"
    count = 12
    names = ["a", "b", "c"]
    for i in range(count):
        put(made[names[i % 3]][0], models / f"m{i}.ubj")
    predictor = predictors(models).start().wait_ready()
    each = value_of(predictor, "millrace_serve_bytes", "m0")
    predictor.stop()
    predictor.arguments = ["--memory", str(int(each * 4.5)), "--pin", "m3"]
    predictor.start().wait_ready()
    assert value_of(predictor, "millrace_serve_versions_resident") <= 4
    assert value_of(predictor, "millrace_serve_models_bytes") <= each * 4.5
    for i in list(range(count)) + [0, 5, 3, 11]:
        assert predictor.get(f"/v2/models/m{i}/ready").status == 200
        assert bits(predictor.ask(f"m{i}", ROWS[:4])[0]) == bits(made[names[i % 3]][1][:4])
        assert value_of(predictor, "millrace_serve_models_bytes") <= each * 4.5
    assert value_of(predictor, "millrace_serve_loads", "m3") == 1, "a pinned one never leaves"

    # Many wait for one that left: one load.
    gone = next(i for i in range(count) if value_of(predictor, "millrace_serve_bytes", f"m{i}") == 0)
    before = value_of(predictor, "millrace_serve_loads", f"m{gone}")
    right = bits(made[names[gone % 3]][1][:1])
    bad = []

    def ask():
        if bits(predictor.ask(f"m{gone}", ROWS[:1])[0]) != right:
            bad.append(1)
    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not bad and value_of(predictor, "millrace_serve_loads", f"m{gone}") == before + 1

    predictor.stop()
    predictor.arguments = ["--memory", "2KB"]
    predictor.start()
    wait_for("the refusal", lambda: "all models may take" in predictor.index().get(("m0", "1"), {}).get("reason", ""))
    assert predictor.get("/readyz").status == 503
