"""`millrace top`: on a terminal a screen that comes and goes, elsewhere text or JSON."""
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import threading
import time

import fcntl
import pytest
import termios

from conftest import MILLRACE, Server, small_project


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("top")
    small_project(folder)
    made = Server(folder).start().wait_ready()
    yield made
    made.stop()


class Load:
    """Predictions until it is left."""

    def __init__(self, server):
        self.server, self.over = server, threading.Event()

    def __enter__(self):
        def work():
            while not self.over.is_set():
                assert self.server.post("/predict/small", [{"a": 0.5, "c": "red"}] * 3).status == 200
        self.thread = threading.Thread(target=work)
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def test_one_look_as_json(server):
    with Load(server):
        view = json.loads(server.cli("top", "--once", "--json").stdout)
    assert view["url"] == server.url and view["project"] == "small" and 0.9 <= view["seconds"] < 30 and not view["started_anew"]
    (model,) = view["models"]
    assert (model["name"], model["version"]) == ("small", "1")
    assert model["requests_per_s"] > 0 and model["rows_per_s"] == pytest.approx(3 * model["requests_per_s"])
    route = next(route for route in view["routes"] if route["route"] == "POST /predict/{model}")
    assert route["requests_per_s"] > 0 and route["client_errors_per_s"] == route["server_errors_per_s"] == 0
    assert 0 < route["p50_ms"] <= route["p99_ms"]
    assert view["cpu_used"] > 0 and view["memory_bytes"] > 10e6 and view["processors"] >= 1 and view["connections"] >= 1
    assert isinstance(view["running"], list) and isinstance(view["waiting"], list)


def test_one_look_as_text(server):
    text = server.cli("top", "--once", "--every", "200ms").stdout
    assert text.startswith(f"millrace   {server.url}   project small") and "\x1b" not in text
    assert re.search(r"^server     cpu \d", text, re.M) and re.search(r"^small +1 ", text, re.M)


def test_without_a_terminal_it_prints_until_it_is_stopped(server):
    process = subprocess.Popen([MILLRACE, "top", "--json", "--every", "200ms"], cwd=server.folder, stdout=subprocess.PIPE, text=True)
    looks = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert len({look["time"] for look in looks}) >= 1 and all(look["models"] for look in looks)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_on_a_terminal_ctrl_c_brings_back_what_was_there(server):
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    process = subprocess.Popen([MILLRACE, "top", "--every", "200ms"], cwd=server.folder, stdin=other, stdout=other, stderr=other, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(other)
    seen = b""

    def read_until(done, seconds=30):
        nonlocal seen
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline:
            if select.select([main], [], [], 0.2)[0]:
                try:
                    piece = os.read(main, 65536)
                except OSError:  # the other side is closed
                    return
                if not piece:
                    return
                seen += piece

    read_until(lambda: seen.count(b"requests/s") >= 2)
    assert seen.startswith(b"\x1b[?1049h\x1b[?25l") and b"small" in seen and seen.count(b"\x1b[H") >= 2
    for line in re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "\n", seen.decode()).splitlines():
        assert len(line) <= 60, line
    os.write(main, b"\x03")  # Ctrl-C
    read_until(lambda: process.poll() is not None)
    read_until(lambda: seen.endswith(b"\x1b[?25h\x1b[?1049l"), 5)
    assert process.wait(30) == 0 and seen.endswith(b"\x1b[?25h\x1b[?1049l"), seen[-200:]
    os.close(main)


def test_no_server_and_wrong_usage(server, tmp_path):
    done = subprocess.run([MILLRACE, "top", "--once", "--server", "http://127.0.0.1:1"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("error: ")
    assert server.cli("top", "--every", "1ms", expect=64).stderr.startswith("error: --every")
