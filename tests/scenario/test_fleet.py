"""Predictors beside a server: they serve what it wants to be served, without it too, and their predictions are its own."""
import contextlib
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from conftest import MILLRACE, Answer, small_project, wait_for

LONG = 120
ROW = {"a": 0.7, "c": "red"}


class Predictor:
    """One `millrace predictor --admin` with a folder and a port of its own, the same ones after a restart."""

    def __init__(self, folder, admin, name, *arguments):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.admin, self.name, self.arguments = admin, name, [str(a) for a in arguments]
        self.process = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self, env=None):
        self.output = open(self.folder / "out", "ab")
        self.process = subprocess.Popen(
            [MILLRACE, "predictor", "--admin", self.admin, "--http", f"127.0.0.1:{self.port}", "--data", self.data, "--name", self.name,
             *self.arguments], cwd=self.folder, stdout=self.output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        return self

    def log(self):
        return (self.folder / "out").read_text(errors="replace")

    def request(self, path, body=None, headers=None):
        request = urllib.request.Request(self.url + path, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def predict(self, row=ROW):
        answer = self.request("/predict/small", row)
        assert answer.status == 200, answer.body
        return answer.json

    def ready(self):
        assert self.process.poll() is None, self.log()
        with contextlib.suppress(OSError):
            return self.request("/readyz").status == 200
        return False

    def wait_ready(self):
        wait_for(f"{self.name} ready\n{self.log()}", self.ready, LONG)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
def predictors(tmp_path):
    made = []

    def make(server, name, *arguments):
        made.append(Predictor(tmp_path / "fleet", server.url, name, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def admin_with_model(servers, tmp_path, more=""):
    folder = tmp_path / "admin"
    folder.mkdir()
    small_project(folder, more=more)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The same port after a restart: predictors were told that address.
    server = servers(folder=folder, listen=f"127.0.0.1:{port}").start()
    server.wait_versions("small", 1)
    wait_for("a current version", lambda: server.model("small").get("current") == 1, LONG)
    return server


def second_version(server):
    server.cli("retrain", "--reason", "another one", expect=None)
    server.wait_versions("small", 2)


def fleet(server):
    return server.get("/api/v1/predictors").json


def wait_reached(server, count):
    def reached():
        said = fleet(server)
        return [p for p in said["predictors"] if p.get("reached")] if sum(bool(p.get("reached")) for p in said["predictors"]) >= count else None
    return wait_for(f"{count} predictors at the newest wish: {fleet(server)}", reached, LONG)


def promote(server, version):
    answer = server.post("/api/v1/models/small/promote", {"version": version, "reason": "test"})
    assert answer.status == 200, answer.body
    return answer.json


def test_serves_what_the_server_wants(servers, predictors, tmp_path):
    server = admin_with_model(servers, tmp_path)
    one = predictors(server, "one").start().wait_ready()
    assert one.predict()["model"] == "small:1"
    said = wait_reached(server, 1)[0]
    assert said["name"] == "one" and said["address"] == one.url and said["connected"] and said["ready"]
    assert [m["name"] for m in said["models"]] == ["small"] and said["models"][0]["serving"] == 1
    first = fleet(server)["wish"]
    second_version(server)
    promote(server, 2)
    wait_for("version 2 at the predictor", lambda: one.predict()["model"] == "small:2", LONG)
    assert wait_reached(server, 1)[0]["wish"] == fleet(server)["wish"] > first
    # The same answer as the server's own.
    theirs = server.post("/predict/small", ROW).json
    assert one.predict()["probability"] == theirs["probability"]
