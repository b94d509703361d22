"""LightGBM's text models in a plain folder, evaluated without LightGBM: its own answers, to the bit."""
import json
import os
import pathlib
import sys

import pytest

if os.path.isdir("/python/lightgbm"):
    sys.path.append("/python")
else:
    pytest.importorskip("lightgbm", reason="the packages are fetched by: ./dev test scenario")

import lightgbm
import numpy as np
import tritonclient.http as triton

from conftest import wait_for
from test_predictor import Predictor, put

FEATURES = 7  # the last two are categories


def table(count, seed):
    """Numbers with gaps and zeros; two columns of categories."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, FEATURES))
    x[:, 1] = np.round(x[:, 1], 1)
    x[rng.random((count, FEATURES)) < 0.15] = np.nan
    x[rng.random((count, FEATURES)) < 0.15] = 0
    x[:, 5] = rng.integers(0, 40, count)
    x[:, 6] = rng.integers(0, 5, count)
    return x


def hard(count, seed):
    """Rows with what is hard: missing, zeros of both signs, numbers as good as zero, infinities, unseen, negative and broken categories."""
    x = table(count, seed)
    rng = np.random.default_rng(seed + 1)
    odd = np.array([np.nan, 0.0, -0.0, 1e-35, -1e-35, 1e-36, 1.1e-35, -1.1e-35, 5e-324, np.inf, -np.inf, 1e300, -1e300])
    where = rng.random((count, 5)) < 0.3
    x[:, :5][where] = rng.choice(odd, where.sum())
    categories = np.array([np.nan, -1, -0.5, -0.999, 3.7, 39, 40, 1000, 2.0**31, 2.0**31 - 1, 1e300, np.inf, -np.inf, 31, 32, 63, 64])
    where = rng.random((count, 2)) < 0.3
    x[:, 5:][where] = rng.choice(categories, where.sum())
    return x


def train(path, objective, rounds=25, leaves=15, seed=1, categories=True, **more):
    x = table(3000, seed)
    clean = np.nan_to_num(x)
    signal = clean[:, 0] - clean[:, 1] * clean[:, 2] + (clean[:, 5] % 3) + 0.3 * (clean[:, 6] == 2)
    y = {"binary": signal > 0.5, "multi": np.digitize(signal, [-0.5, 0.5, 1.5]), "positive": np.exp(signal / 4), "share": 1 / (1 + np.exp(-signal)),
         "rank": np.clip(np.digitize(signal, [0, 1, 2]), 0, 3)}
    kind = ("binary" if objective == "binary" else "multi" if objective.startswith("multi") else "positive" if objective in ("poisson", "gamma", "tweedie", "mape")
            else "share" if objective.startswith("cross") else "rank" if "rank" in objective else "")
    target = y[kind] if kind else signal
    parameters = {"objective": objective, "num_leaves": leaves, "verbosity": -1, "seed": seed, "num_threads": 1, "deterministic": True,
                  "min_data_per_group": 5, "cat_smooth": 1, **more}
    if kind == "multi":
        parameters["num_class"] = 4
    group = [100] * 30 if kind == "rank" else None
    data = lightgbm.Dataset(x, target, group=group, categorical_feature=[5, 6] if categories else "auto", free_raw_data=False)
    lightgbm.train(parameters, data, rounds).save_model(path)
    return path


MODELS = {"binary": {}, "regression": {}, "regression_l1": {}, "huber": {}, "fair": {}, "quantile": {}, "mape": {}, "poisson": {}, "gamma": {}, "tweedie": {},
          "cross_entropy": {}, "cross_entropy_lambda": {}, "multiclass": {"rounds": 8}, "multiclassova": {"rounds": 8}, "lambdarank": {}, "rank_xendcg": {}}
SPECIAL = {"sqrt": ("regression", {"reg_sqrt": True}), "sigmoid": ("binary", {"sigmoid": 0.7}), "dart": ("binary", {"boosting": "dart"}),
           "goss": ("binary", {"data_sample_strategy": "goss"}), "zeros": ("binary", {"zero_as_missing": True}), "whole": ("binary", {"use_missing": False}),
           "deep": ("regression", {"leaves": 255, "rounds": 60}), "one": ("regression", {"rounds": 1, "leaves": 2}), "onehot": ("binary", {"max_cat_to_onehot": 50}),
           "plain": ("binary", {"categories": False}), "none": ("regression", {"min_data_in_leaf": 5000})}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lightgbm")
    files = {name: train(folder / f"{name}.txt", name, **more) for name, more in MODELS.items()}
    files.update({name: train(folder / f"{name}.txt", objective, **more) for name, (objective, more) in SPECIAL.items()})
    return files


@pytest.fixture(scope="module")
def served(tmp_path_factory, made):
    models = tmp_path_factory.mktemp("served") / "models"
    for name, path in made.items():
        put(path, models / f"{name}.txt")
    (models / "README.txt").write_text("trees are in the files beside this one")
    predictor = Predictor(models).start().wait_ready()
    yield predictor
    predictor.stop()


def ask(predictor, model, x, *outputs):
    with triton.InferenceServerClient(predictor.url.removeprefix("http://")) as client:
        tensor = triton.InferInput("input-0", list(x.shape), "FP64")
        tensor.set_data_from_numpy(np.ascontiguousarray(x))
        answer = client.infer(model, [tensor], outputs=[triton.InferRequestedOutput(name) for name in outputs] or None)
    return {output["name"]: answer.as_numpy(output["name"]) for output in answer.get_response()["outputs"]}


@pytest.mark.parametrize("name", [*MODELS, *SPECIAL])
def test_answers_are_lightgbms(served, made, name):
    x = np.concatenate([table(500, 77), hard(1500, 99), np.zeros((1, FEATURES)), np.full((1, FEATURES), np.nan)])
    booster = lightgbm.Booster(model_file=str(made[name]))
    got = ask(served, name, x, "predict", "raw_score")
    for output, wanted in [("predict", booster.predict(x)), ("raw_score", booster.predict(x, raw_score=True))]:
        wanted = np.asarray(wanted, dtype=np.float64).reshape(len(x), -1)
        assert got[output].shape == wanted.shape
        apart = [(i, k) for i, k in zip(*np.nonzero(got[output].view(np.uint64) != wanted.view(np.uint64)))]
        assert apart == [], (output, len(apart), x[apart[0][0]].tolist(), got[output][apart[0]], wanted[apart[0]])


def test_other_forms_and_what_is_told(served, made):
    x = table(3, 5)
    x[0] = [1, 0.5, 2, -1, 0, 7, 3]
    booster = lightgbm.Booster(model_file=str(made["binary"]))
    wanted = booster.predict(x[:1])
    about = served.get("/v2/models/binary").json
    assert about["platform"] == "millrace_lightgbm" and about["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, FEATURES]}]
    assert [o["name"] for o in about["outputs"]] == ["predict", "raw_score"]
    assert list(ask(served, "binary", x)) == ["predict"], "margins only where they are asked for"
    row = x[0].tolist()
    assert served.post("/predict/binary", row).json["prediction"] == wanted[0]
    assert served.post("/predict/binary", {f"Column_{i}": v for i, v in enumerate(row)}).json["prediction"] == wanted[0]
    assert served.post("/predict/binary", {"Column_0": 1.0}).status == 200, "what is not there is missing"
    assert served.post("/invocations/binary", {"inputs": [row]}).json["predictions"] == [[wanted[0]]]
    assert served.index().keys() == {(name, "1") for name in made}, "other texts are passed over"
    assert "liblightgbm" not in served.maps() and "libxgboost" not in served.maps()


def test_what_is_damaged_or_unknown_is_not_served(tmp_path, made):
    models = tmp_path / "models"
    text = made["binary"].read_text()
    wrong = {"cut": text[:len(text) // 2], "cutend": text.split("end of trees")[0], "objective": text.replace("objective=binary sigmoid:1", "objective=somebodys"),
             "child": text.replace("left_child=", "left_child=0 ", 1), "loop": text.replace("left_child=1 ", "left_child=0 ", 1),
             "number": text.replace("leaf_value=", "leaf_value=x", 1), "version": text.replace("version=v4", "version=v9"),
             "feature": text.replace("max_feature_idx=6", "max_feature_idx=2"), "average": text.replace("\nobjective", "\naverage_output\nobjective", 1)}
    models.mkdir()
    for name, content in wrong.items():
        assert content != text, name
        (models / f"{name}.txt").write_text(content)
    put(made["binary"], models / "m" / "3" / "model.txt")
    golden = {"inputs": [[0, 0, 0, 0, 0, 1, 1]], "outputs": [[0.123]]}
    (models / "golden.golden.json").write_text(json.dumps(golden))
    put(made["binary"], models / "golden.txt")
    predictor = Predictor(models, "--poll", "100ms").start().wait_ready()
    try:
        wait_for("all to be tried", lambda: len(predictor.index()) == len(wrong) + 2 and all(
            line["state"] == "READY" or line["reason"] for line in predictor.index().values()))
        index = {name: line for (name, _), line in predictor.index().items()}
        assert [name for name, line in index.items() if line["state"] == "READY"] == ["m"], index
        assert "somebodys" in index["objective"]["reason"] and "golden row 0" in index["golden"]["reason"]
        assert "random forest" in index["average"]["reason"] and "left_child" in index["loop"]["reason"]
    finally:
        predictor.stop()
