"""Models that leave the product: unmodified onnxruntime and xgboost from PyPI answer as /predict does, by the code that docs/guide/operations.md shows.
The packages are in tests/clients/requirements.txt; ./dev test scenario fetches them."""
import csv
import gzip
import json
import os
import pathlib
import re
import sys

import pytest

if os.path.isdir("/python/xgboost"):
    sys.path.append("/python")
else:
    pytest.importorskip("onnxruntime", reason="the packages are fetched by: ./dev test scenario")
    pytest.importorskip("xgboost", reason="the packages are fetched by: ./dev test scenario")

import numpy as np
import onnxruntime
import xgboost

from conftest import DATA, TOP, Server, read_csv, wait_for, write_csv
from test_predictor import Predictor

DIGITS = pathlib.Path("/data/digits.csv.gz")  # where the toolchain unpacked it
ROWS = 300


def shown():
    """The functions of the guide."""
    text = (TOP / "docs/guide/operations.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(block, names)
    return names["onnx_columns"], names["xgboost_features"]


onnx_columns, xgboost_features = shown()


def titanic():
    table = read_csv("titanic.csv.gz")
    head = [name.lower() for name in table[0]]
    keep = [head.index(name) for name in ("survived", "pclass", "age", "sibsp", "parch", "fare", "sex", "embarked")]
    return [[name.lower() for name in (table[0][i] for i in keep)]] + [[row[i] for i in keep] for row in table[1:]], "survived", '"auc" = ">= 0.6"'


def penguins():
    return read_csv("penguins.csv.gz"), "species", '"accuracy" = ">= 0.5"'


def taxis():
    """A regression with times and zones."""
    table = read_csv("nyc_taxis.csv.gz")
    keep = [i for i, name in enumerate(table[0]) if name not in ("total", "tip", "tolls", "dropoff")]
    return [[row[i] for i in keep] for row in table], "fare", '"rmse" = "<= 100"'


def digits():
    with gzip.open(DIGITS, "rt") as file:
        table = [[*(f"p{i}" for i in range(64)), "digit"]] + [[*(str(int(float(x))) for x in row[:64]), str(int(float(row[64])))] for row in csv.reader(file)]
    return table, "digit", '"accuracy" = ">= 0.5"'


SETS = {"titanic": titanic, "penguins": penguins, "taxis": taxis, "digits": digits}


class Trained:
    """A served model, the rows that it is asked, what /predict answers, and its exports."""

    def __init__(self, name, folder):
        table, target, gate = SETS[name]()
        write_csv(folder / "data.csv", table)
        (folder / "millrace.toml").write_text(f'[project]\nname = "{name}"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.{target}"\n'
                                              f'trainer = {{ name = "boosted-trees", rounds = 120 }}\n[gates]\n{gate}\n')
        self.name = name
        self.server = Server(folder).start()

    def ready(self):
        self.server.wait_versions(self.name, 1)
        wait_for("version 1 to answer", lambda: any(a["alias"] == "current" and a["version"] == 1 for a in self.server.model(self.name)["aliases"]))
        self.server.wait_ready()
        for form, file in (("onnx", "m.onnx"), ("xgboost-json", "m.json"), ("ubj", "u.ubj")):
            self.server.cli("models", "export", f"{self.name}:1", "--to", self.folder / file, "--format", form)
        self.manifest = json.loads((self.folder / "m.manifest.json").read_text())
        assert (self.folder / "u.manifest.json").read_text() == (self.folder / "m.manifest.json").read_text()
        self.rows = self.hard_rows()
        answer = self.server.post(f"/predict/{self.name}", self.rows)
        assert answer.status == 200, answer.body
        self.predictions = answer.json["predictions"]
        self.session = onnxruntime.InferenceSession(self.folder / "m.onnx", providers=["CPUExecutionProvider"])
        return self

    @property
    def folder(self):
        return self.server.folder

    def hard_rows(self):
        """Rows of the data as they are, with what is missing and, in a third of them, one more value missing or a category that nobody saw."""
        with open(self.folder / "data.csv", newline="") as file:
            table = list(csv.DictReader(file))
        table = table[::max(1, len(table) // ROWS)][:ROWS]
        made = []
        for i, row in enumerate(table):
            made.append({column["name"]: self.value(column, row[column["name"]]) for column in self.manifest["inputs"]})
            column = self.manifest["inputs"][i % len(self.manifest["inputs"])]
            if i % 3 == 0 and not column["required"]:
                made[-1][column["name"]] = None
            elif i % 3 == 0 and column["type"] == "text":
                made[-1][column["name"]] = "nobody saw this"
        return made

    @staticmethod
    def value(column, text):
        if text in ("", "NA"):
            return None
        if column["type"] == "boolean":
            return text.lower() == "true"
        if column["type"] == "timestamp":
            return text.replace(" ", "T")
        return {"int64": int, "float64": float}.get(column["type"], str)(text)

    def regression(self):
        return self.manifest["task"] == "regression"


@pytest.fixture(scope="module", params=list(SETS))
def trained(request, tmp_path_factory):
    if request.param == "digits" and not DIGITS.exists() or request.param != "digits" and not DATA.is_dir():
        pytest.skip("the data set is not here")
    made = Trained(request.param, tmp_path_factory.mktemp(request.param))
    try:
        yield made.ready()
    finally:
        made.server.stop()


def close(wanted, got, tolerance):
    wanted, got = np.asarray(wanted, np.float64), np.asarray(got, np.float64)
    assert wanted.shape == got.shape
    apart = np.abs(wanted - got) / np.maximum(1, np.abs(wanted))
    assert apart.max() <= tolerance, apart.max()


def test_the_rows_ask_for_what_is_hard(trained):
    names = {column["encoding"] for column in trained.manifest["inputs"]}
    assert any(None in row.values() for row in trained.rows) == (trained.name != "digits")
    assert {"titanic": {"number", "category"}, "penguins": {"number", "category"}, "taxis": {"number", "category", "date_parts"}, "digits": {"number"}}[trained.name] <= names
    if "category" in names:
        assert any("nobody saw this" in row.values() for row in trained.rows)


def test_onnxruntime_gives_the_same_answers(trained):
    feed = onnx_columns(trained.session, trained.rows)
    assert {i.name for i in trained.session.get_inputs()} == {c["name"] for c in trained.manifest["inputs"]}
    outputs = [output.name for output in trained.session.get_outputs()]
    got = dict(zip(outputs, trained.session.run(None, feed)))
    if trained.regression():
        assert outputs == ["prediction"] and got["prediction"].dtype == np.float64
        close([p["prediction"] for p in trained.predictions], got["prediction"], 1e-5)
    else:
        assert outputs == ["prediction", "probability", "probabilities"]
        assert got["prediction"].tolist() == [str(p["prediction"]) for p in trained.predictions]
        close([p["probability"] for p in trained.predictions], got["probability"], 1e-5)
        close([list(p["probabilities"].values()) for p in trained.predictions], got["probabilities"], 1e-5)
        metadata = trained.session.get_modelmeta().custom_metadata_map
        assert json.loads(metadata["classes"]) == list(trained.predictions[0]["probabilities"]) and metadata["model"] == trained.name
    # One thread adds as the server does.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    exact = onnxruntime.InferenceSession(trained.folder / "m.onnx", options, providers=["CPUExecutionProvider"])
    score = outputs[min(1, len(outputs) - 1)]
    close([p[score] for p in trained.predictions], exact.run([score], feed)[0], 1e-14)
    # One row alone is no other row.
    for i in (0, 7, len(trained.rows) - 1):
        alone = trained.session.run(None, {name: column[i:i + 1] for name, column in feed.items()})
        for name, value in zip(outputs, alone):
            if value.dtype == object:
                assert value[0] == got[name][i]
            else:
                close(got[name][i], value[0], 1e-6)


def test_xgboost_gives_the_same_answers(trained):
    for file in ("m.json", "u.ubj"):
        booster = xgboost.Booster(model_file=trained.folder / file)
        got = booster.predict(xgboost.DMatrix(xgboost_features(trained.manifest, trained.rows)))
        if trained.regression():
            close([p["prediction"] for p in trained.predictions], got, 1e-6)
            continue
        wanted = np.array([list(p["probabilities"].values()) for p in trained.predictions])
        close(wanted if got.ndim == 2 else wanted[:, 1], got, 1e-6)
        decisions = got.argmax(axis=1) if got.ndim == 2 else (got >= trained.manifest["threshold"]).astype(int)
        assert [trained.manifest["classes"][d] for d in decisions] == [str(p["prediction"]) for p in trained.predictions]


def test_a_predictor_serves_the_onnx_file(trained, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.onnx").write_bytes((trained.folder / "m.onnx").read_bytes())
    feed = onnx_columns(trained.session, trained.rows)
    rows = [{name: None if column.dtype == np.float64 and np.isnan(column[i, 0]) else column[i, 0] if column.dtype == object else column[i, 0].item()
             for name, column in feed.items()} for i in range(len(trained.rows))]
    predictor = Predictor(tmp_path / "models").start()
    try:
        predictor.wait_ready()
        answer = predictor.post("/predict/m", rows)
        assert answer.status == 200, answer.body
        got = [p["prediction"] for p in answer.json["predictions"]]
        if trained.regression():
            close([p["prediction"] for p in trained.predictions], got, 1e-5)
        else:
            assert [p["prediction"] for p in got] == [str(p["prediction"]) for p in trained.predictions]
            close([list(p["probabilities"].values()) for p in trained.predictions], [p["probabilities"] for p in got], 1e-5)
    finally:
        predictor.stop()


def test_a_baseline_leaves_as_onnx_too(trained):
    trained.server.cli("models", "export", f"{trained.name}:baseline", "--to", trained.folder / "b.onnx", "--format", "onnx", "--force")
    session = onnxruntime.InferenceSession(trained.folder / "b.onnx", providers=["CPUExecutionProvider"])
    got = session.run(["prediction"], onnx_columns(session, trained.rows))[0]
    assert got.shape == (len(trained.rows),) and len(set(got.tolist())) == 1
