"""Predictors beside a server: they serve what it wants to be served, without it too, and their predictions are its own."""
import collections
import contextlib
import csv
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


def admin_with_model(servers, tmp_path, more="", **how):
    folder = tmp_path / "admin"
    folder.mkdir()
    small_project(folder, more=more)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The same port after a restart: predictors were told that address.
    server = servers(folder=folder, listen=f"127.0.0.1:{port}", **how).start()
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


class Load:
    """Clients that go round the predictors and retry nothing; what was refused, and the ids of what was answered."""

    def __init__(self, predictors, threads=3):
        self.predictors, self.failed, self.ids, self.versions = list(predictors), [], [], set()
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def run(self, number):
        for turn in itertools.count(number):
            if self.ending.wait(0.01):
                return
            with self.lock:
                one = self.predictors[turn % len(self.predictors)]
                self.busy = getattr(self, "busy", {})
                self.busy[one.name] = self.busy.get(one.name, 0) + 1
            try:
                answer = one.request("/predict/small", {"a": (turn % 97) / 97, "c": "red"})
                with self.lock:
                    if answer.status == 200:
                        self.ids.append((one.name, answer.json["id"]))
                        self.versions.add(answer.json["model"])
                    else:
                        self.failed.append((one.name, answer.status, answer.body))
            except OSError as error:
                with self.lock:
                    self.failed.append((one.name, repr(error), ""))
            finally:
                with self.lock:
                    self.busy[one.name] -= 1

    def without(self, one):
        """Out of the round; returns when nothing asks it any more."""
        with self.lock:
            self.predictors.remove(one)
        wait_for(f"no request at {one.name}", lambda: self.busy.get(one.name, 0) == 0, LONG)

    def also(self, one):
        with self.lock:
            self.predictors.append(one)

    def some_more(self, count=30):
        want = len(self.ids) + count
        wait_for("further answers", lambda: len(self.ids) >= want or self.failed, LONG)
        assert not self.failed, self.failed[:5]


def logged_ids(server):
    """How often each prediction stands in the server's log, once it is rolled."""
    server.cli("ingest", "small.predictions")
    file = server.folder / "lines.csv"
    server.cli("data", "checkout", "small.predictions", "--to", file)
    with open(file, newline="") as lines:
        return collections.Counter(row["prediction_id"] for row in csv.DictReader(lines))


def assert_all_there_once(server, answered):
    """`answered`: names of predictors and ids, in the order of the answers. Lines of one predictor come in their order."""
    for name, last in dict(answered).items():
        wait_for(f"the newest prediction of {name} in the server's log",
                 lambda one=last: server.get(f"/api/v1/predictions/{one}").status == 200, LONG)
    counted = logged_ids(server)
    missing = [one for _, one in answered if one not in counted]
    assert not missing, f"{len(missing)} of {len(answered)} are missing"
    assert set(counted.values()) == {1}, {one: n for one, n in counted.items() if n > 1}


def test_three_of_them(servers, predictors, tmp_path):
    server = admin_with_model(servers, tmp_path, command="admin")
    assert server.get("/readyz").status == 200
    refused = server.post("/predict/small", ROW)
    assert refused.status == 404 and refused.json["error"]["reason"] == "api.serves_nothing"
    assert server.get("/v2/models/small").status == 404 and server.post("/invocations/small", ROW).status == 404
    three = [predictors(server, name).start() for name in ("one", "two", "three")]
    for one in three:
        one.wait_ready()
    wait_reached(server, 3)
    second_version(server)
    with Load(three) as load:
        load.some_more()
        # Rolling: a new version, then back.
        promote(server, 2)
        wait_for("version 2", lambda: {p.predict()["model"] for p in three} == {"small:2"}, LONG)
        load.some_more()
        back = server.post("/api/v1/models/small/rollback", {"reason": "test"}).json
        assert back["current"] == 1
        # Within a second, or named; a machine that does other things at the time is slower.
        late = {p.name for p in three if p.predict()["model"] != "small:1"}
        assert late <= set(back["not_reached"])
        wait_for("version 1", lambda: {p.predict()["model"] for p in three} == {"small:1"}, LONG)
        # One is killed and comes back.
        load.without(three[0])
        three[0].kill()
        load.some_more()
        three[0].start().wait_ready()
        load.also(three[0])
        load.some_more()
        # The server is away: predictors go on, one of them through a restart.
        server.stop()
        load.some_more()
        load.without(three[1])
        three[1].stop()
        three[1].start().wait_ready()
        assert three[1].predict()["model"] == "small:1"
        load.also(three[1])
        load.some_more(100)
        server.start()
        # One with an empty disk joins.
        four = predictors(server, "four").start().wait_ready()
        load.also(four)
        load.some_more()
        promote(server, 2)
        assert len(wait_reached(server, 4)) == 4
        load.some_more()
    assert not load.failed, load.failed[:5]
    assert load.versions == {"small:1", "small:2"}
    listed = server.cli("predictors").stdout
    assert all(name in listed for name in ("one", "two", "three", "four")) and "small:2" in listed and "not reached" not in listed
    # Labels join the predictions of each.
    labels = []
    for one in (*three, four):
        labels.append({"prediction": one.predict()["id"], "value": "1"})
        load.ids.append((one.name, labels[-1]["prediction"]))
    for label in labels:
        wait_for("its line at the server", lambda one=label["prediction"]: server.get(f"/api/v1/predictions/{one}").status == 200, 10)
    assert server.post("/labels/small", labels).json["accepted"] == 4

    def joined():
        live = server.model("small")["versions"][0].get("live") or []
        return live and live[0]["labelled"] == 4
    wait_for("4 joined labels", joined, LONG)
    for label in labels:
        assert server.get(f"/api/v1/predictions/{label['prediction']}").json["label"] == "1"
    assert_all_there_once(server, load.ids)


def test_a_label_is_joined_when_its_line_comes_later(servers, predictors, tmp_path):
    server = admin_with_model(servers, tmp_path)
    # Lines of it come, so that live quality has looked at the first label before the second one's line is there.
    two = predictors(server, "two").start().wait_ready()
    one = predictors(server, "one").start(env={"MILLRACE_FAULT": "remote.ship.before_send=hang"}).wait_ready()
    late, prompt = one.predict()["id"], two.predict()["id"]
    wait_for("the line of two at the server", lambda: server.get(f"/api/v1/predictions/{prompt}").status == 200, LONG)
    assert server.post("/labels/small", [{"prediction": each, "value": "1"} for each in (late, prompt)]).json["accepted"] == 2

    def labelled():
        live = server.model("small")["versions"][0].get("live") or []
        return live[0]["labelled"] if live else 0
    wait_for("one joined label", lambda: labelled() == 1, LONG)
    assert server.get(f"/api/v1/predictions/{late}").status == 404
    # What decides is on the disks of both.
    one.kill()
    server.stop()
    server.start()
    one.start().wait_ready()
    wait_for("both labels joined, and no further one sent", lambda: labelled() == 2, LONG)


def die(one):
    """Asks until its process ends; the ids of what was answered."""
    ids = []
    for _ in range(1000):
        try:
            ids.append(one.predict()["id"])
        except OSError:
            return ids
    pytest.fail("the predictor lives")


@pytest.mark.parametrize("away", [False, True], ids=["with_the_server", "while_it_is_away"])
def test_a_version_that_ends_a_predictor_is_not_loaded_again_by_itself(servers, predictors, tmp_path, away):
    server = admin_with_model(servers, tmp_path, more='[release]\nsteps = ["full"]\nprobation = { time = "10h", requests = 100000 }\n')
    fault = {"MILLRACE_FAULT": "serve.answer.candidate=abort@200"}
    one = predictors(server, "one", "--restart").start(env=fault).wait_ready()
    two = predictors(server, "two").start().wait_ready()
    wait_reached(server, 2)
    pid = one.process.pid
    second_version(server)
    if server.model("small").get("current") != 2:
        promote(server, 2)
    wait_for("version 2 everywhere", lambda: {p.predict()["model"] for p in (one, two)} == {"small:2"}, LONG)
    if away:
        server.stop()
    answered = die(one)
    assert 0 < len(answered) < 200
    # By what is on its disk alone where the server is away.
    one.wait_ready()
    assert one.process.pid == pid, "its parent lives"
    assert {one.predict()["model"] for _ in range(30)} == {"small:1"}
    assert "which ended an earlier process with SIGABRT" in one.log()
    if away:
        assert two.predict()["model"] == "small:2"
        server.start()

    def releases():
        return server.get("/api/v1/models/small/releases").json["releases"]
    wait_for(f"a release that died: {releases()}", lambda: any(r["outcome"] == "died" for r in releases()), LONG)
    release = next(r for r in releases() if r["outcome"] == "died")
    death = release["death"]
    assert release["candidate"] == 2 and "predictor one" in release["why"]
    assert death["predictor"] == "one" and death["name"] == "SIGABRT" and death["version"] == 2
    last = death["last_requests"]
    assert not last[0]["answered"] and last[0]["version"] == 2 and all(r["answered"] for r in last[1:])
    assert len(last) == 64 and {r["prediction"] for r in last} >= set(answered[-50:])
    assert server.model("small")["current"] == 1
    wait_for("version 1 everywhere", lambda: {p.predict()["model"] for p in (one, two)} == {"small:1"}, LONG)
    # People see it.
    said = {p["name"]: p.get("death") for p in fleet(server)["predictors"]}
    assert said["two"] is None and said["one"]["version"] == 2 and said["one"]["release"] == release["id"]
    assert "one: small:2 ended it with SIGABRT" in server.cli("predictors").stdout
    assert "small:2 ended predictor one with SIGABRT" in server.cli("releases").stdout
    # By hand it comes again, and what was said of it is over.
    promote(server, 2)
    wait_for("version 2 by hand", lambda: one.predict()["model"] == "small:2", LONG)
    wait_for("nothing said of it any more", lambda: all("death" not in p for p in fleet(server)["predictors"]), LONG)


def test_rollback_names_who_is_behind(servers, predictors, tmp_path):
    server = admin_with_model(servers, tmp_path)
    one, two = (predictors(server, name).start().wait_ready() for name in ("one", "two"))
    second_version(server)
    promote(server, 2)
    wait_reached(server, 2)
    two.process.send_signal(signal.SIGSTOP)
    try:
        back = server.post("/api/v1/models/small/rollback", {"reason": "test"}).json
        assert "two" in back["not_reached"]
        wait_for("only the stopped one behind", lambda: fleet(server)["not_reached"] == ["two"], 10)
        assert "not reached by two" in server.cli("predictors").stdout
    finally:
        two.process.send_signal(signal.SIGCONT)
    wait_reached(server, 2)
    assert two.predict()["model"] == one.predict()["model"] == "small:1"


@pytest.mark.parametrize("who,point", [
    ("server", "loop.shipped.before_log"), ("server", "loop.shipped.before_commit"), ("server", "loop.shipped.after_commit"),
    ("predictor", "remote.ship.before_send"), ("predictor", "remote.ship.after_send"),
    ("predictor", "remote.ship.before_remove"), ("predictor", "remote.ship.after_remove"),
    ("predictor", "remote.wish.before_write"), ("predictor", "remote.wish.after_write"),
])
def test_lines_come_once_whoever_is_killed(servers, predictors, tmp_path, who, point):
    fault = {"MILLRACE_FAULT": f"{point}=kill/once:{tmp_path}/killed"}
    server = admin_with_model(servers, tmp_path, env=fault if who == "server" else None)
    one = predictors(server, "one").start(env=fault if who == "predictor" else None)
    ids = []  # of what was answered

    def ask():
        if one.process.poll() is not None:
            one.start(env=fault)
        if server.gone():
            server.start()
        with contextlib.suppress(OSError, AssertionError):
            ids.append(one.predict()["id"])
        if len(ids) == 5 and "remove" in point:  # a segment is removed when a later process begins another one
            one.stop()
            one.start(env=fault)
            ids.append(None)  # once; it may be killed before it is ready
        return (tmp_path / "killed").exists() and len(ids) >= 10
    wait_for(f"a kill at {point}", ask, LONG)
    if server.gone():
        server.start()
    if one.process.poll() is not None:
        one.start(env=fault)
    one.wait_ready()
    ids.append(one.predict()["id"])
    assert_all_there_once(server, [("one", one_id) for one_id in ids if one_id])


def test_what_does_not_fit_is_not_kept(servers, predictors, tmp_path):
    server = admin_with_model(servers, tmp_path)
    one = predictors(server, "one", "--unshipped-max", "16MB").start().wait_ready()
    wait_reached(server, 1)
    server.stop()
    rows = [{"a": 0.5, "c": "x" * 800}] * 2000

    def full():
        answers = one.request("/predict/small", rows).json["predictions"]
        return any(a.get("logged") is False for a in answers)
    wait_for("a row that is not logged", full, LONG)
    assert 'millrace_serve_not_logged{model="small"}' in one.request("/metrics").body.decode()
    assert sum(f.stat().st_size for f in (one.data / "log").iterdir()) <= 16 << 20
    server.start()
    wait_for("no unshipped lines", lambda: [p for p in fleet(server)["predictors"] if p["connected"] and p["unshipped_bytes"] == 0], LONG)
    wait_for("room again", lambda: "logged" not in one.predict(), LONG)


def test_a_damaged_wish_and_a_damaged_model_are_fetched_again(servers, predictors, tmp_path):
    server = admin_with_model(servers, tmp_path)
    one = predictors(server, "one").start().wait_ready()
    wait_reached(server, 1)
    one.stop()
    wish = one.data / "wish.json"
    wish.write_text(wish.read_text().replace("small", "smell"))
    for blob in (one.data / "models" / "objects").glob("*/*"):
        blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    one.start().wait_ready()
    assert one.predict()["model"] == "small:1"
