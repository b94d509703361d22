"""TLS: HTTP and gRPC with Python's own ssl and unmodified clients; wrong, expired and replaced certificates; clients that do not mean it."""
import concurrent.futures
import json
import os
import socket
import ssl
import subprocess
import sys
import time

import pytest

import test_predictor
from test_predictor import xgboost_models
from conftest import MILLRACE, Server, small_project, wait_for

SECONDS = 120
BEFORE_IDLE = 50  # what is idle for a minute goes anyhow: here something else must have ended it
ROW = json.dumps({"a": 0.9, "c": "red"}).encode()
HELLO = bytes([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]) + b"r" * 32  # a ClientHello's beginning


def openssl(*words, cwd):
    done = subprocess.run(["openssl", *[str(word) for word in words]], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Authority:
    """A certificate authority in a folder, and what it signs."""

    def __init__(self, folder, name="Test CA"):
        self.folder = folder
        self.file = folder / "ca.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", self.file, "-days", "30",
                "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign", cwd=folder)

    def sign(self, certificate, key, names="DNS:localhost,IP:127.0.0.1", begins=None, ends=None):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", "one.csr", "-subj", "/CN=localhost", cwd=self.folder)
        (self.folder / "one.ext").write_text(f"subjectAltName={names}\n")
        days = ["-not_before", begins, "-not_after", ends] if ends else ["-days", "90"]
        openssl("x509", "-req", "-in", "one.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "one.ext", "-out", certificate, *days, cwd=self.folder)
        os.chmod(self.folder / key, 0o600)

    def context(self):
        return ssl.create_default_context(cafile=self.file)


def project(folder, grpc=True, certificate="cert.pem", key="key.pem"):
    small_project(folder, more=f'[profile.default]\ntls = {{ certificate = "{certificate}", key = "{key}" }}\n' + ('grpc = "127.0.0.1:0"\n' if grpc else ""))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.sign("cert.pem", "key.pem")
    project(folder)
    made = Server(folder, env={"MILLRACE_HTTP_LIMITS": "handshake=2s,head=2s,body=2s"})
    made.authority, made.context = authority, authority.context()
    made.start().wait_ready()
    yield made
    made.stop()


def port_of(server):
    return int(server.url.rsplit(":", 1)[1])


def grpc_port(server):
    return int((server.data_dir / "grpc_address").read_text().strip().rsplit(":", 1)[1])


def plain(port):
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


def connect(server, context=None, name="localhost", port=None):
    return (context or server.context).wrap_socket(plain(port or port_of(server)), server_hostname=name)


def read_all(connection):
    text = b""
    try:
        while piece := connection.recv(65536):
            text += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return text


def exchange(connection, text):
    connection.sendall(text)
    return read_all(connection)


def post(path="/predict/small", body=ROW, more=""):
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def closed(connection):
    """Whether the other side ended it, told without waiting."""
    connection.setblocking(False)
    try:
        return connection.recv(65536) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


# ---- it works


def test_it_answers_over_tls(server):
    assert server.url.startswith("https://127.0.0.1:")
    for _ in range(3):
        answer = server.post("/predict/small", json.loads(ROW))
        assert answer.status == 200 and "prediction" in answer.json
    with connect(server) as one:
        assert one.version() == "TLSv1.3"
        one.sendall(post() * 5)
        text = b""
        while text.count(b'"prediction"') < 5:
            piece = one.recv(65536)
            assert piece, text
            text += piece


@pytest.mark.parametrize("version, works", [("TLSv1_3", True), ("TLSv1_2", True), ("TLSv1_1", False), ("TLSv1", False)])
@pytest.mark.parametrize("over", ["http", "grpc"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nothing_older_than_tls_1_2(server, version, works, over):
    context = server.authority.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"] if over == "grpc" else ["http/1.1"])
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    port = grpc_port(server) if over == "grpc" else port_of(server)
    if works:
        with connect(server, context, port=port) as one:
            assert one.version() == version.replace("_", ".")
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(server, context, port=port)


def test_large_bodies_and_answers_come_whole(server):
    rows = json.dumps([{"a": i / 10_000, "c": "red" * 100} for i in range(10_000)]).encode()
    answer = server.request("POST", "/predict/small", rows, timeout=SECONDS)
    assert answer.status == 200 and len(answer.json["predictions"]) == 10_000
    exported = server.get("/api/v1/models/small/versions/1/export")
    assert exported.status == 200 and len(exported.body) == int(exported.headers["Content-Length"])
    assert server.get("/metrics").status == 200


def test_many_at_once(server):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: server.post("/predict/small", json.loads(ROW)).status, range(400))) == {200}


def test_clients_that_ask_for_proof_get_it_or_go(server):
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server, ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server, name="elsewhere.example")


def test_commands_know_the_server_of_their_folder(server, tmp_path):
    assert "small" in server.cli("status").stdout
    elsewhere = Server(tmp_path)
    url = server.url.replace("127.0.0.1", "localhost")
    token = (server.data_dir / "token").read_text().strip()
    elsewhere.env = {"MILLRACE_TOKEN": token}
    assert "client.bad_certificate" in elsewhere.cli("--server", url, "status", expect=1).stderr
    assert "small" in elsewhere.cli("--server", url, "--ca", server.authority.file, "status").stdout
    elsewhere.env["MILLRACE_CA"] = str(server.authority.file)
    assert "small" in elsewhere.cli("--server", url, "status").stdout
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "Other CA")
    assert "client.bad_certificate" in elsewhere.cli("--server", url, "--ca", other.file, "status", expect=1).stderr
    assert "client.no_ca" in elsewhere.cli("--server", url, "--ca", "none.pem", "status", expect=1).stderr


def test_a_worker_beside_it_works(servers, tmp_path):
    Authority(tmp_path).sign("cert.pem", "key.pem")
    project(tmp_path, grpc=False)
    server = servers("--no-worker")
    server.context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    server.start()
    worker = subprocess.Popen([MILLRACE, "worker", "--server-data", server.data_dir], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        server.wait_ready()
    finally:
        worker.terminate()
        worker.wait(30)


# ---- the gate sees what is inside


@pytest.mark.parametrize("request_text, status, reason", [
    (b"POST /predict/small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5x\r\n\r\nhello", 400, "net.bad_framing"),
    (b"POST /predict/small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "net.bad_framing"),
    (b"POST /predict/small HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n", 400, "net.bad_"),
    (b"no HTTP at all\r\n\r\n", 505, "net.bad_head"),
    (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 4, "net."),
])
def test_broken_requests_are_refused_inside_tls_too(server, request_text, status, reason):
    with connect(server) as one:
        text = exchange(one, request_text).decode()
    assert text.startswith(f"HTTP/1.1 {status}") and f'"reason":"{reason}' in text, text
    with plain(port_of(server)) as probe:
        probe.close()
    assert server.get("/healthz").status == 200


def test_slow_heads_and_bodies_end_inside_tls_too(server):
    with connect(server) as head, connect(server) as body:
        head.sendall(b"GET /healthz HTTP/1.1\r\n")
        body.sendall(b"POST /predict/small HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
        ends = {}
        deadline = time.monotonic() + SECONDS
        for name, one in (("head", head), ("body", body)):
            one.settimeout(0.3)
            text = b""
            while time.monotonic() < deadline:
                try:
                    one.sendall(b"x")
                except OSError:
                    pass
                try:
                    piece = one.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    break
                if not piece:
                    break
                text += piece
                if b"408" in text:
                    break
            ends[name] = text
    assert b"net.head_too_slow" in ends["head"] and b"net.body_too_slow" in ends["body"], ends


def test_answers_that_nobody_reads_stop_the_questions(server):
    rows = json.dumps([{"a": i / 4000, "c": "red"} for i in range(4000)]).encode()
    with connect(server) as one:
        one.setblocking(False)
        sent, text = 0, post(body=rows)
        stuck = time.monotonic()
        while time.monotonic() - stuck < 3 and sent < 2_000 * len(text):
            try:
                sent += one.send(text[sent % len(text):])
                stuck = time.monotonic()
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
                time.sleep(0.01)
            except OSError:
                break
        assert sent < 1_000 * len(text), "it took all questions although no answer was read"
    assert server.get("/healthz").status == 200


# ---- those who do not mean it


def test_http_without_tls_is_told(server):
    with plain(port_of(server)) as one:
        text = exchange(one, post()).decode()
    assert text.startswith("HTTP/1.1 400 ") and "net.tls_needed" in text and "https://" in text


def test_what_is_neither_ends(server):
    for words in (b"\x00" * 100, b"SSH-2.0-x\r\n"[::-1], b"\x16\x03\x01" + b"\xff" * 300):
        with plain(port_of(server)) as one:
            began = time.monotonic()
            exchange(one, words)
            assert time.monotonic() - began < 60
    assert server.get("/healthz").status == 200


@pytest.mark.parametrize("over", ["http", "grpc"])
def test_half_handshakes_hold_nothing_for_long(server, over):
    port = port_of(server) if over == "http" else grpc_port(server)
    silent, half, drips = ([plain(port) for _ in range(20)] for _ in range(3))
    for one in half:
        one.sendall(HELLO)
    began = time.monotonic()
    left, sent = silent + half + drips, 0
    while left and time.monotonic() - began < BEFORE_IDLE:
        for one in drips:
            try:
                one.setblocking(True)
                one.sendall(HELLO[sent % len(HELLO):][:1] if sent < len(HELLO) else b"x")
            except OSError:
                pass
        sent += 1
        if over == "http" and sent % 4 == 0:
            assert server.get("/healthz").status == 200, "others are answered meanwhile"
        left = [one for one in left if not closed(one)]
        time.sleep(0.2)
    assert not left, f"{len(left)} of 60 are open after {BEFORE_IDLE} s"
    assert server.get("/healthz").status == 200
    assert "handshake_too_slow" in server.get("/metrics").body.decode()


def test_a_flood_of_half_handshakes_shuts_nobody_out(server):
    flood = []
    try:
        for _ in range(1500):
            flood.append(plain(port_of(server)))
            flood[-1].sendall(HELLO[:1])
            if len(flood) % 300 == 0:
                assert server.post("/predict/small", json.loads(ROW)).status == 200
        wait_for("the oldest to go", lambda: closed(flood[0]), SECONDS)
        assert server.post("/predict/small", json.loads(ROW)).status == 200
    finally:
        for one in flood:
            one.close()


def test_it_stops_with_half_handshakes_open(servers, tmp_path):
    Authority(tmp_path).sign("cert.pem", "key.pem")
    project(tmp_path)
    server = servers()
    server.context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    server.start()
    half = [plain(port) for port in (port_of(server), grpc_port(server)) for _ in range(5)]
    for one in half:
        one.sendall(HELLO)
    whole = connect(server)
    server.process.terminate()
    server.process.wait(SECONDS)
    assert server.process.returncode == 0
    whole.close()


# ---- certificates


def serial(server, port=None):
    context = server.context
    with connect(server, context, port=port) as one:
        return one.getpeercert()["serialNumber"]


def test_replaced_files_are_taken_without_a_restart(servers, tmp_path):
    authority = Authority(tmp_path)
    authority.sign("cert.pem", "key.pem")
    project(tmp_path)
    server = servers()
    server.context = authority.context()
    server.start().wait_ready()
    first = serial(server)
    assert serial(server, grpc_port(server)) == first
    stays = connect(server)
    for _ in range(3):
        before = serial(server)
        authority.sign("new.pem", "new.key")
        os.replace(tmp_path / "new.key", tmp_path / "key.pem")
        os.replace(tmp_path / "new.pem", tmp_path / "cert.pem")
        wait_for("the new certificate over HTTP on every loop", lambda: before not in {serial(server) for _ in range(12)}, SECONDS)
        wait_for("and over gRPC", lambda: serial(server, grpc_port(server)) == serial(server), SECONDS)
        assert "small" in server.cli("status").stdout, "commands know the new one"
        stays.sendall(post())
        assert stays.recv(65536).startswith(b"HTTP/1.1 200"), "a connection that was open stays"
    now = serial(server)
    authority.sign("other.pem", "key.pem")  # a key without its certificate
    log = server.data_dir / "millrace.log"
    wait_for("a line in the log", lambda: "certificate_not_taken" in log.read_text() and "tls.other_key" in log.read_text(), SECONDS)
    assert {serial(server) for _ in range(12)} == {now} and serial(server, grpc_port(server)) == now
    (tmp_path / "cert.pem").write_text("broken")
    wait_for("another one", lambda: "tls.bad_certificate" in log.read_text(), SECONDS)
    assert {serial(server) for _ in range(12)} == {now}
    os.replace(tmp_path / "other.pem", tmp_path / "cert.pem")
    wait_for("the pair, when it is whole", lambda: serial(server) != now, SECONDS)
    assert server.post("/predict/small", json.loads(ROW)).status == 200


def test_starts_with_wrong_files_say_what_is_wrong(tmp_path):
    authority = Authority(tmp_path)
    authority.sign("cert.pem", "key.pem")
    authority.sign("other.pem", "other.key")
    os.chmod(tmp_path / "other.key", 0o644)
    openssl("pkey", "-in", "key.pem", "-out", "locked.key", "-aes256", "-passout", "pass:sesame", cwd=tmp_path)
    openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", "weak.key", "-out", "weak.pem", "-subj", "/CN=localhost", cwd=tmp_path)
    for name in ("locked.key", "weak.key"):
        os.chmod(tmp_path / name, 0o600)
    (tmp_path / "words.pem").write_text("no certificate\n")
    for certificate, key, reason, file in [("none.pem", "key.pem", "tls.not_read", "none.pem"), ("cert.pem", "none.key", "tls.not_read", "none.key"),
                                           ("words.pem", "key.pem", "tls.bad_certificate", "words.pem"), ("cert.pem", "cert.pem", "tls.", "cert.pem"),
                                           ("other.pem", "other.key", "tls.key_exposed", "other.key"), ("other.pem", "key.pem", "tls.other_key", "key.pem"),
                                           ("cert.pem", "locked.key", "tls.bad_key", "locked.key"), ("weak.pem", "weak.key", "tls.weak", "weak.pem")]:
        project(tmp_path, grpc=False, certificate=certificate, key=key)
        done = Server(tmp_path).cli("up", "--listen", "127.0.0.1:0", expect=1)
        assert reason in done.stderr and file in done.stderr, (certificate, key, done.stderr)
        models = tmp_path / "models"
        models.mkdir(exist_ok=True)
        done = Server(tmp_path).cli("predictor", "--models", models, "--http", "127.0.0.1:0", "--tls-certificate", certificate, "--tls-key", key, expect=1)
        assert reason in done.stderr and file in done.stderr, (certificate, key, done.stderr)
    done = Server(tmp_path).cli("predictor", "--models", models, "--http", "127.0.0.1:0", "--tls-certificate", "cert.pem", expect=1)
    assert "tls.half" in done.stderr


@pytest.mark.parametrize("days, word", [(-2, "has expired on"), (20, "expires on"), (60, "")])
def test_the_end_of_a_certificate_is_told_in_time(servers, tmp_path, days, word):
    def day(offset):
        return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + offset * 86400))

    authority = Authority(tmp_path)
    authority.sign("cert.pem", "key.pem", begins=day(-10), ends=day(days))
    project(tmp_path, grpc=False)
    server = servers()
    server.context = authority.context()
    server.context.check_hostname = False
    server.context.verify_mode = ssl.CERT_NONE
    server.start().wait_ready()
    strict = authority.context()
    if days < 0:
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(server, strict)
    else:
        connect(server, strict).close()
    assert "small" in server.cli("status").stdout, "who has its folder knows it all the same"
    said, logged = server.log(), (server.data_dir / "millrace.log").read_text()
    doctor = server.cli("doctor")
    if word:
        assert word in said and word in logged and word in doctor.stdout and "cert.pem" in doctor.stdout, (said, doctor.stdout)
    else:
        assert "warning" not in said + doctor.stdout and "certificate_ends" not in logged


# ---- other people's clients


def test_the_folder_server_and_tritonclient(tmp_path):
    if os.path.isdir("/python/tritonclient/grpc") and os.path.isdir("/python/grpc"):
        sys.path.append("/python")
    else:
        pytest.importorskip("tritonclient.grpc", reason="tritonclient is fetched by: ./dev test scenario")
    import gevent.ssl
    import grpc
    import numpy as np
    import tritonclient.grpc as triton_grpc
    import tritonclient.http as triton_http
    import urllib3

    authority = Authority(tmp_path)
    authority.sign("cert.pem", "key.pem")
    models = tmp_path / "models"
    models.mkdir()
    xgboost_models.train(models / "m.ubj", test_predictor.FEATURES, 5, 3)
    predictor = test_predictor.Predictor(models, "--grpc", "127.0.0.1:0", "--tls-certificate", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    predictor.context = authority.context()
    predictor.start()
    try:
        predictor.answers("m")
        port = port_of(predictor)
        grpc_at = [line.split()[1] for line in predictor.log().splitlines() if line.startswith("grpc ")][0].replace("127.0.0.1", "localhost")
        rows = np.zeros((2, test_predictor.FEATURES), dtype=np.float32)

        with triton_http.InferenceServerClient(f"localhost:{port}", ssl=True, ssl_options={"ca_certs": str(authority.file)},
                                               ssl_context_factory=gevent.ssl.create_default_context) as client:
            tensor = triton_http.InferInput("input-0", list(rows.shape), "FP32")
            tensor.set_data_from_numpy(rows)
            over_http = client.infer("m", [tensor]).as_numpy("predict")
        client = triton_grpc.InferenceServerClient(grpc_at, ssl=True, root_certificates=str(authority.file))
        tensor = triton_grpc.InferInput("input-0", list(rows.shape), "FP32")
        tensor.set_data_from_numpy(rows)
        assert client.infer("m", [tensor]).as_numpy("predict").tobytes() == over_http.tobytes()
        client.close()
        pool = urllib3.PoolManager(ca_certs=str(authority.file), cert_reqs="CERT_REQUIRED")
        assert pool.request("GET", f"https://localhost:{port}/v2/health/live").status == 200
        for channel in (grpc.insecure_channel(grpc_at), grpc.secure_channel(grpc_at, grpc.ssl_channel_credentials())):
            with channel, pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=30)
            assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    finally:
        predictor.stop()
