"""ONNX files in a plain folder: models that other programs wrote, asked by unmodified tritonclient; the answers are those of ONNX Runtime, bit for bit
where the predictor uses the same build of it (--onnxruntime), and close where it uses Debian's. The packages are in tests/clients/requirements.txt."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

import pytest

if os.path.isdir("/python/onnxruntime"):
    sys.path.append("/python")
else:
    pytest.importorskip("onnxruntime", reason="the packages are fetched by: ./dev test scenario")

import grpc
import ml_dtypes
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from conftest import MILLRACE, wait_for
from test_predictor import Predictor, put

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import onnx_models  # noqa: E402


class Onnx(Predictor):
    def grpc_address(self):
        return [line for line in self.log().splitlines() if line.startswith("grpc ")][-1].split()[1]

    def about(self, model):
        answer = self.get(f"/v2/models/{model}")
        assert answer.status == 200, answer.body
        return answer.json

    def infer(self, model, inputs, outputs=None, **more):
        """JSON over HTTP: inputs by name as (datatype, array)."""
        body = {"inputs": [{"name": name, "datatype": kind, "shape": list(array.shape), "data": array.ravel().tolist()}
                           for name, (kind, array) in inputs.items()], **more}
        if outputs:
            body["outputs"] = [{"name": name} for name in outputs]
        return self.post(f"/v2/models/{model}/infer", body)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    files = {"mlp": onnx_models.mlp(folder / "mlp.onnx"), "one": onnx_models.mlp(folder / "one.onnx", sizes=(4, 8, 3), batch=1),
             "types": onnx_models.every_type(folder / "types.onnx"), "two": onnx_models.two_inputs(folder / "two.onnx"),
             "pieces": onnx_models.pieces(folder / "pieces.onnx"), "forest": onnx_models.forest(folder / "forest.onnx")[0],
             "plain": onnx_models.forest(folder / "plain.onnx", zipmap=False)[0],
             "numbers": onnx_models.forest(folder / "numbers.onnx", classes=(0, 1, 2))[0], "columns": onnx_models.columns(folder / "columns.onnx"),
             "magika": onnx_models.inside("magika", "model.onnx"), "silero": onnx_models.inside("silero_vad", "silero_vad.onnx")}
    return files


SILERO = {"input": np.zeros((1, 512), np.float32), "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000, np.int64)}


def golden(path, inputs, tolerance=1e-4, outputs=None):
    """What proves a model: by default what its own engine answers."""
    def tensors(named):
        return [{"name": name, "datatype": np_to_triton_dtype(array.dtype), "shape": list(array.shape), "data": array.ravel().tolist()}
                for name, array in named.items()]
    if outputs is None:
        session = onnx_models.session(path)
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, inputs)))
    return json.dumps({"inputs": tensors(inputs), "outputs": tensors(outputs), "tolerance": tolerance})


def folder_of(made, models):
    for name, path in made.items():
        put(path, models / f"{name}.onnx")
    (models / "silero.golden.json").write_text(golden(made["silero"], SILERO))
    (models / "pieces.golden.json").write_text(golden(made["pieces"], {"x": np.ones((6, 2), np.float32), "cuts": np.array([3, 3])},
                                                      outputs={"parts": np.ones((2, 3, 2), np.float32)}))


def started(tmp_path_factory, made, *arguments):
    models = tmp_path_factory.mktemp("served") / "models"
    models.mkdir()
    folder_of(made, models)
    return Onnx(models, "--grpc", "127.0.0.1:0", *arguments).start().wait_ready()


@pytest.fixture(scope="module", params=["debian", "pypi"])
def served(request, tmp_path_factory, made):
    """The same folder by Debian's library, and by PyPI's."""
    arguments = ["--onnxruntime", onnx_models.library()] if request.param == "pypi" else []
    predictor = started(tmp_path_factory, made, *arguments)
    predictor.exact = request.param == "pypi"
    yield predictor
    predictor.stop()


@pytest.fixture(scope="module")
def debian(tmp_path_factory, made):
    predictor = started(tmp_path_factory, made)
    yield predictor
    predictor.stop()


def same(predictor, wanted, got):
    wanted, got = np.asarray(wanted), np.asarray(got)
    assert wanted.shape == got.shape
    if wanted.dtype.kind in "OUS":
        assert [t if isinstance(t, str) else t.decode() for t in got.ravel()] == [str(t) for t in wanted.ravel()]
    elif predictor.exact or wanted.dtype.kind != "f":
        assert wanted.tobytes() == got.tobytes(), np.abs(wanted - got).max()
    else:
        np.testing.assert_array_max_ulp(wanted, got, maxulp=64) if wanted.dtype == np.float32 and wanted.min() > 1e-3 else np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-6)


def triton_inputs(module, named):
    made = []
    for name, array in named.items():
        made.append(module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
        made[-1].set_data_from_numpy(array)
    return made


def both(predictor, model, named):
    """What tritonclient gets over HTTP and over gRPC, which is the same to the bit: outputs by name."""
    with triton_http.InferenceServerClient(predictor.url.removeprefix("http://")) as client:
        over_http = client.infer(model, triton_inputs(triton_http, named))
    with triton_grpc.InferenceServerClient(predictor.grpc_address()) as client:
        over_grpc = client.infer(model, triton_inputs(triton_grpc, named))
    names = [output["name"] for output in over_http.get_response()["outputs"]]
    assert over_http.get_response()["parameters"]["prediction_id"]
    out = {name: over_http.as_numpy(name) for name in names}
    for name, array in out.items():
        other = over_grpc.as_numpy(name)
        assert (array == other).all() if array.dtype == object else array.tobytes() == other.tobytes(), name
    return out


def test_every_model_is_there(served, made):
    index = served.index()
    assert {name for name, _ in index} == set(made)
    assert [line for line in index.values() if line["state"] != "READY"] == []
    assert "Schema error" not in served.log() and "onnxruntime" not in served.log().replace(str(onnx_models.library()), "")


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_a_network(served, made, count):
    x = onnx_models.rows(count, 64)
    got = both(served, "mlp", {"x": x})
    same(served, onnx_models.session(made["mlp"]).run(None, {"x": x})[0], got["probabilities"])
    if count < 1000:
        listed = served.post("/invocations/mlp", {"inputs": x.tolist()}).json["predictions"]
        same(served, got["probabilities"], np.array(listed, np.float32))
        rows = served.post("/predict/mlp", x.tolist()).json["predictions"]
        same(served, got["probabilities"], np.array([row["prediction"] for row in rows], np.float32))
    about = served.about("mlp")
    assert about["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}]
    assert about["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}]
    assert about["platform"] == "millrace_onnx"


def test_a_forest_with_a_sequence_of_maps(served, made):
    x = onnx_models.rows(50, 6, seed=2)
    labels, maps = onnx_models.session(made["forest"]).run(None, {"X": x})
    got = both(served, "forest", {"X": x})
    same(served, labels, got["output_label"])
    classes = sorted(maps[0])
    same(served, np.array([[row[c] for c in classes] for row in maps], np.float32), got["output_probability"])
    output = served.about("forest")["outputs"][1]
    assert output["shape"] == [-1, 3] and output["parameters"] == {f"class.{i}": c for i, c in enumerate(classes)}
    with triton_grpc.InferenceServerClient(served.grpc_address()) as client:
        assert client.get_model_config("forest").config.parameters["output_probability.class.1"].string_value == classes[1]
    # Without ZipMap the same numbers; with whole numbers as classes too.
    plain = both(served, "plain", {"X": x})
    assert plain["probabilities"].shape == (50, 3)
    numbers = both(served, "numbers", {"X": x})
    assert numbers["output_label"].dtype == np.int64
    assert served.about("numbers")["outputs"][1]["parameters"] == {"class.0": "0", "class.1": "1", "class.2": "2"}
    one = served.post("/predict/forest", x[0].tolist()).json
    assert one["prediction"]["output_label"] == labels[0] and set(one["prediction"]["output_probability"]) == set(classes)


def test_columns_of_numbers_and_texts(served, made):
    table = {"age": np.array([[31], [52], [40]], np.float32), "city": np.array([["Lima"], ["Oslo"], ["nowhere"]], dtype=object)}
    label, probabilities = onnx_models.session(made["columns"]).run(None, table)
    got = both(served, "columns", table)
    same(served, label, got["label"])
    same(served, probabilities, got["probabilities"])
    # By rows as well, over /predict and MLflow's forms.
    rows = [{"age": float(a), "city": c} for (a,), (c,) in zip(table["age"], table["city"])]
    answer = served.post("/predict/columns", rows).json["predictions"]
    assert [p["prediction"]["label"] for p in answer] == label.tolist() and len({p["id"] for p in answer}) == 3
    assert np.array([p["prediction"]["probabilities"] for p in answer], np.float32).tobytes() == got["probabilities"].tobytes()
    split = served.post("/invocations/columns", {"dataframe_split": {"columns": ["city", "age"], "data": [[r["city"], r["age"]] for r in rows]}}).json
    records = served.post("/invocations/columns", {"dataframe_records": rows}).json
    inputs = served.post("/invocations/columns", {"inputs": {name: array.tolist() for name, array in table.items()}}).json
    instances = served.post("/invocations/columns", {"instances": rows}).json
    assert split["predictions"] == records["predictions"] == [p["prediction"] for p in answer] and len(split["ids"]) == 1
    assert inputs["predictions"] == instances["predictions"] and inputs["predictions"]["label"] == got["label"].tolist()
    assert np.array(inputs["predictions"]["probabilities"], np.float32).tobytes() == got["probabilities"].tobytes()
    missing = served.post("/predict/columns", {"age": 3, "city": None})
    assert missing.status == 400 and "city" in missing.json["error"]["message"]


def test_every_datatype(served, made):
    shape = (2, 3)
    named = {}
    for kind in onnx_models.KINDS:
        dtype = {"BOOL": bool, "BYTES": object, "BF16": ml_dtypes.bfloat16}.get(kind) or np.dtype({"F": "float", "I": "int", "U": "uint"}[kind[0]] + kind.lstrip("FPINTU"))
        if kind == "BYTES":
            array = np.array([["a", "", "Grüße"], ["\x00nul\x00", "x" * 300, "z"]], dtype=object)
        elif kind == "BOOL":
            array = np.array([[True, False, True], [False, False, True]])
        elif "F" in kind:
            array = np.array([[0.5, -1.25, float("nan")], [float("inf"), 0, -0.0]]).astype(dtype)
        else:
            info = np.iinfo(dtype)
            array = np.array([[info.min, info.max, 0], [1, 2, 3]], dtype=dtype)
        named[f"in_{kind}"] = array.reshape(shape)
    with triton_grpc.InferenceServerClient(served.grpc_address()) as client:
        got = client.infer("types", triton_inputs(triton_grpc, named))
    over_http = both(served, "types", named)
    for kind in onnx_models.KINDS:
        wanted, name = named[f"in_{kind}"], f"out_{kind}"
        output = got.as_numpy(name)
        if kind == "BYTES":
            assert [t.decode() for t in output.ravel()] == wanted.ravel().tolist()
        elif kind == "BF16":  # the client hands them on as float32
            assert output.astype(ml_dtypes.bfloat16).tobytes() == wanted.tobytes()
        else:
            assert output.tobytes() == wanted.tobytes(), kind
        assert over_http[name].shape == shape
    # The same in JSON, where there is no NaN: null, both ways.
    body = {"inputs": [], "parameters": {"null_is_missing": True}}
    for name, array in named.items():
        data = array.astype(float).tolist() if "F" in name.split("_")[1] else array.tolist()
        data = [[None if isinstance(v, float) and not np.isfinite(v) else v for v in row] for row in data]
        body["inputs"].append({"name": name, "datatype": name.split("_")[1], "shape": list(shape), "data": data})
    answer = served.post("/v2/models/types/infer", body)
    assert answer.status == 200, answer.body
    for given, got_back in zip(body["inputs"], answer.json["outputs"]):
        assert [v for row in given["data"] for v in row] == got_back["data"], given["name"]


def test_several_inputs_and_one_value(served, made):
    a, b = onnx_models.rows(4, 3), np.array([1, 2, 3], np.float32)
    named = {"a": a, "b": b, "who": np.array(["w", "x", "y", "z"], dtype=object)}
    got = both(served, "two", named)
    sums, total, _ = onnx_models.session(made["two"]).run(None, named)
    same(served, sums, got["sum"])
    same(served, total, got["total"])
    # Only what is asked for, in that order.
    with triton_http.InferenceServerClient(served.url.removeprefix("http://")) as client:
        some = client.infer("two", triton_inputs(triton_http, named), outputs=[triton_http.InferRequestedOutput("name"), triton_http.InferRequestedOutput("total", binary_data=False)])
    assert [o["name"] for o in some.get_response()["outputs"]] == ["name", "total"]


def test_a_sequence_of_tensors(served):
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    same_size = both(served, "pieces", {"x": x, "cuts": np.array([3, 3], np.int64)})
    assert same_size["parts"].tolist() == x.reshape(2, 3, 2).tolist()
    assert same_size["parts.shapes"].tolist() == [[3, 2], [3, 2]]
    ragged = both(served, "pieces", {"x": x, "cuts": np.array([1, 5], np.int64)})
    assert ragged["parts"].tolist() == x.ravel().tolist() and ragged["parts.shapes"].tolist() == [[1, 2], [5, 2]]


def test_a_model_for_one_row(served, made):
    x = onnx_models.rows(3, 4, seed=5)
    session = onnx_models.session(made["one"])
    wanted = np.concatenate([session.run(None, {"x": row[None]})[0] for row in x])
    same(served, wanted[:1], both(served, "one", {"x": x[:1]})["probabilities"])
    refused = served.infer("one", {"x": ("FP32", x)})
    assert refused.status == 400 and "[1,4]" in refused.json["error"] and "[3,4]" in refused.json["error"]
    rows = served.post("/predict/one", x.tolist()).json["predictions"]
    same(served, wanted, np.array([row["prediction"] for row in rows], np.float32))


def test_magika(served, made):
    rng = np.random.default_rng(1)
    x = rng.integers(0, 257, (5, 2048)).astype(np.int32)
    name = served.about("magika")["inputs"][0]["name"]
    wanted = onnx_models.session(made["magika"]).run(None, {name: x})[0]
    got = list(both(served, "magika", {name: x}).values())[0]
    assert wanted.shape == (5, 214)
    same(served, wanted, got)


def test_silero_keeps_its_state_with_the_client(served, made):
    session = onnx_models.session(made["silero"])
    state, mine = SILERO["state"], SILERO["state"]
    sound = np.sin(np.arange(4 * 512, dtype=np.float32) / 9).reshape(4, 1, 512)
    for piece in sound:
        wanted, state = session.run(None, {"input": piece, "state": state, "sr": SILERO["sr"]})
        got = both(served, "silero", {"input": piece, "state": mine, "sr": SILERO["sr"]})
        mine = got["stateN"]
        same(served, wanted, got["output"])
        same(served, state, mine)


def test_what_is_wrong_with_a_request_is_said(debian):
    x = onnx_models.rows(2, 64)
    for inputs, words in [({"y": ("FP32", x)}, ["y", "no input"]), ({"x": ("FP64", x)}, ["FP32", "FP64"]), ({"x": ("FP32", x[:, :63])}, ["[-1,64]", "[2,63]"]),
                          ({"x": ("FP32", x.ravel())}, ["[-1,64]", "[128]"]), ({"x": ("FP32", x), "z": ("FP32", x)}, ["z"])]:
        answer = debian.infer("mlp", inputs)
        assert answer.status == 400 and all(word in answer.json["error"] for word in words), answer.body
    missing = debian.infer("two", {"a": ("FP32", x[:, :3])})
    assert missing.status == 400 and "'b'" in missing.json["error"]
    for shape, data in [([2, 64], [1.0] * 127), ([2, 64], [1.0] * 129), ([-1, 64], [1.0] * 64), ([1 << 60, 64], [1.0]), ([2, 64], "x"),
                        ([2, 64], [None] * 128), ([0, 1 << 62, 1 << 62], []), ([2, 64], [1e300] * 128), ([1, 64], [[1.0] * 63])]:
        answer = debian.post("/v2/models/mlp/infer", {"inputs": [{"name": "x", "datatype": "FP32", "shape": shape, "data": data}]})
        assert answer.status == 400, (shape, answer.body)
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 64], "parameters": {"binary_data_size": 252}}]}).encode()
    answer = debian.post("/v2/models/mlp/infer", head + bytes(252), headers={"Inference-Header-Content-Length": str(len(head))})
    assert answer.status == 400 and "252" in answer.json["error"]
    assert debian.infer("mlp", {"x": ("FP32", x)}, outputs=["nothing"]).status == 400
    assert debian.infer("mlp", {"x": ("FP32", x)}, outputs=["prediction_id"]).status == 400
    # What only the engine can see.
    refused = debian.infer("pieces", {"x": ("FP32", x[:, :2]), "cuts": ("INT64", np.array([5, 5]))})
    assert refused.status == 400 and "can't compute these inputs" in refused.json["error"]
    assert "/build/" not in refused.json["error"]
    with triton_grpc.InferenceServerClient(debian.grpc_address()) as client:
        with pytest.raises(InferenceServerException) as wrong:
            client.infer("mlp", triton_inputs(triton_grpc, {"x": x.astype(np.float64)}))
    assert "INVALID_ARGUMENT" in wrong.value.status()
    assert debian.post("/predict/two", [[1, 2, 3]]).status == 400
    assert debian.infer("mlp", {"x": ("FP32", x)}).status == 200 and not debian.gone()


def test_bytes_that_are_no_text(debian):
    """Binary tensors carry any bytes; in JSON they can't be said."""
    head = {"inputs": [{"name": "a", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}, {"name": "b", "datatype": "FP32", "shape": [3], "data": [1, 2, 3]},
                       {"name": "who", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}],
            "outputs": [{"name": "name", "parameters": {"binary_data": True}}]}
    for binary, status in [(True, 200), (False, 400)]:
        head["outputs"][0]["parameters"]["binary_data"] = binary
        text = json.dumps(head).encode()
        answer = debian.post("/v2/models/two/infer", text + struct.pack("<I", 2) + b"\xff\x00", headers={"Inference-Header-Content-Length": str(len(text))})
        assert answer.status == status, answer.body
        if binary:
            assert answer.body.endswith(struct.pack("<I", 2) + b"\xff\x00")


def test_proofs(tmp_path, made):
    models = tmp_path / "models"
    put(made["silero"], models / "needs.onnx")
    put(made["mlp"], models / "cut.onnx")
    (models / "cut.onnx").write_bytes(made["mlp"].read_bytes()[:-3000])
    put(made["mlp"], models / "wrong.onnx")
    x = onnx_models.rows(1, 64)
    right = json.loads(golden(made["mlp"], {"x": x}))
    right["outputs"][0]["data"][0] += 0.01
    (models / "wrong.golden.json").write_text(json.dumps(right))
    (models / "net.onnx").write_bytes(b"no")
    put(made["mlp"], models / "good.onnx")
    predictor = Onnx(models, "--poll", "100ms").start().wait_ready()
    try:
        wait_for("all to be tried", lambda: len(predictor.index()) == 5)
        index = {name: line for (name, _), line in predictor.index().items()}
        assert index["good"]["state"] == "READY"
        assert "golden file" in index["needs"]["reason"]
        assert "instead of" in index["wrong"]["reason"]
        assert "ONNX Runtime" in index["cut"]["reason"] and "ONNX Runtime" in index["net"]["reason"]
        (models / "needs.golden.json").write_text(golden(made["silero"], SILERO))
        wait_for("the golden file to prove it", lambda: predictor.get("/v2/models/needs").status == 200)
        # Another file under the name: the old one answers until the new one is proven.
        put(made["one"], models / "good.onnx")
        wait_for("the other model", lambda: predictor.about("good")["inputs"][0]["shape"] == [1, 4])
    finally:
        predictor.stop()


def test_another_build_of_the_library(tmp_path, made):
    models = tmp_path / "models"
    put(made["mlp"], models / "mlp.onnx")
    elsewhere = tmp_path / "elsewhere" / "libmine.so"
    elsewhere.parent.mkdir()
    shutil.copyfile(onnx_models.library(), elsewhere)
    predictor = Onnx(models, "--onnxruntime", elsewhere).start().wait_ready()
    try:
        assert str(elsewhere) in predictor.maps() and "libonnxruntime.so.1.23" not in predictor.maps()
        predictor.exact = True
        x = onnx_models.rows(9, 64)
        same(predictor, onnx_models.session(made["mlp"]).run(None, {"x": x})[0],
             np.array(predictor.infer("mlp", {"x": ("FP32", x)}).json["outputs"][0]["data"], np.float32).reshape(9, 10))
    finally:
        predictor.stop()
    text, other = tmp_path / "text.so", tmp_path / "other.so"
    text.write_text("no library")
    shutil.copyfile(sorted(pathlib.Path("/usr/lib/x86_64-linux-gnu").glob("libz.so.1*"))[0].resolve(), other)
    for option in ("--onnxruntime", "--xgboost"):
        for wrong, words in [(text, "can't be opened"), (other, "has no function"), (tmp_path / "nobody.so", "can't be opened")]:
            run = subprocess.run([MILLRACE, "predictor", "--models", models, option, wrong], capture_output=True, text=True, timeout=60)
            assert run.returncode != 0 and words in run.stderr and str(wrong) in run.stderr, run.stderr


def test_grpc_loads_and_ends(tmp_path, made):
    models = tmp_path / "models"
    put(made["mlp"], models / "mlp.onnx")
    predictor = Onnx(models, "--poll", "0s", "--grpc", "127.0.0.1:0").start().wait_ready()
    try:
        with triton_grpc.InferenceServerClient(predictor.grpc_address()) as client:
            assert client.is_server_ready() and client.is_model_ready("mlp")
            client.unload_model("mlp")
            assert not client.is_model_ready("mlp")
            client.load_model("mlp")
            assert client.is_model_ready("mlp")
            with pytest.raises(InferenceServerException):
                client.load_model("nobody")
        predictor.process.terminate()
        assert predictor.process.wait(20) == 0
    finally:
        predictor.stop()
