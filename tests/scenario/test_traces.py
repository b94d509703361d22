"""[telemetry] otlp: requests and jobs as spans that OpenTelemetry's own definitions can read, with the trace of the caller."""
import base64
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from conftest import MILLRACE, TOP, small_project, wait_for

if os.path.isdir("/python/opentelemetry"):
    sys.path.append("/python")

json_format = pytest.importorskip("google.protobuf.json_format", reason="the packages of tests/clients are not here")
trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="the packages of tests/clients are not here")

ROW = {"a": 0.5, "c": "red"}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE[::-1]}-{PARENT}-00"


def as_hex(field):
    """OTLP's JSON has ids in hexadecimal where protobuf's own reader takes base64: what it read is turned back."""
    return base64.b64encode(field).decode()


class Collector:
    """Takes what is posted to /v1/traces, as opentelemetry-proto defines it; whatever it can't read is an error of the test."""

    def __init__(self, status=200, port=0):
        self.spans, self.wrong, self.status = [], [], status
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json", (self.path, self.headers)
                    request = json_format.Parse(body, trace_service.ExportTraceServiceRequest())
                    if collector.status == 200:
                        for resource in request.resource_spans:
                            source = {one.key: one.value.string_value for one in resource.resource.attributes}
                            collector.spans += [(source, span) for scope in resource.scope_spans for span in scope.spans]
                except Exception as error:  # noqa: BLE001
                    collector.wrong.append(f"{error}: {body[:500]}")
                self.send_response(collector.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, trace):
        """{name: span} of one trace, once its root is there."""
        found = {span.name: span for _, span in list(self.spans) if as_hex(span.trace_id) == trace}
        return found if any(span.kind == 2 for span in found.values()) else None

    def named(self, name):
        return [span for _, span in list(self.spans) if span.name == name]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        assert not self.wrong, self.wrong


@pytest.fixture
def collector():
    one = Collector()
    yield one
    one.stop()


def attributes(span):
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def project(tmp_path, url, sample=0.0, more=""):
    small_project(tmp_path, more=f'[serve]\naccess_log = "all"\n[telemetry]\notlp = "{url}"\nsample = {sample}\n{more}')


def metric(server, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in server.get("/metrics").body.decode().splitlines() if line.startswith(name))


def test_a_request_and_its_parts(servers, tmp_path, collector):
    project(tmp_path, collector.url)
    server = servers().start().wait_ready()
    before = time.time_ns()
    answer = server.post("/predict/small", ROW, headers={"traceparent": SAMPLED})
    after = time.time_ns()
    assert answer.headers["x-request-id"] == TRACE
    spans = wait_for("the trace", lambda: collector.of(TRACE))
    assert set(spans) == {"POST /predict/{model}", "receive", "queue", "parse", "compute", "serialise"}
    root = spans.pop("POST /predict/{model}")
    assert as_hex(root.parent_span_id) == PARENT and root.kind == 2 and root.status.code == 0
    assert before - 10**9 < root.start_time_unix_nano <= root.end_time_unix_nano < after + 10**9
    said = attributes(root)
    assert (said["http.request.method"], said["http.route"], said["url.path"], said["http.response.status_code"]) == ("POST", "/predict/{model}", "/predict/small", 200)
    for span in spans.values():
        assert span.parent_span_id == root.span_id and span.span_id != root.span_id and span.kind == 1
        assert root.start_time_unix_nano - 10**6 <= span.start_time_unix_nano <= span.end_time_unix_nano <= root.end_time_unix_nano + 10**6
    assert attributes(spans["compute"])["millrace.rows"] == 1
    assert len({span.span_id for span in spans.values()}) == 5
    lines = lambda: [json.loads(line) for line in (server.data_dir / "access.log").read_text().splitlines() if TRACE in line]
    assert wait_for("the access log", lines)[0]["trace"] == TRACE
    source = collector.spans[0][0]
    assert source["service.name"] == "millrace" and source["service.version"]
    # What waits for a pool says how long.
    other = TRACE[8:] + TRACE[:8]
    server.get("/api/v1/status", headers={"traceparent": f"00-{other}-{PARENT}-01"})
    assert {"GET /api/v1/status", "queue"} <= set(wait_for("the trace", lambda: collector.of(other)))


def test_who_is_traced(servers, tmp_path, collector):
    """The parent's flag decides; without a parent the share does: here none."""
    project(tmp_path, collector.url)
    server = servers().start().wait_ready()
    for _ in range(20):
        server.post("/predict/small", ROW)
        server.post("/predict/small", ROW, headers={"traceparent": UNSAMPLED})
        server.post("/predict/small", ROW, headers={"traceparent": SAMPLED[:-2] + "zz"})
    server.post("/predict/nobody", ROW, headers={"traceparent": SAMPLED})
    (failed,) = wait_for("the trace", lambda: collector.named("POST /predict/{model}"))
    assert attributes(failed)["http.response.status_code"] == 404 and failed.status.code == 0
    server.stop()
    assert len(collector.named("POST /predict/{model}")) == 1
    text = (tmp_path / "millrace.toml").read_text()
    (tmp_path / "millrace.toml").write_text(text.replace("sample = 0.0", "sample = 1.0"))
    server.start().wait_ready()
    asked = server.post("/predict/small", ROW).headers["x-request-id"]
    assert wait_for("the trace", lambda: collector.of(asked))["POST /predict/{model}"].parent_span_id == b""


def test_jobs_loads_and_swaps(servers, tmp_path, collector):
    project(tmp_path, collector.url, more='[batch.one]\nin = "nothing.csv"\nout = "x.csv"\n')
    server = servers().start().wait_ready()
    server.cli("batch", "run", "one", expect=1)
    for name in ("job ingest", "job train", "job evaluate", "load small", "swap small"):
        (span,) = wait_for(name, lambda: collector.named(name))
        assert span.start_time_unix_nano < span.end_time_unix_nano or name == "swap small", name
        assert span.status.code == 0 and not span.parent_span_id
    (failed,) = wait_for("the batch's span", lambda: collector.named("job batch"))
    assert failed.status.code == 2 and "nothing to answer for" in failed.status.message and attributes(failed)["millrace.job.ended"] == "failed"
    assert len({span.trace_id for _, span in collector.spans}) == len(collector.spans), "each is a trace of its own"


def test_a_collector_that_is_not_there(servers, tmp_path):
    """Answers go on; what was not taken is counted; it is taken again when somebody is there."""
    lost = Collector(status=503)
    port = lost.server.server_address[1]
    project(tmp_path, lost.url, sample=1.0)
    server = servers().start().wait_ready()
    for _ in range(50):
        assert server.post("/predict/small", ROW).status == 200
    wait_for("the count of what was dropped", lambda: metric(server, 'millrace_telemetry_spans_dropped_total{why="not_taken"}') > 50)
    lost.stop()
    for _ in range(50):
        assert server.post("/predict/small", ROW).status == 200
    back = Collector(port=port)
    wait_for("a span", lambda: server.post("/predict/small", ROW) and back.named("POST /predict/{model}"))
    wait_for("the count", lambda: metric(server, "millrace_telemetry_spans_sent_total") > 0)
    assert "spans_not_taken" in (server.data_dir / "millrace.log").read_text() and "spans_taken_again" in (server.data_dir / "millrace.log").read_text()
    server.stop()
    back.stop()


def test_off_is_nothing(servers, tmp_path):
    small_project(tmp_path)
    server = servers().start().wait_ready()
    assert server.post("/predict/small", ROW, headers={"traceparent": SAMPLED}).headers["x-request-id"] == TRACE
    assert "millrace_telemetry" not in server.get("/metrics").body.decode()


def test_grpc_and_predictor(tmp_path, collector):
    grpc = pytest.importorskip("tritonclient.grpc", reason="the packages of tests/clients are not here")
    numpy = pytest.importorskip("numpy")
    sys.path.insert(0, str(TOP / "tests"))
    import xgboost_models
    models = tmp_path / "models"
    models.mkdir()
    xgboost_models.train(models / "m.ubj", 3, 5, 3, count=500)
    with open(tmp_path / "out", "w+") as out:
        process = subprocess.Popen([MILLRACE, "predictor", "--models", models, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--otlp", collector.url, "--otlp-sample", "0"],
                                   stdout=out, stderr=subprocess.STDOUT)
    try:
        said = lambda: (tmp_path / "out").read_text()
        wait_for("the predictor", lambda: "models    1 serves" in said(), 120)
        address = next(line.split()[1] for line in said().splitlines() if line.startswith("grpc"))
        url = next(word for word in said().split() if word.startswith("http://"))
        tensor = grpc.InferInput("input-0", [1, 3], "FP32")
        tensor.set_data_from_numpy(numpy.zeros((1, 3), dtype=numpy.float32))
        client = grpc.InferenceServerClient(address)
        client.infer("m", [tensor], headers={"traceparent": UNSAMPLED})
        client.infer("m", [tensor], headers={"traceparent": SAMPLED})
        spans = wait_for("the trace", lambda: collector.of(TRACE))
        assert set(spans) - {"queue"} == {"inference.GRPCInferenceService/ModelInfer", "parse", "compute", "serialise"}
        said_of = attributes(spans["inference.GRPCInferenceService/ModelInfer"])
        assert (said_of["rpc.system"], said_of["rpc.service"], said_of["rpc.method"]) == ("grpc", "inference.GRPCInferenceService", "ModelInfer")
        other = TRACE[8:] + TRACE[:8]
        body = json.dumps({"inputs": [{"name": "input-0", "datatype": "FP32", "shape": [1, 3], "data": [0, 0, 0]}]}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{url}/v2/models/m/infer", data=body, headers={"traceparent": f"00-{other}-{PARENT}-01"}), timeout=60).read()
        assert {"receive", "compute"} <= set(wait_for("the trace", lambda: collector.of(other)))
        assert wait_for("the load", lambda: collector.named("load m"))
    finally:
        process.terminate()
        process.wait(60)
    assert len(collector.named("inference.GRPCInferenceService/ModelInfer")) == 1
    bad = subprocess.run([MILLRACE, "predictor", "--models", models, "--otlp", "localhost:4318"], capture_output=True, text=True)
    assert bad.returncode != 0 and "no address of a collector" in bad.stderr
