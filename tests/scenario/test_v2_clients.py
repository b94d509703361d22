"""Unmodified tritonclient from PyPI against our server: JSON and its default, binary tensors; the answers are those of /predict, bit for bit.
The packages are in tests/clients/requirements.txt; ./dev test scenario fetches them."""
import asyncio
import os
import re
import subprocess
import sys

import pytest

if os.path.isdir("/python/tritonclient"):
    sys.path.append("/python")  # there it must be whole
else:
    pytest.importorskip("tritonclient.http", reason="tritonclient is fetched by: ./dev test scenario")

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from conftest import TOP, Server, read_csv, write_csv
from test_v2 import NUMBERS, TEXTS, expected, rows, server  # noqa: F401

MISSING = {"missing_text": ""}


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as made:
        yield made


def tensors(rows, binary, column=False):
    made = []
    for name in NUMBERS + TEXTS:
        values = [row[name] for row in rows]
        array = (np.array([v or "" for v in values], dtype=np.object_) if name in TEXTS
                 else np.array([np.nan if v is None else v for v in values], dtype=np.float64))
        array = array.reshape(-1, 1) if column else array
        tensor = triton.InferInput(name, list(array.shape), "BYTES" if name in TEXTS else "FP64")
        tensor.set_data_from_numpy(array, binary_data=binary)
        made.append(tensor)
    return made


def triples(result):
    def texts(array):
        return [each.decode() if isinstance(each, bytes) else each for each in array]
    assert result.as_numpy("probabilities").shape == (len(result.as_numpy("prediction")), 2)
    return list(zip(texts(result.as_numpy("prediction")), result.as_numpy("probability").tolist(), result.as_numpy("probabilities").tolist()))


def asked(binary):
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in ("prediction", "probability", "probabilities")]


def test_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("titanic") and client.is_model_ready("titanic", "1")
    assert not client.is_model_ready("titanik") and not client.is_model_ready("titanic", "99")
    assert client.get_server_metadata()["name"] == "millrace"
    assert {i["name"] for i in client.get_model_metadata("titanic")["inputs"]} == set(NUMBERS + TEXTS)
    assert client.get_model_config("titanic")["name"] == "titanic"


def test_its_default_is_binary_both_ways(client, rows, expected):
    result = client.infer("titanic", tensors(rows, True), request_id="r1", parameters=MISSING)
    assert triples(result) == expected
    answer = result.get_response()
    assert answer["id"] == "r1" and answer["model_version"] == "1"
    assert len(set(answer["parameters"]["prediction_ids"].split(","))) == len(rows)
    assert triples(client.infer("titanic", tensors(rows, True, column=True), model_version="1", parameters=MISSING)) == expected


def test_json(client, rows, expected):
    assert triples(client.infer("titanic", tensors(rows, False), outputs=asked(False), parameters=MISSING)) == expected
    assert triples(client.infer("titanic", tensors(rows, False), outputs=asked(True), parameters=MISSING)) == expected
    assert triples(client.infer("titanic", tensors(rows, True), outputs=asked(False), parameters=MISSING)) == expected


def test_compressed(client, rows, expected):
    for coding in ("gzip", "deflate"):
        assert triples(client.infer("titanic", tensors(rows, True), parameters=MISSING, request_compression_algorithm=coding,
                                    response_compression_algorithm=coding)) == expected


def test_many_at_once(client, rows, expected):
    waiting = [client.async_infer("titanic", tensors(rows, bool(i % 2)), parameters=MISSING) for i in range(20)]
    assert all(triples(each.get_result()) == expected for each in waiting)


def test_asyncio(server, rows, expected):
    async def ask():
        async with triton_aio.InferenceServerClient(server.url.removeprefix("http://")) as client:
            assert await client.is_model_ready("titanic")
            return await asyncio.gather(*[client.infer("titanic", tensors(rows, bool(i % 2)), parameters=MISSING) for i in range(8)])
    assert all(triples(result) == expected for result in asyncio.run(ask()))


@pytest.mark.parametrize("kind", ["float32", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bfloat16"])
def test_datatypes(client, server, rows, kind):
    """Small whole numbers are the same in each datatype."""
    import ml_dtypes
    dtype = ml_dtypes.bfloat16 if kind == "bfloat16" else np.dtype(kind)
    few = [{**row, **{name: int(row[name] or 0) % 100 for name in NUMBERS}} for row in rows[:20]]
    want = [p["probability"] for p in server.post("/predict/titanic", few).json["predictions"]]
    for binary in (True, False):
        if kind in ("float16", "bfloat16") and not binary:
            continue  # the client itself refuses these in JSON
        inputs = [each for each in tensors(few, binary) if each.name() in TEXTS]
        for name in NUMBERS:
            array = np.array([row[name] for row in few]).astype(dtype)
            tensor = triton.InferInput(name, [len(few)], triton_type(dtype))
            tensor.set_data_from_numpy(array, binary_data=binary)
            inputs.append(tensor)
        assert client.infer("titanic", inputs, parameters=MISSING).as_numpy("probability").tolist() == want, (kind, binary)


def triton_type(dtype):
    from tritonclient.utils import np_to_triton_dtype
    return np_to_triton_dtype(dtype)


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    """Three classes, numbers alone, a key."""
    folder = tmp_path_factory.mktemp("iris")
    table = read_csv("iris.csv.gz")
    write_csv(folder / "data.csv", [["flower", *table[0]]] + [[f"f{i}", *row] for i, row in enumerate(table[1:])])
    (folder / "millrace.toml").write_text('[project]\nname = "iris"\n[source.data]\nuri = "file:data.csv"\nkey = "flower"\n[model]\n'
                                          f'target = "data.{table[0][-1]}"\ntrainer = {{ name = "boosted-trees", rounds = 10 }}\n[gates]\n"accuracy" = ">= 0.5"\n')
    made = Server(folder).start().wait_ready()
    yield made, table[0][:-1], [[float(x) for x in row[:-1]] for row in table[1:]]
    made.stop()


def test_a_matrix_and_many_classes(iris):
    server, names, numbers = iris
    client = triton.InferenceServerClient(server.url.removeprefix("http://"))
    about = client.get_model_metadata("iris")
    assert about["parameters"]["matrix_input"] == "input-0" and [i["name"] for i in about["inputs"]] == names
    assert about["outputs"][2]["shape"] == [-1, 3] and about["parameters"]["key_input"] == "flower"
    rows = [{"flower": f"f{i}", **dict(zip(names, row))} for i, row in enumerate(numbers)]
    want = server.post("/predict/iris", rows).json["predictions"]
    assert list(want[0]["probabilities"]) == [about["parameters"][f"class.{i}"] for i in range(3)]
    key = triton.InferInput("flower", [len(rows)], "BYTES")
    key.set_data_from_numpy(np.array([f"v2-{i}" for i in range(len(rows))], dtype=np.object_))
    for kind, dtype in (("FP64", np.float64), ("FP32", np.float32)):
        matrix = triton.InferInput("input-0", [len(rows), len(names)], kind)
        matrix.set_data_from_numpy(np.array(numbers, dtype=dtype))
        for inputs in ([matrix], [key, matrix]):
            got = client.infer("iris", inputs)
            assert got.as_numpy("probabilities").tolist() == [list(p["probabilities"].values()) for p in want], kind
            assert [each.decode() for each in got.as_numpy("prediction")] == [p["prediction"] for p in want]
    segments = [file.read_bytes() for file in (server.data_dir / "log").rglob("*") if file.is_file()]
    assert any(b"v2-149" in segment for segment in segments), "the key is logged with its row"
    matrix = triton.InferInput("input-0", [len(names), len(rows)], "FP64")
    matrix.set_data_from_numpy(np.array(numbers, dtype=np.float64).T)
    with pytest.raises(InferenceServerException, match="columns"):
        client.infer("iris", [matrix])


def test_mistakes_are_told(client, rows):
    age = triton.InferInput("age", [1], "BYTES")
    age.set_data_from_numpy(np.array(["22"], dtype=np.object_))
    with pytest.raises(InferenceServerException, match="age") as told:
        client.infer("titanic", [age])
    assert told.value.status() == "400"
    with pytest.raises(InferenceServerException, match="titanik") as told:
        client.infer("titanik", tensors(rows[:1], True))
    assert told.value.status() == "404"
    with pytest.raises(InferenceServerException, match="99") as told:
        client.infer("titanic", tensors(rows[:1], True), model_version="99")
    assert told.value.status() == "404"
    with pytest.raises(InferenceServerException, match="output") as told:
        client.infer("titanic", tensors(rows[:1], True), outputs=[triton.InferRequestedOutput("label")], parameters=MISSING)
    assert told.value.status() == "400"


def test_the_repository(client):
    assert client.get_model_repository_index() == [{"name": "titanic", "version": "1", "state": "READY", "reason": ""}]
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="millrace") as told:
            call("titanic")
        assert told.value.status() == "409"


def test_statistics_and_settings(client, rows):
    before = client.get_inference_statistics("titanic")["model_stats"][0]
    client.infer("titanic", tensors(rows[:3], True), parameters=MISSING)
    after = client.get_inference_statistics("titanic", "1")["model_stats"][0]
    assert (after["inference_count"] - before["inference_count"], after["execution_count"] - before["execution_count"]) == (3, 1)
    assert client.get_trace_settings()["trace_level"] == ["OFF"] and client.update_trace_settings("titanic", {"trace_level": ["OFF"]})
    assert client.update_log_settings({"log_info": True}) == client.get_log_settings()
    with pytest.raises(InferenceServerException, match="log_verbose_level") as told:
        client.update_log_settings({"log_verbose_level": 3})
    assert told.value.status() == "400"


def test_the_guides_examples_run(server):
    text = (TOP / "docs" / "guide" / "inference_protocol.md").read_text().replace("localhost:7070", server.url.removeprefix("http://"))
    code = re.findall(r"```python\n(.*?)```", text, re.S)[0]  # the other: test_v2_grpc.py
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "/python" if os.path.isdir("/python") else ""},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("[b'0' b'1'] [0.") and lines[1].count("', '") == 1, lines
    (code,) = re.findall(r"```sh\n(.*?)```", text, re.S)
    done = subprocess.run(["sh", "-e", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and '"outputs":[{"name":"probability","datatype":"FP64","shape":[1],"data":[0.' in done.stdout, done
