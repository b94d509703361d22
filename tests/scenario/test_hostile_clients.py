"""Clients that are slow, broken or mean harm, against the real program: docs/reliability/clients.md says what each gets,
and is read here. Meanwhile a steady client predicts, and none of its requests fails."""
import gzip
import http.client
import json
import os
import pathlib
import re
import resource
import select
import socket
import statistics
import threading
import time

import pytest

import conftest
from conftest import MILLRACE, TOP, Server, small_project, wait_for

ROW = b'{"a": 0.5, "c": "red"}'
LIMITS = {"MILLRACE_HTTP_LIMITS": "idle=3s,head=2s,body=2s"}


def rows_of(page):
    """The table of a page: first cell -> the others."""
    out = {}
    for line in (TOP / "docs" / "reliability" / page).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "client":
            out[cells[0]] = cells[1:]
    return out


OUTCOMES = {name: re.search(r"`([^`]+)`", cells[1]).group(1) for name, cells in rows_of("clients.md").items()}
CLIENTS = {}


def client(name):
    def add(function):
        CLIENTS[name] = function
        return function
    return add


def address(server):
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


class Raw:
    """A connection that sends what it is told to."""

    def __init__(self, server, receive_buffer=0):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(30)
        self.socket.connect(address(server))
        self.left = b""

    def send(self, data):
        self.socket.sendall(data)
        return self

    def answer(self):
        """(status, body), or None where the connection ended without one."""
        try:
            while b"\r\n\r\n" not in self.left:
                self.fill()
            head, self.left = self.left.split(b"\r\n\r\n", 1)
            length = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
            while len(self.left) < length:
                self.fill()
        except (ConnectionError, BrokenPipeError):
            return None
        body, self.left = self.left[:length], self.left[length:]
        return int(head.split()[1]), body

    def fill(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionResetError
        self.left += piece

    def close(self):
        self.socket.close()


def post(path, body, more=""):
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def told(answer):
    """What the table says: "400 net.bad_framing", "200", "cut"."""
    if answer is None:
        return "cut"
    status, body = answer
    return str(status) if status < 400 else f"{status} {json.loads(body)['error']['reason']}"


def trickle(raw, piece=b"x", seconds=20):
    """A piece every 0.2 s until something comes back; the answer."""
    until = time.monotonic() + seconds
    raw.socket.settimeout(0.2)
    while time.monotonic() < until:
        try:
            raw.send(piece)
            raw.fill()
            break
        except TimeoutError:
            continue
        except OSError:
            break
    raw.socket.settimeout(30)
    return raw.answer()


def cut_within(raw, seconds):
    raw.socket.settimeout(seconds)
    try:
        while raw.socket.recv(1 << 20):
            pass
    except TimeoutError:
        return "open"
    except OSError:
        pass
    return "cut"


def memory(server):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) * 1024


def processor_seconds(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Steady:
    """Predicts on one connection until it is stopped; counts what failed."""

    def __init__(self, server):
        self.server, self.failed, self.took, self.stop = server, [], [], threading.Event()
        self.connection = http.client.HTTPConnection(*address(server), timeout=30)
        self.ask()
        self.thread = threading.Thread(target=self.run)

    def ask(self):
        began = time.monotonic()
        self.connection.request("POST", "/predict/small", ROW, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            self.failed.append((answer.status, body))
        self.took.append(time.monotonic() - began)

    def run(self):
        while not self.stop.is_set():
            try:
                self.ask()
            except Exception as error:  # noqa: BLE001: whatever went wrong is the finding
                self.failed.append(repr(error))
                return
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(60)
        self.connection.close()

    def p99_ms(self):
        return 1000 * statistics.quantiles(self.took, n=100)[98]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    small_project(folder)
    # Uploads go to a source of their own.
    with open(folder / "millrace.toml", "a") as file:
        file.write('[source.sent]\nuri = "upload"\n')
    made = Server(folder, env=LIMITS).start().wait_ready()
    yield made
    made.stop()


def test_the_table_and_the_clients_are_the_same():
    assert set(OUTCOMES) == set(CLIENTS) and len(OUTCOMES) >= 25


@pytest.mark.parametrize("name", OUTCOMES)
def test_each_gets_what_the_table_says(server, name):
    with Steady(server) as steady:
        assert CLIENTS[name](server) == OUTCOMES[name]
    assert not steady.failed, steady.failed[:3]
    assert not server.gone()
    print(f"{name}: {len(steady.took)} predictions, p99 {steady.p99_ms():.1f} ms")


@client("slow head")
def slow_head(server):
    return told(trickle(Raw(server).send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")))


@client("slow body")
def slow_body(server):
    return told(trickle(Raw(server).send(b"POST /predict/small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")))


@client("slow upload")
def slow_upload(server):
    head = b"POST /api/v1/datasets/sent/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    return told(trickle(Raw(server).send(head), b"1\r\nx\r\n"))


@client("goes on after a refusal")
def goes_on(server):
    raw = Raw(server).send(b"nonsense\r\n\r\n")
    assert raw.answer()[0] == 400
    for _ in range(100):
        try:
            raw.send(b"x")
        except OSError:
            return "cut"
        time.sleep(0.1)
    return "open"


@client("sends nothing")
def sends_nothing(server):
    return cut_within(Raw(server), 10)


@client("does not read")
def does_not_read(server):
    body = b"[" + b",".join([ROW] * 10_000) + b"]"
    size = len(server.request("POST", "/predict/small", body).body)
    assert size > 1_000_000
    before = memory(server)
    readers = [Raw(server, 4096).send(post("/predict/small", body)) for _ in range(4)]
    most = 0
    for _ in range(20):
        most = max(most, memory(server))
        assert told(Raw(server).send(post("/predict/small", ROW)).answer()) == "200"
        time.sleep(0.1)
    assert most - before < 4 * (size + len(body)) * 4 + 50_000_000, (before, most, size)
    time.sleep(3)
    return "/".join({cut_within(raw, 10) for raw in readers})


@client("asks on and on")
def asks_on_and_on(server):
    many = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
    before, most = memory(server), 0
    raw = Raw(server, 4096)
    raw.socket.settimeout(10)
    try:
        for _ in range(2000):
            raw.send(many)
            most = max(most, memory(server))
    except OSError as error:
        assert not isinstance(error, TimeoutError)
        assert most - before < 100_000_000, (before, most)
        return "cut"
    return "open"


@client("announces much")
def announces_much(server):
    before = memory(server)
    raws = [Raw(server).send(b"POST /predict/small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16000000\r\n\r\n{") for _ in range(500)]
    assert memory(server) - before < 100_000_000
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    assert int(re.search(r"VmSize:\s+(\d+)", text).group(1)) < 6_000_000, "nor set aside"
    return "/".join({cut_within(raw, 15) for raw in raws})


@client("10,000 idle")
def ten_thousand_idle(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(10_500, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    own = Server(server.folder / "idle", env={"MILLRACE_HTTP_LIMITS": "idle=10m"})
    own.folder.mkdir()
    small_project(own.folder)
    idle = []
    try:
        own.start().wait_ready()
        with Steady(own) as quiet:
            time.sleep(2)
        with Steady(own) as steady:
            while len(idle) < wanted:
                idle.append(Raw(own))
            for _ in range(50):
                raw = Raw(own)
                assert told(raw.send(post("/predict/small", ROW)).answer()) == "200"
                raw.close()
            time.sleep(2)
            metrics = own.get("/metrics").body.decode()
        open_now = float(re.search(r"^millrace_net_connections (\S+)", metrics, re.M).group(1))
        assert not steady.failed, steady.failed
        assert 0.9 * min(wanted, 10_000) < open_now <= 10_010, open_now
        if wanted > 10_100:
            assert 'why="made_room"' in metrics
        print(f"{len(idle)} idle connections, {open_now:.0f} open; p99 {quiet.p99_ms():.1f} ms before, {steady.p99_ms():.1f} ms with them")
        assert steady.p99_ms() < 250
    finally:
        for raw in idle:
            raw.close()
        own.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return "200"


def open_files(server):
    return [int(name) for name in os.listdir(f"/proc/{server.process.pid}/fd")]


@client("all files open")
def all_files_open(server):
    """The limit of the running process is lowered to what it has open: from now on nothing more can be opened."""
    before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    runs = server.get("/api/v1/runs").json["runs"]
    keep = http.client.HTTPConnection(*address(server), timeout=30)

    def ask(method, path, body=None):
        keep.request(method, path, body, {"Content-Type": "application/json"})
        answer = keep.getresponse()
        return answer.status, answer.read()
    assert ask("GET", "/healthz")[0] == 200
    taken = set(open_files(server))
    lowest = next(number for number in range(10_000) if number not in taken)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        began, used = time.monotonic(), processor_seconds(server)
        for _ in range(50):
            try:
                Raw(server).close()
            except OSError:
                pass
        status, body = ask("POST", "/api/v1/train", b"{}")
        assert status in (429, 503) and b"Too many open files" in body, body
        status, body = ask("POST", "/api/v1/ingest", b'{"source": "data"}')
        assert status == 202, body
        job = json.loads(body)["job"]
        state = wait_for("the job that can't start", lambda: (
            lambda state: state["state"] == "failed" and state)(json.loads(ask("GET", f"/api/v1/jobs/{job}")[1])), 30)
        assert state["message"].startswith("dependency: ") and "Too many open files" in state["message"] and "ulimit -n" in state["message"], state
        for _ in range(20):
            assert ask("POST", "/predict/small", ROW)[0] == 200
            time.sleep(0.1)
        busy = (processor_seconds(server) - used) / (time.monotonic() - began)
        assert busy < 0.9, f"{busy:.2f} of a processor"
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
        keep.close()
    wait_for("new connections", lambda: server.reachable(), 10)
    server.cli("ingest", "data", expect=None)
    run = server.post("/api/v1/train").json["run"]
    wait_for("a training", lambda: server.get(f"/api/v1/runs/{run}").json["state"] == "finished", 60)
    assert len(server.get("/api/v1/runs").json["runs"]) == len(runs) + 1
    return "200"


@client("few files")
def few_files(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    own = Server(server.folder / "few")
    own.folder.mkdir()
    small_project(own.folder)
    program = own.folder / "few.sh"
    program.write_text(f'#!/bin/sh\nulimit -n 128\nexec {MILLRACE} "$@"\n')
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "MILLRACE", program)
        own.start()
    own.wait_ready()
    idle = []
    try:
        assert resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE)[0] == 128
        with Steady(own) as steady:
            used, began = processor_seconds(own), time.monotonic()
            for _ in range(500):
                idle.append(Raw(own))
                if len(idle) % 50 == 0:
                    assert told(Raw(own).send(post("/predict/small", ROW)).answer()) == "200"
            assert len(open_files(own)) < 128
            run = own.post("/api/v1/train").json["run"]
            wait_for("a training meanwhile", lambda: own.get(f"/api/v1/runs/{run}").json["state"] == "finished", 60)
            assert (processor_seconds(own) - used) / (time.monotonic() - began) < 1.5
        assert not steady.failed, steady.failed
    finally:
        for raw in idle:
            raw.close()
        own.stop()
    return "200"


@client("announces too much")
def announces_too_much(server):
    return told(Raw(server).send(b"POST /predict/small HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n").answer())


@client("sends too much")
def sends_too_much(server):
    raw = Raw(server).send(b"POST /predict/small HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    sent = 0
    while sent < 100 and not select.select([raw.socket], [], [], 0.01)[0]:
        raw.send(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")
        sent += 1
    assert sent < 60, "MiB"
    return told(raw.answer())


@client("compressed body")
def compressed_body(server):
    bomb = gzip.compress(b'{"a":' + b" " * 10_000_000 + b"1}")
    assert len(bomb) < 11_000
    return told(Raw(server).send(post("/predict/small", bomb, "Content-Encoding: gzip\r\n")).answer())


def gzip_of(head, line, count):
    import zlib
    out, packer = [], zlib.compressobj(9, wbits=31)
    out.append(packer.compress(head))
    block = line * 10_000
    for _ in range(count // 10_000):
        out.append(packer.compress(block))
    out.append(packer.flush())
    return b"".join(out)


@client("compressed upload")
def compressed_upload(server):
    return uploaded(server, gzip_of(b"a,c\n", b"0" * 1000 + b",red\n", 1_000_000))["state"]


@client("compressed line")
def compressed_line(server):
    state = uploaded(server, gzip_of(b"a,c\n", b"0" * 1000, 1_000_000))
    assert state["message"].startswith(("data: ", "memory: ")), state
    return state["state"]


def uploaded(server, bomb):
    assert len(bomb) < 4_000_000
    before = memory(server)
    answer = server.request("POST", "/api/v1/datasets/sent/upload", bomb)
    assert answer.status in (200, 201, 202), answer.body
    most = [before]

    def over():
        most.append(memory(server))
        return server.get(f"/api/v1/jobs/{answer.json['job']}").json["state"] in ("done", "failed")
    wait_for("the end of the reading", over, 120)
    state = server.get(f"/api/v1/jobs/{answer.json['job']}").json
    assert max(most) - before < 60_000_000, most
    print(state["message"][:300])
    return {**state, "state": f"job {state['state']}"}


def json_paths(server):
    spec = server.get("/api/v1/openapi.json").json
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            kinds = operation.get("requestBody", {}).get("content", {})
            if "application/json" in kinds and not path.endswith("/shutdown"):
                yield method.upper(), re.sub(r"\{(\w+)\}", lambda m: {"model": "small"}.get(m.group(1), "1"), path)


@client("nested JSON")
def nested_json(server):
    levels = 100_000
    bodies = [b"[" * levels, b'{"a":' * levels, b"[" * levels + b"]" * levels, b'{"zzz":' + b"[" * levels + b"]" * levels + b"}",
              b'[{"prediction":' + b"[" * levels + b"]" * levels + b"}]"]
    paths = list(json_paths(server))
    assert len(paths) >= 15, paths
    seen = set()
    for method, path in paths:
        if path.endswith("/rebuild"):
            continue  # takes no body, and does what it is asked
        for body in bodies:
            answer = Raw(server).send(post(path, body).replace(b"POST", method.encode(), 1)).answer()
            assert answer and answer[0] in (400, 404), (method, path, body[:20], answer)
            seen.add(answer[0])
    return "400" if 400 in seen else str(seen)


@client("nested project file")
def nested_project(server):
    for text in ("x = " + "[" * 100_000, "x = " + "{a=" * 100_000, "[" * 100_000, "x = " + "[" * 100_000 + "]" * 100_000,
                 "[" + ".".join(["a"] * 100_000) + "]\nb = 1\n"):
        answer = server.post("/api/v1/project", {"text": text})
        assert answer.status == 400, (text[:20], answer.status, answer.body[:300])
    return str(answer.status)


@client("nested gate")
def nested_gate(server):
    text = (server.folder / "millrace.toml").read_text()
    assert "[gates]\n" in text
    for gate in ("(" * 100_000 + "auc" + ")" * 100_000, "auc by " + "a and " * 100_000, "auc" + " - auc" * 100_000):
        answer = server.post("/api/v1/project", {"text": text.replace("[gates]\n", f'[gates]\n"{gate}" = ">= 0.5"\n')})
        assert answer.status == 400, (gate[:20], answer.status, answer.body[:300])
    return str(answer.status)


@client("a million keys")
def million_keys(server):
    body = ("{" + ",".join(f'"k{i}":1' for i in range(1_000_000)) + "}").encode()
    before = memory(server)
    seen = {Raw(server).send(post(path, body)).answer()[0] for path in ("/predict/small", "/labels/small", "/api/v1/project", "/api/v1/train")}
    assert seen == {400}, seen
    assert memory(server) - before < 150_000_000
    return "400"


@client("pipelining")
def pipelining(server):
    raw = Raw(server)
    sender = threading.Thread(target=lambda: raw.send(b"".join(
        post("/predict/small", b'{"a": %d, "c": "red"}' % (i % 2)) for i in range(500))))
    sender.start()
    got = [json.loads(raw.answer()[1])["probability"] for _ in range(500)]
    sender.join()
    assert got == got[:2] * 250 and got[0] != got[1]
    return "200"


def half_closed(server, request):
    raw = Raw(server).send(request)
    raw.socket.shutdown(socket.SHUT_WR)
    return told(raw.answer())


@client("half-closed, quick")
def half_closed_quick(server):
    return half_closed(server, post("/predict/small", ROW))


@client("half-closed, waiting")
def half_closed_waiting(server):
    return half_closed(server, post("/api/v1/gc", b"{}"))  # for milliseconds at least


def framed(server, head, body=b""):
    return told(Raw(server).send(b"POST /predict/small HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n" + body).answer())


@client("two lengths")
def two_lengths(server):
    return framed(server, b"Content-Length: 5\r\nContent-Length: 6", b"hello!")


@client("two framings")
def two_framings(server):
    return framed(server, b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n")


@client("odd coding")
def odd_coding(server):
    return framed(server, b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n")


@client("hidden request")
def hidden_request(server):
    raw = Raw(server).send(b"POST /predict/small HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"3\r\nabcGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n0\r\n\r\n")
    answer = raw.answer()
    assert raw.answer() is None, "the request in the body is not answered"
    return told(answer)


@client("bare line feeds")
def bare_line_feeds(server):
    return told(Raw(server).send(b"GET /healthz HTTP/1.1\nHost: localhost\n\n\r\n\r\n").answer())


@client("folded header")
def folded_header(server):
    return told(Raw(server).send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded: 1\r\n\r\n").answer())


@client("asks for another protocol")
def another_protocol(server):
    return told(Raw(server).send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").answer())
