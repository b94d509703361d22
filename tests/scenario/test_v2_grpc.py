"""Unmodified tritonclient.grpc against our server: its answers are those of /predict and of the protocol over HTTP, bit for bit; whatever is
wrong with a request is refused with the right status, and the server stays up. The packages are in tests/clients/requirements.txt."""
import asyncio
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

if os.path.isdir("/python/tritonclient/grpc") and os.path.isdir("/python/grpc"):
    sys.path.append("/python")  # there it must be whole
else:
    pytest.importorskip("tritonclient.grpc", reason="tritonclient is fetched by: ./dev test scenario")

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from conftest import DATA, TOP, Server, read_csv, wait_for, write_csv
from test_v2 import NUMBERS, TEXTS, expected, infer as infer_http, rows  # noqa: F401

MISSING = {"missing_text": ""}
PROTO = TOP / "src/api/v2/inference.proto"


def titanic(folder, profile=""):
    if not DATA.is_dir():
        pytest.skip("the public data sets are not beside the checkout (MILLRACE_SHARED)")
    table = read_csv("titanic.csv.gz")
    head = [name.lower() for name in table[0]]
    keep = [head.index(name) for name in ["survived", *NUMBERS, *TEXTS]]
    write_csv(folder / "data.csv", [["survived", *NUMBERS, *TEXTS]] + [[row[i] for i in keep] for row in table[1:]])
    (folder / "millrace.toml").write_text('[project]\nname = "titanic"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.survived"\n'
                                          'trainer = { name = "boosted-trees", rounds = 20 }\n[gates]\n"auc" = ">= 0.6"\n' + profile)
    return folder


def address(server):
    return (server.data_dir / "grpc_address").read_text().strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = titanic(tmp_path_factory.mktemp("v2_grpc"), '[profile.default]\ngrpc = "127.0.0.1:0"\n')
    made = Server(folder).start().wait_ready()
    yield made
    made.stop()


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(address(server)) as made:
        yield made


@pytest.fixture
def stub(server):
    with grpc.insecure_channel(address(server)) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def tensors(rows, column=False):
    made = []
    for name in NUMBERS + TEXTS:
        values = [row[name] for row in rows]
        array = (np.array([v or "" for v in values], dtype=np.object_) if name in TEXTS
                 else np.array([np.nan if v is None else v for v in values], dtype=np.float64))
        array = array.reshape(-1, 1) if column else array
        tensor = triton.InferInput(name, list(array.shape), "BYTES" if name in TEXTS else "FP64")
        tensor.set_data_from_numpy(array)
        made.append(tensor)
    return made


def triples(result):
    def texts(array):
        return [each.decode() if isinstance(each, bytes) else each for each in array]
    assert result.as_numpy("probabilities").shape == (len(result.as_numpy("prediction")), 2)
    return list(zip(texts(result.as_numpy("prediction")), result.as_numpy("probability").tolist(), result.as_numpy("probabilities").tolist()))


def message(rows, **more):
    """A request by hand, with typed contents."""
    out = service_pb2.ModelInferRequest(model_name="titanic", **more)
    out.parameters["missing_text"].string_param = ""
    for name in NUMBERS + TEXTS:
        tensor = out.inputs.add(name=name, datatype="BYTES" if name in TEXTS else "FP64", shape=[len(rows)])
        values = [row[name] for row in rows]
        if name in TEXTS:
            tensor.contents.bytes_contents.extend([(v or "").encode() for v in values])
        else:
            tensor.contents.fp64_contents.extend([float("nan") if v is None else v for v in values])
    return out


def refusal(call, *arguments, **more):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **more)
    return caught.value


def test_health_metadata_and_repository(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("titanic") and client.is_model_ready("titanic", "1")
    assert not client.is_model_ready("titanik") and not client.is_model_ready("titanic", "99") and not client.is_model_ready("titanic", "x")
    assert client.get_server_metadata().name == "millrace"
    metadata = client.get_model_metadata("titanic")
    assert {i.name for i in metadata.inputs} == set(NUMBERS + TEXTS) and list(metadata.versions) == ["1"]
    assert {o.name: list(o.shape) for o in metadata.outputs} == {"prediction": [-1], "probability": [-1], "probabilities": [-1, 2]}
    config = client.get_model_config("titanic").config
    assert config.name == "titanic" and config.max_batch_size == 0 and config.backend == "millrace"
    assert {i.name: model_config_pb2.DataType.Name(i.data_type) for i in config.input}["sex"] == "TYPE_STRING"
    index = client.get_model_repository_index().models
    assert [(m.name, m.version, m.state) for m in index] == [("titanic", "1", "READY")]
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="millrace (promote|rollback)") as refused:
            call("titanic")
        assert refused.value.status() == "StatusCode.FAILED_PRECONDITION"
        with pytest.raises(InferenceServerException) as refused:
            call("titanik")
        assert refused.value.status() == "StatusCode.NOT_FOUND"


def test_grpcs_own_health_service(server):
    with grpc.insecure_channel(address(server)) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        service = b"inference.GRPCInferenceService"
        assert check(b"") == check(b"\x0a" + bytes([len(service)]) + service) == b"\x08\x01"
        assert refusal(check, b"\x0a\x01x").code() == grpc.StatusCode.NOT_FOUND


def test_metadata_is_that_of_http(client, server):
    def of(tensors):
        return [(t.name, t.datatype, list(t.shape)) for t in tensors]
    metadata, told = client.get_model_metadata("titanic"), server.get("/v2/models/titanic").json
    assert (metadata.platform, list(metadata.versions)) == (told["platform"], told["versions"])
    for kind, found in (("inputs", metadata.inputs), ("outputs", metadata.outputs)):
        assert of(found) == [(t["name"], t["datatype"], t["shape"]) for t in told[kind]]
    config, told = client.get_model_config("titanic", as_json=True)["config"], server.get("/v2/models/titanic/config").json
    for kind in ("input", "output"):
        assert [(t["name"], t["data_type"], t.get("optional", False)) for t in config[kind]] == \
            [(t["name"], t["data_type"], t.get("optional", False)) for t in told[kind]]
    assert list(client.get_server_metadata().extensions) == server.get("/v2").json["extensions"]


def test_answers_are_those_of_http(client, rows, expected):
    result = client.infer("titanic", tensors(rows), request_id="r1", parameters=MISSING)
    assert triples(result) == expected
    answer = result.get_response()
    assert (answer.id, answer.model_name, answer.model_version) == ("r1", "titanic", "1")
    ids = answer.parameters["prediction_ids"].string_param.split(",")
    assert len(set(ids)) == len(rows) and "logged" not in answer.parameters
    assert triples(client.infer("titanic", tensors(rows, column=True), model_version="1", parameters=MISSING)) == expected
    some = client.infer("titanic", tensors(rows), parameters=MISSING, outputs=[triton.InferRequestedOutput("prediction_id"), triton.InferRequestedOutput("probability")])
    assert [o.name for o in some.get_response().outputs] == ["prediction_id", "probability"] and len(some.as_numpy("prediction_id")) == len(rows)
    assert some.as_numpy("probability").tolist() == [e[1] for e in expected]


def test_typed_contents(stub, rows, expected):
    """What clients without numpy send; they get the answer in the same form."""
    answer = stub.ModelInfer(message(rows))
    found = {o.name: o.contents for o in answer.outputs}
    assert not answer.raw_output_contents
    assert [c.decode() for c in found["prediction"].bytes_contents] == [e[0] for e in expected]
    assert list(found["probability"].fp64_contents) == [e[1] for e in expected]
    assert list(found["probabilities"].fp64_contents) == [p for e in expected for p in e[2]]
    asked = message(rows)
    asked.parameters["binary_data_output"].bool_param = True
    assert len(stub.ModelInfer(asked).raw_output_contents) == 3


@pytest.mark.parametrize("datatype, member", [("INT8", "int_contents"), ("INT16", "int_contents"), ("INT32", "int_contents"), ("INT64", "int64_contents"), ("UINT8", "uint_contents"),
                                              ("UINT16", "uint_contents"), ("UINT32", "uint_contents"), ("UINT64", "uint64_contents"), ("FP32", "fp32_contents"), ("FP64", "fp64_contents")])
def test_typed_datatypes(stub, server, rows, datatype, member):
    few = [{**row, **{name: int(row[name] or 0) % 100 for name in NUMBERS}} for row in rows[:20]]
    want = [p["probability"] for p in server.post("/predict/titanic", few).json["predictions"]]
    asked = message(few)
    for tensor in asked.inputs:
        if tensor.name in NUMBERS:
            tensor.datatype = datatype
            values = [int(v) for v in tensor.contents.fp64_contents]
            tensor.ClearField("contents")
            getattr(tensor.contents, member).extend(values)
    answer = stub.ModelInfer(asked)
    assert [list(o.contents.fp64_contents) for o in answer.outputs if o.name == "probability"] == [want]


def test_compressed_and_many_at_once(client, rows, expected):
    for coding in ("gzip", "deflate"):
        assert triples(client.infer("titanic", tensors(rows), parameters=MISSING, compression_algorithm=coding)) == expected
    answers = queue.Queue()
    for _ in range(40):
        client.async_infer("titanic", tensors(rows), lambda result, error: answers.put((result, error)), parameters=MISSING)
    for _ in range(40):
        result, error = answers.get(timeout=60)
        assert error is None and triples(result) == expected


def test_asyncio(server, rows, expected):
    async def ask():
        async with triton_aio.InferenceServerClient(address(server)) as client:
            assert await client.is_model_ready("titanic")
            return await asyncio.gather(*[client.infer("titanic", tensors(rows), parameters=MISSING) for _ in range(8)])
    assert all(triples(result) == expected for result in asyncio.run(ask()))


def test_stream(client, rows, expected):
    """One answer for each request, in their order; a mistake is an answer and does not end the stream."""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for i in range(20):
        client.async_stream_infer("titanik" if i % 5 == 4 else "titanic", tensors(rows[i:i + 1]), request_id=f"s{i}", parameters=MISSING, enable_empty_final_response=True)
    for i in range(20):
        result, error = answers.get(timeout=60)
        if i % 5 == 4:
            assert "no model 'titanik'" in str(error)
            continue
        assert error is None and result.get_response().id == f"s{i}" and triples(result) == expected[i:i + 1]
        assert result.get_response().parameters["triton_final_response"].bool_param
    client.stop_stream()


def test_refusals(stub, server, rows):
    """Everything that can be wrong with a request; what HTTP refuses too is refused with the same words."""
    def changed(change):
        asked = message(rows[:2])
        change(asked)
        return asked

    def first(**members):
        def change(asked):
            for name, value in members.items():
                if name == "shape":
                    asked.inputs[0].shape[:] = value
                else:
                    setattr(asked.inputs[0], name, value)
        return change

    def raw(pieces):
        def change(asked):
            for tensor in asked.inputs:
                tensor.ClearField("contents")
            asked.raw_input_contents.extend(pieces)
        return change

    def contents(member, values):
        def change(asked):
            asked.inputs[0].ClearField("contents")
            getattr(asked.inputs[0].contents, member).extend(values)
        return change

    def parameter(name, **value):
        return lambda asked: asked.parameters[name].MergeFrom(service_pb2.InferParameter(**value))

    cases = [
        ("NOT_FOUND", "serve.no_model", lambda a: setattr(a, "model_name", "titanik")),
        ("NOT_FOUND", "serve.no_model", lambda a: setattr(a, "model_name", "")),
        ("NOT_FOUND", "serve.not_loaded", lambda a: setattr(a, "model_version", "99")),
        ("NOT_FOUND", "v2.no_version", lambda a: setattr(a, "model_version", "one")),
        ("INVALID_ARGUMENT", "v2.bad_request", lambda a: a.ClearField("inputs")),
        ("INVALID_ARGUMENT", "v2.bad_request", first(name="")),
        ("INVALID_ARGUMENT", "v2.bad_request", first(name="age")),
        ("INVALID_ARGUMENT", "v2.bad_request", first(datatype="")),
        ("INVALID_ARGUMENT", "v2.bad_request", first(shape=[])),
        ("INVALID_ARGUMENT", "v2.bad_request", parameter("missing_text", bool_param=True)),
        ("INVALID_ARGUMENT", "v2.bad_datatype", first(datatype="FP80")),
        ("INVALID_ARGUMENT", "v2.unknown_input", first(name="pclas")),
        ("INVALID_ARGUMENT", "v2.bad_shape", first(shape=[-1])),
        ("INVALID_ARGUMENT", "v2.bad_shape", first(shape=[2, 2])),
        ("INVALID_ARGUMENT", "v2.bad_shape", first(shape=[2, 1, 1])),
        ("INVALID_ARGUMENT", "v2.bad_shape", first(shape=[2, 0])),
        ("INVALID_ARGUMENT", "v2.no_rows", first(shape=[0])),
        ("INVALID_ARGUMENT", "v2.too_many_rows", first(shape=[1 << 62])),
        ("INVALID_ARGUMENT", "v2.too_many_rows", first(shape=[10_001])),
        ("INVALID_ARGUMENT", "v2.bad_data", first(shape=[3])),
        ("INVALID_ARGUMENT", "v2.bad_data", first(datatype="FP32")),
        ("INVALID_ARGUMENT", "v2.bad_data", first(datatype="FP16")),
        ("INVALID_ARGUMENT", "v2.bad_data", contents("fp64_contents", [1.0, 2.0, 3.0])),
        ("INVALID_ARGUMENT", "v2.bad_data", contents("fp64_contents", [1.0])),
        ("INVALID_ARGUMENT", "v2.bad_data", contents("fp64_contents", [1.0, float("inf")])),
        ("INVALID_ARGUMENT", "v2.bad_data", contents("int_contents", [1, 2])),
        ("INVALID_ARGUMENT", "v2.bad_data", lambda a: (first(datatype="INT8")(a), contents("int_contents", [1, 128])(a))),
        ("INVALID_ARGUMENT", "v2.bad_data", lambda a: (first(datatype="UINT8")(a), contents("uint_contents", [1, 256])(a))),
        ("INVALID_ARGUMENT", "v2.bad_data", lambda a: a.inputs[0].ClearField("contents")),
        ("INVALID_ARGUMENT", "v2.bad_data", lambda a: a.raw_input_contents.extend([b""])),
        ("INVALID_ARGUMENT", "v2.bad_data", raw([b"\0" * 16])),
        ("INVALID_ARGUMENT", "v2.bad_data", raw([b"\0" * 16] * 4 + [b"\0" * 15] + [b"\0" * 8] * 2)),
        ("INVALID_ARGUMENT", "v2.bad_data", raw([b"\0" * 16] * 5 + [b"\xff\xff\xff\xff"] * 2)),
        ("INVALID_ARGUMENT", "v2.too_many_inputs", lambda a: [a.inputs.add(name=f"more-{i}", datatype="FP64", shape=[2]) for i in range(10)]),
        ("INVALID_ARGUMENT", "v2.not_offered", lambda a: a.inputs[0].parameters["shared_memory_region"].MergeFrom(service_pb2.InferParameter(string_param="x"))),
        ("INVALID_ARGUMENT", "v2.not_offered", lambda a: a.outputs.add(name="prediction").parameters["classification"].MergeFrom(service_pb2.InferParameter(int64_param=2))),
        ("INVALID_ARGUMENT", "v2.unknown_output", lambda a: a.outputs.add(name="predictions")),
        ("INVALID_ARGUMENT", "v2.unknown_output", lambda a: (a.outputs.add(name="prediction"), a.outputs.add(name="prediction"))),
    ]
    for status, reason, change in cases:
        asked = changed(change)
        error = refusal(stub.ModelInfer, asked)
        assert (error.code().name, dict(error.trailing_metadata()).get("reason")) == (status, reason), (asked, error)
        assert error.details()
        streamed = list(stub.ModelStreamInfer(iter([asked])))
        assert [s.error_message for s in streamed] == [error.details()]
    said = infer_http(server, {"inputs": [{"name": "pclas", "datatype": "FP64", "shape": [1], "data": [1]}]}).json["error"]
    assert refusal(stub.ModelInfer, changed(first(name="pclas"))).details() == said
    assert stub.ModelInfer(message(rows[:2])).model_version == "1"


def test_bytes_that_are_no_message(server):
    with grpc.insecure_channel(address(server)) as channel:
        for method in ("ModelInfer", "ModelMetadata", "ModelReady", "RepositoryIndex"):
            call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
            for garbage in (b"\xff\xff\xff", b"\x0a\xff\x01x", b"\x0a\x02\xff\xfe", b"\x0b\x0c"):
                error = refusal(call, garbage)
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, (method, garbage, error)
        assert refusal(channel.unary_unary("/inference.GRPCInferenceService/Elsewhere"), b"").code() == grpc.StatusCode.UNIMPLEMENTED
        assert refusal(channel.unary_unary("/inference.GRPCInferenceService/ModelInfer"), b"\0" * (17 << 20)).code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_wrong_bytes_on_the_port_do_no_harm(server, stub, rows):
    host, port = address(server).split(":")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for data in (b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 5000, os.urandom(5000), preface + b"\0\0\x12\x04", preface + os.urandom(2000),
                 preface + b"\0\0\0\x04\0\0\0\0\0" + b"\xff\xff\xff\x01\x25\0\0\0\x01" + b"x" * 100, b""):
        with socket.create_connection((host, int(port)), timeout=10) as wrong:
            wrong.sendall(data)
            wrong.shutdown(socket.SHUT_WR)
            wrong.settimeout(10)
            try:
                while wrong.recv(4096):
                    pass
            except OSError:
                pass
    assert stub.ModelInfer(message(rows[:1])).model_version == "1"
    assert server.get("/readyz").status == 200


def test_statistics_are_those_of_http(client, server, rows):
    before = server.get("/v2/models/titanic/stats").json["model_stats"][0]
    client.infer("titanic", tensors(rows[:3]), parameters=MISSING)
    with pytest.raises(InferenceServerException):
        client.infer("titanic", tensors(rows[:3])[:1], parameters=MISSING, outputs=[triton.InferRequestedOutput("nothing")])
    told = server.get("/v2/models/titanic/stats").json["model_stats"][0]
    assert told["inference_count"] - before["inference_count"] == 3
    assert told["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 1
    found = client.get_inference_statistics("titanic").model_stats
    assert [(m.name, m.version, m.inference_count, m.execution_count, m.last_inference) for m in found] == [
        ("titanic", "1", told["inference_count"], told["execution_count"], told["last_inference"])]
    for part, duration in told["inference_stats"].items():
        of = getattr(found[0].inference_stats, part)
        assert (of.count, of.ns) == (duration["count"], duration["ns"]), part
    assert client.get_inference_statistics() == client.get_inference_statistics("titanic", "1")
    with pytest.raises(InferenceServerException) as refused:
        client.get_inference_statistics("titanik")
    assert refused.value.status() == "StatusCode.NOT_FOUND"


def test_settings(client):
    assert list(client.get_trace_settings().settings["trace_level"].value) == ["OFF"]
    assert client.update_trace_settings("titanic", {"trace_level": ["OFF"], "trace_rate": None}) == client.get_trace_settings()
    assert client.get_log_settings().settings["log_error"].bool_param
    assert client.update_log_settings({"log_info": True, "log_verbose_level": 0, "log_format": "default"}) == client.get_log_settings()
    for call in (lambda: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}), lambda: client.update_log_settings({"log_verbose_level": 2}),
                 lambda: client.update_log_settings({"log_infos": True})):
        with pytest.raises(InferenceServerException, match="trace_level|log_verbose_level|log_infos") as refused:
            call()
        assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_the_proto_file_is_that_of_others(tmp_path):
    """Each message, field, number and method of inference.proto is the one that tritonclient has, and of the service's own messages none is missing."""
    from google.protobuf import descriptor_pb2
    subprocess.run(["protoc", f"--proto_path={PROTO.parent}", f"--descriptor_set_out={tmp_path}/ours", PROTO.name], check=True)
    ours = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "ours").read_bytes()).file[0]
    theirs = [descriptor_pb2.FileDescriptorProto.FromString(each.DESCRIPTOR.serialized_pb) for each in (service_pb2, model_config_pb2)]

    def fields(message):
        return {f.name: (f.number, f.type, f.label, f.type_name, [o.name for o in message.oneof_decl][f.oneof_index] if f.HasField("oneof_index") else None) for f in message.field}

    def compare(mine, other, whole):
        for name, field in fields(mine).items():
            assert fields(other).get(name) == field, (mine.name, name)
        assert not whole or fields(mine).keys() == fields(other).keys(), mine.name
        nested = {each.name: each for each in other.nested_type}
        assert not whole or nested.keys() == {each.name for each in mine.nested_type}, mine.name
        for each in mine.nested_type:
            compare(each, nested[each.name], whole)
    service = {each.name: each for each in theirs[0].message_type}
    config = {each.name: each for each in theirs[1].message_type}
    for each in ours.message_type:
        compare(each, service.get(each.name) or config[each.name], each.name in service)
    assert service.keys() <= {each.name for each in ours.message_type}
    for each in ours.enum_type:
        assert list(each.value) == list({e.name: e for e in theirs[1].enum_type}[each.name].value)
    assert [(m.name, m.input_type, m.output_type, m.client_streaming, m.server_streaming) for m in ours.service[0].method] == \
        [(m.name, m.input_type, m.output_type, m.client_streaming, m.server_streaming) for m in theirs[0].service[0].method]
    assert ours.package == theirs[0].package and ours.service[0].name == theirs[0].service[0].name


def test_the_guides_example_runs(server):
    text = (TOP / "docs" / "guide" / "inference_protocol.md").read_text().replace("localhost:8001", address(server))
    code = re.findall(r"```python\n(.*?)```", text, re.S)[1]
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "/python" if os.path.isdir("/python") else ""},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("[b'1'] [0.") and len(lines[1]) > 10, lines


def test_shared_memory_is_refused_clearly(client):
    assert not client.get_system_shared_memory_status().regions and not client.get_cuda_shared_memory_status().regions
    with pytest.raises(InferenceServerException, match="raw_input_contents") as refused:
        client.register_system_shared_memory("a", "/a", 100)
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"
    client.unregister_system_shared_memory()


def test_it_costs_nothing_when_nobody_asked(tmp_path):
    """No library is loaded, nothing listens."""
    def maps(made):
        return open(f"/proc/{made.process.pid}/maps").read()
    made = Server(titanic(tmp_path)).start()
    try:
        assert "libgrpc" not in maps(made) and "libprotobuf" not in maps(made)
        assert not (made.data_dir / "grpc_address").exists()
        made.stop()
        made = Server(tmp_path, "--grpc", "127.0.0.1:0").start()
        assert "libgrpc" in maps(made)
        with triton.InferenceServerClient(address(made)) as client:
            assert client.is_server_live()
        made.stop()
        assert not (made.data_dir / "grpc_address").exists()
    finally:
        made.stop()


def test_the_token(tmp_path):
    """Off loopback every call but health needs it; on loopback a wrong one is refused too."""
    made = Server(titanic(tmp_path), "--grpc", "0.0.0.0:0", "--no-worker").start()
    try:
        where = "127.0.0.1:" + address(made).rsplit(":", 1)[1]
        token = (made.data_dir / "token").read_text().strip()
        with triton.InferenceServerClient(where) as client:
            assert client.is_server_live()
            for headers, fine in ((None, False), ({"authorization": "Bearer wrong"}, False), ({"authorization": token}, False), ({"authorization": f"Bearer {token}"}, True)):
                for call in (client.get_server_metadata, client.get_model_repository_index):
                    if fine:
                        call(headers=headers)
                        continue
                    with pytest.raises(InferenceServerException) as refused:
                        call(headers=headers)
                    assert refused.value.status() == "StatusCode.UNAUTHENTICATED"
        with grpc.insecure_channel(where) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert refusal(lambda: list(stub.ModelStreamInfer(iter([service_pb2.ModelInferRequest(model_name="titanic")])))).code() == grpc.StatusCode.UNAUTHENTICATED
        assert made.get("/v2").status == 200  # HTTP is still on loopback
    finally:
        made.stop()


def test_a_taken_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made = Server(titanic(tmp_path), "--grpc", f"127.0.0.1:{taken.getsockname()[1]}", "--no-worker").start(wait=False)
        assert made.process.wait(60) != 0
        assert "--grpc" in made.log() and "taken" in made.log()


class Asking(threading.Thread):
    """Asks without a pause, in one stream or by calls of their own; what was answered and what failed."""

    def __init__(self, where, row, stream):
        super().__init__()
        self.where, self.row, self.stream = where, row, stream
        self.enough, self.answers, self.failures = threading.Event(), [], []

    def run(self):
        with grpc.insecure_channel(self.where, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            asked = message([self.row])
            try:
                if not self.stream:
                    while not self.enough.is_set():
                        self.answers.append(stub.ModelInfer(asked, timeout=30).model_version)
                    return
                turn = threading.Semaphore(1)

                def requests():
                    while not self.enough.is_set():
                        turn.acquire(timeout=60)
                        yield asked
                for answer in stub.ModelStreamInfer(requests()):
                    assert not answer.error_message, answer
                    self.answers.append(answer.infer_response.model_version)
                    turn.release()
            except grpc.RpcError as error:
                self.failures.append(error)


def test_a_swap_under_eight_streams(tmp_path, rows):
    """Version and baseline take turns while eight streams and four callers ask: no call fails, and both versions answer."""
    made = Server(titanic(tmp_path, '[profile.default]\ngrpc = "127.0.0.1:0"\n')).start().wait_ready()
    try:
        made.cli("promote", "titanic:baseline")
        asking = [Asking(address(made), rows[0], stream=i < 8) for i in range(12)]
        for each in asking:
            each.start()
        for turn in range(20):
            before = [len(each.answers) for each in asking]
            assert made.post("/api/v1/models/titanic/rollback", {"reason": "a test of swapping"}).json["changed"]
            wait_for("answers of all", lambda: all(each.failures or len(each.answers) > b + 3 for each, b in zip(asking, before)))
        for each in asking:
            each.enough.set()
        for each in asking:
            each.join(60)
        assert not any(each.failures for each in asking), [each.failures for each in asking if each.failures]
        assert all(set(each.answers) == {"0", "1"} for each in asking), [set(each.answers) for each in asking]
    finally:
        made.stop()


def test_stop_drains(tmp_path, rows):
    """SIGTERM under load: what was asked is answered, a quiet stream is ended with UNAVAILABLE, and the process goes at once."""
    made = Server(titanic(tmp_path, '[profile.default]\ngrpc = "127.0.0.1:0"\n')).start().wait_ready()
    with grpc.insecure_channel(address(made)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        enough = threading.Event()

        def requests():
            yield message(rows[:1])
            enough.wait(60)
        stream = stub.ModelStreamInfer(requests())
        assert not next(stream).error_message
        began = time.monotonic()
        made.stop()
        assert time.monotonic() - began < 8
        with pytest.raises(grpc.RpcError) as ended:
            next(stream)
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        enough.set()
    assert made.process.returncode == 0


def test_stop_under_load_answers_what_was_asked(tmp_path, rows):
    """Callers see answers, then UNAVAILABLE, which clients try elsewhere. The library cancels a call that reaches it in the moment of its end."""
    made = Server(titanic(tmp_path, '[profile.default]\ngrpc = "127.0.0.1:0"\n')).start().wait_ready()
    asking = [Asking(address(made), rows[0], stream=i < 4) for i in range(8)]
    for each in asking:
        each.start()
    wait_for("answers", lambda: all(len(each.answers) > 20 for each in asking))
    began = time.monotonic()
    made.process.send_signal(signal.SIGTERM)
    wait_for("the callers' ends", lambda: all(each.failures for each in asking if not each.stream), 30)
    assert made.process.wait(30) == 0 and time.monotonic() - began < 9  # the deadline, at which all is cut, is at 10 s
    for each in asking:
        each.enough.set()
        each.join(60)
        codes = {failure.code() for failure in each.failures}
        assert codes <= {grpc.StatusCode.UNAVAILABLE} | (set() if each.stream else {grpc.StatusCode.CANCELLED}), each.failures


def test_a_compressed_message_has_the_same_bound(server, stub, rows):
    """A few hundred kB that inflate to 300 MB are refused, and never in memory."""
    def peak_mb():
        return int(next(line for line in open(f"/proc/{server.process.pid}/status") if line.startswith("VmHWM")).split()[1]) // 1024
    before = peak_mb()
    with grpc.insecure_channel(address(server)) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for coding in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            error = refusal(call, bytes(300 << 20), compression=coding, timeout=60)
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
    assert peak_mb() - before < 100
    assert stub.ModelInfer(message(rows[:2]), compression=grpc.Compression.Gzip).model_version == "1"


def test_deadline(stub, rows):
    """The last one here: what was given up is computed to its end, and counted."""
    many = message((rows * 40)[:20000])  # a single row is answered within the millisecond that the client's clock counts in
    assert refusal(stub.ModelInfer, many, timeout=0.001).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.ModelInfer(message(rows[:1]), timeout=30)
