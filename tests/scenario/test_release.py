"""Releases: a candidate gets its share of the traffic, runs in the shadow, goes back when it fails, and never takes the server with it twice."""
import datetime
import json
import os
import random
import signal
import socket
import struct
import time

import pytest

from conftest import wait_for, write_csv

HOUR = datetime.timedelta(hours=1)
PROJECT = """[project]
name = "shop"
[source.data]
uri = "file:data.csv"
key = "id"
[model]
target = "data.y"
trainer = {{ name = "boosted-trees", rounds = {rounds}, threads = 1 }}
[gates]
"auc" = ">= 0.6"
[release]
steps = {steps}
{more}"""


class Calendar:
    """The server's calendar, put ahead while it runs."""

    def __init__(self, path):
        self.path, self.ahead = path, datetime.timedelta(0)
        path.write_bytes(struct.pack("=q", 0))
        self.env = {"MILLRACE_CLOCK_OFFSET": f"file:{path}"}

    def move(self, by):
        self.ahead += by
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=q", self.ahead // datetime.timedelta(microseconds=1)))


def side(release, key):
    """docs/adr/0016, written once more."""
    x, mask = 0xCBF29CE484222325, (1 << 64) - 1
    for byte in release.encode() + b"\0" + key.encode():
        x = ((x ^ byte) * 0x100000001B3) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return ((x ^ (x >> 31)) >> 11) * 2.0 ** -53


def write_project(folder, rounds, steps, more=""):
    (folder / "millrace.toml").write_text(PROJECT.format(rounds=rounds, steps=json.dumps(steps), more=more))


def row(key, rng=random.Random(3)):
    return {"id": key, "a": rng.gauss(0, 1), "b": rng.gauss(0, 1)}


class Shop:
    """A server whose version 1 serves and whose version 2 is being released by `steps`."""

    def __init__(self, servers, folder, steps, more="", env=None, arguments=(), **others):
        self.folder = folder
        self.calendar = Calendar(folder / "ahead")
        rng = random.Random(1)
        rows = [[n, rng.gauss(0, 1), rng.gauss(0, 1)] for n in range(600)]
        write_csv(folder / "data.csv", [["id", "a", "b", "y"]] + [r + [int(r[1] + r[2] + rng.gauss(0, 0.3) > 0)] for r in rows])
        write_project(folder, 10, steps, more)
        self.server = servers(*arguments, env={**self.calendar.env, **(env or {})}, **others).start().wait_ready()
        write_project(folder, 20, steps, more)
        self.server.cli("apply")
        self.server.wait_versions("shop", 2)
        self.release = self.wait("version 2's release", lambda one: one["candidate"] == 2)

    def releases(self):
        return self.server.get("/api/v1/models/shop/releases").json["releases"]

    def wait(self, what, condition):
        return wait_for(f"{what}\n{self.server.log()}", lambda: next(iter([one for one in self.releases()[:1] if condition(one)]), None), 120)

    def wait_candidate(self):
        wait_for("the candidate", lambda: self.ask("x", {"Millrace-Version": "candidate"}).status == 200, 120)
        return self

    def loaded(self):
        return self.ask("x", {"Millrace-Version": "2"}).status == 200

    def ask(self, key, headers=None):
        return self.server.post("/predict/shop", row(key), headers=headers)

    def model(self, key, headers=None):
        answer = self.ask(key, headers)
        assert answer.status == 200, answer.body
        return answer.json["model"]

    def current(self):
        return self.server.model("shop")["current"]

    def query(self, dataset, sql):
        job = self.server.post("/api/v1/ingest", {"source": "shop.predictions"}).json["job"]

        def over():
            state = self.server.get(f"/api/v1/jobs/{job}").json
            assert state["state"] != "failed", state
            return state["state"] == "done"
        wait_for("the roll", over, 120)
        return self.ask_data(dataset, sql)

    def ask_data(self, dataset, sql):
        done = self.server.cli("data", "query", dataset, sql, "--json").stdout
        return json.loads(done)["rows"]


def test_a_canary_answers_its_keys_and_then_everybody(servers, tmp_path):
    shop = Shop(servers, tmp_path, ["canary 25% 1h", "canary 60% 1h", "full"]).wait_candidate()
    assert shop.current() == 1 and shop.release["previous"] == 1 and shop.release["outcome"] == "running"
    keys = [str(n) for n in range(300)]

    def expected(weight):
        return {key: "shop:2" if side(shop.release["id"], key) < weight else "shop:1" for key in keys}
    assert {key: shop.model(key) for key in keys} == expected(0.25)
    shop.server.stop()
    shop.server.start().wait_ready()
    shop.wait_candidate()
    assert {key: shop.model(key) for key in keys} == expected(0.25), "a restart in the middle moves no key"

    shop.calendar.move(HOUR)
    shop.wait("the second step", lambda one: one["step"] == 2)
    wait_for("its weight", lambda: {key: shop.model(key) for key in keys} == expected(0.6), 120)
    assert all(after == "shop:2" for key, after in expected(0.6).items() if expected(0.25)[key] == "shop:2")

    shop.calendar.move(HOUR)
    shop.wait("the last step", lambda one: one["step"] == 3)
    wait_for("version 2 for all", lambda: {shop.model(key) for key in keys[:20]} == {"shop:2"}, 120)
    assert shop.current() == 2
    for key in keys[:120]:
        shop.ask(key)
    shop.calendar.move(HOUR)
    finished = shop.wait("its probation's end", lambda one: one["outcome"] == "finished")
    assert finished["candidate_failed"] == 0 and finished["candidate_requests"] >= 100, finished
    text = shop.server.cli("releases", "shop").stdout
    assert "finished" in text and "shop:2" in text, text
    wait_for("plain lines", lambda: shop.server.get("/readyz").status == 200)
    why = dict(map(tuple, shop.query("shop.predictions", "SELECT why, count(*) FROM data GROUP BY why")))
    assert {"canary", "header", "probation", None} <= set(why) and "shadow" not in why, why


def test_a_header_chooses_on_every_protocol(servers, tmp_path):
    shop = Shop(servers, tmp_path, ["canary 1% 10h", "full"]).wait_candidate()
    rows = {"dataframe_records": [{"a": 0.1, "b": 0.2, "id": 5}]}
    tensors = {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [0.1]}, {"name": "b", "shape": [1], "datatype": "FP64", "data": [0.2]}]}
    for header, version in (("candidate", "2"), ("current", "1"), ("2", "2"), ("1", "1")):
        headers = {"Millrace-Version": header}
        assert shop.model("7", headers) == f"shop:{version}"
        answer = shop.server.post("/v2/models/shop/infer", tensors, headers=headers)
        assert answer.status == 200 and answer.json["model_version"] == version, answer.body
        answer = shop.server.post("/invocations", rows, headers=headers)
        assert answer.status == 200 and f"shop:{version}" in answer.body.decode(), answer.body
    for path, body in (("/predict/shop", row("7")), ("/v2/models/shop/infer", tensors), ("/invocations/shop", rows)):
        missing = shop.server.post(path, body, headers={"Millrace-Version": "9"})
        assert missing.status == 404 and b"1, 2" in missing.body, missing.body
        assert shop.server.post(path, body, headers={"Millrace-Version": "newest"}).status == 400
    back = shop.server.cli("rollback", "shop", "--reason", "not now")
    assert shop.current() == 1 and shop.releases()[0]["outcome"] == "ended", back.stdout
    refused = shop.ask("7", {"Millrace-Version": "candidate"})
    assert refused.status == 404 and refused.json["error"]["reason"] == "serve.no_candidate", refused.body


def test_a_candidate_that_fails_goes_back(servers, tmp_path):
    shop = Shop(servers, tmp_path, ["canary 50% 10h", "full"], env={"MILLRACE_FAULT": "serve.answer.candidate=error"})
    wait_for("the candidate", lambda: shop.ask("x", {"Millrace-Version": "candidate"}).status == 503, 120)
    for n in range(40):
        assert shop.server.post("/predict/shop", {"id": n, "wrong": 1}).status == 400
    gone = wait_for("its going back", lambda: [shop.ask(str(random.random())) for _ in range(20)] and
                    [one for one in shop.releases() if one["candidate"] == 2 and one["outcome"] == "back"], 120)[0]
    assert "Fisher" in gone["why"] and f"{gone['candidate_failed']} of {gone['candidate_requests']} failed" in gone["why"], gone
    assert gone["candidate_requests"] >= 100 and gone["previous_failed"] == 0, gone
    assert shop.current() == 1
    wait_for("version 1 for all", lambda: all(shop.ask(str(n)).status == 200 for n in range(30)), 30)
    assert "Fisher" in shop.server.cli("releases").stdout


def test_a_version_that_fails_on_probation_goes_back(servers, tmp_path):
    shop = Shop(servers, tmp_path, ["full"], env={"MILLRACE_FAULT": "serve.answer.candidate=error"})
    for n in range(30):  # asked by number, version 1 is on no probation
        assert shop.server.post("/predict/shop/versions/1", row(str(n))).status == 200
    wait_for("its going back", lambda: [shop.ask(str(n)) for n in range(20)] and shop.releases()[0]["outcome"] == "back", 120)
    assert shop.current() == 1
    wait_for("version 1", lambda: shop.ask("1").status == 200, 30)


def test_a_shadow_is_logged_and_never_returned(servers, tmp_path):
    shop = Shop(servers, tmp_path, ["shadow 1h", "full"]).wait_candidate()
    ids = []
    for n in range(60):
        answer = shop.ask(str(n)).json
        assert answer["model"] == "shop:1"
        ids.append(answer["id"])
    shop.wait("its shadows", lambda one: one["candidate_requests"] >= 60)
    assert shop.releases()[0]["shadow_dropped"] == 0 and shop.current() == 1
    shop.server.post("/labels/shop", [{"prediction": one, "value": "1"} for one in ids[:30]])
    counts = dict(map(tuple, shop.query("shop.predictions", "SELECT version, count(*) FROM data GROUP BY version")))
    assert counts["1"] == "60" and counts["2"] == "1", f"the shadow is not among what was answered: {counts}"
    shadows = shop.ask_data("shop.shadow.predictions", "SELECT live_id, version, why, prediction_id FROM data")
    assert sorted(one[0] for one in shadows) == sorted(ids) and {tuple(one[1:3]) for one in shadows} == {("2", "shadow")}
    assert not {one[3] for one in shadows} & set(ids)
    live = wait_for("live quality", lambda: shop.server.model("shop")["versions"][-2]["live"], 120)
    assert live[0]["labelled"] == 30, live
    shadowed = shop.server.get("/api/v1/models/shop/versions/2").json["live"]
    assert [one["predictions"] for one in shadowed] == [1] * len(shadowed), f"by it one person was answered, who asked for it: {shadowed}"
    shop.calendar.move(HOUR)
    shop.wait("the full step", lambda one: one["step"] == 2)
    wait_for("version 2", lambda: shop.model("1") == "shop:2", 60)


def test_a_shadow_that_hangs_is_dropped_and_nobody_waits(servers, tmp_path):
    shop = Shop(servers, tmp_path, ["shadow 10h", "full"], env={"MILLRACE_FAULT": "serve.answer.candidate=hang"})

    def dropped():
        slowest = 0.0
        for n in range(100):
            began = time.monotonic()
            assert shop.model(str(n)) == "shop:1"
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 5, slowest
        return shop.releases()[0]["shadow_dropped"] > 100
    wait_for("full queue", dropped, 120)
    metrics = shop.server.get("/metrics").body.decode()
    assert 'millrace_serve_shadow_dropped{model="shop"} ' in metrics
    shop.server.stop()
    assert shop.server.process.returncode == 0, shop.server.log()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ask_until_it_dies(shop):
    """Requests until one gets no answer; how many did."""
    for n in range(1000):
        try:
            assert shop.ask(str(n)).status == 200
        except OSError:
            return n
    pytest.fail("the server lives")


@pytest.mark.parametrize("steps", [["full"], ["canary 100% 10h", "full"], ["shadow 10h", "full"]], ids=lambda one: one[0].split()[0])
def test_a_version_that_ends_the_server_is_gone_when_it_is_back(servers, tmp_path, steps):
    shop = Shop(servers, tmp_path, steps, env={"MILLRACE_FAULT": "serve.answer.candidate=abort@100"}, arguments=["--restart"],
                listen=f"127.0.0.1:{free_port()}")
    pid = shop.server.process.pid
    ready = ["shop:2"] if steps[0] != "shadow 10h" else ["shop:1"]
    wait_for("version 2", lambda: [shop.model("1")] == ready and (steps == ["full"] or shop.server.get("/metrics").status == 200 and shop.loaded()), 120)
    answered = ask_until_it_dies(shop)
    died = time.monotonic()
    wait_for("the server again", lambda: shop.server.reachable() and shop.server.get("/readyz").status == 200, 120)
    took = time.monotonic() - died
    print(f"back after {took:.2f} s")
    assert took < 2 * max(1, os.getloadavg()[0] / os.cpu_count()), took
    assert not shop.server.gone() and shop.server.process.pid == pid, "its parent lives"
    release = shop.releases()[0]
    assert release["outcome"] == "died" and release["candidate"] == 2 and release["death"]["name"] == "SIGABRT" and release["death"]["version"] == 2, release
    last = release["death"]["last_requests"]
    assert len(last) == 64 and not last[0]["answered"] and last[0]["rows"] == 1, last[:2]
    assert sum(not one["answered"] for one in last) == 1 and {one["version"] for one in last} == {2}
    if steps != ["shadow 10h", "full"]:
        assert answered <= 100 and len({one["prediction"] for one in last}) == 64
    assert shop.current() == 1 and all(shop.model(str(n)) == "shop:1" for n in range(150))
    assert shop.ask("1", {"Millrace-Version": "2"}).status == 404, "it is not loaded again by itself"
    assert "SIGABRT" in shop.server.cli("releases").stdout
    shop.server.cli("promote", "shop:2", "--reason", "once more")
    assert shop.model("1") == "shop:2", "but by hand it is"
    assert shop.releases()[0]["outcome"] == "running"


def test_killed_while_it_records_a_death(servers, tmp_path):
    """Without --restart: whoever starts the server again finds the version before. A death while that is recorded changes nothing."""
    faults = [f"{point}=kill/once:{tmp_path / point}" for point in ("loop.death.before_commit", "loop.death.after_commit")]
    shop = Shop(servers, tmp_path, ["full"], env={"MILLRACE_FAULT": ",".join(["serve.answer.candidate=abort@20", *faults])})
    wait_for("version 2", lambda: shop.model("1") == "shop:2", 120)
    ask_until_it_dies(shop)
    shop.server.process.wait(30)
    assert shop.server.process.returncode == -signal.SIGABRT
    for _ in faults:
        shop.server.start(wait=False)
        assert shop.server.process.wait(60) == -signal.SIGKILL
    shop.server.start().wait_ready()
    assert shop.model("1") == "shop:1" and shop.current() == 1
    died = [one for one in shop.releases() if one["outcome"] == "died"]
    assert len(died) == 1 and died[0]["death"]["name"] == "SIGABRT", died
    assert "nothing to mend" in shop.server.cli("doctor").stdout


def test_a_kill_is_no_verdict(servers, tmp_path):
    """SIGKILL, a power cut, a stop in good order: the version on probation is still the one that serves."""
    shop = Shop(servers, tmp_path, ["full"])
    wait_for("version 2", lambda: shop.model("1") == "shop:2", 120)
    for end in (shop.server.kill, shop.server.stop):
        end()
        shop.server.start().wait_ready()
        assert shop.model("1") == "shop:2" and shop.releases()[0]["outcome"] == "running"


def test_steps_that_can_not_be(servers, tmp_path):
    write_csv(tmp_path / "data.csv", [["id", "a", "b", "y"], [1, 2, 3, 1]])
    for steps, said in ((["replay 14d", "full"], "not available yet"), (["canary 5%"], "the last step is"), (["blue", "full"], "release.steps"),
                        (["canary 20%", "canary 5%", "full"], "never falls")):
        write_project(tmp_path, 10, steps)
        server = servers()
        refused = server.cli("up", "--listen", "127.0.0.1:0", expect=None)
        assert refused.returncode != 0 and said in refused.stderr, refused.stderr
