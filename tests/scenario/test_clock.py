"""Somebody sets the machine's clock back an hour while the server runs: nothing runs twice, nothing waits for the hour
to come again, nobody loses a lease, and what is asked, labelled and logged stays in order."""
import datetime
import struct
import time

from conftest import small_project, wait_for

UTC = datetime.timezone.utc
HOUR = datetime.timedelta(hours=1)


class Calendar:
    """The program's calendar, in a file that it has mapped."""

    def __init__(self, path, moment):
        self.path, self.ahead = path, moment - datetime.datetime.now(UTC)
        path.write_bytes(bytes(8))
        self.write()
        self.env = {"MILLRACE_CLOCK_OFFSET": f"file:{path}"}

    def write(self):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=q", self.ahead // datetime.timedelta(microseconds=1)))

    def move(self, by):
        self.ahead += by
        self.write()

    def now(self):
        return datetime.datetime.now(UTC) + self.ahead


def runs(server):
    return server.get("/api/v1/runs").json["runs"]


def test_an_hour_back(servers, tmp_path):
    small_project(tmp_path, more='[retrain]\nschedule = "daily 02:00"\n')
    two = datetime.datetime(2031, 7, 10, 2, tzinfo=UTC)
    calendar = Calendar(tmp_path / "calendar", two - HOUR)
    server = servers(env=calendar.env).start().wait_ready()
    asked = [server.post("/predict/small", {"a": i / 10, "c": "red"}).json["id"] for i in range(5)]

    calendar.move(HOUR - datetime.timedelta(seconds=1))
    wait_for("the run by schedule", lambda: len(runs(server)) == 2 and runs(server)[0]["state"] == "finished")
    assert runs(server)[0]["cause"] == "schedule daily 02:00"

    # A training is under way while the clock goes back, for longer than a lease lasts.
    trainer = (tmp_path / "millrace.toml").read_text()
    (tmp_path / "millrace.toml").write_text(trainer.replace('trainer = { name = "boosted-trees", rounds = 20 }', "trainer = { name = \"command\", command = 'sleep 12; exit 3' }"))
    server.cli("apply")
    wait_for("its command", lambda: "train" in "".join(server.get("/api/v1/status").json["running"]))
    calendar.move(-HOUR)
    began = time.monotonic()
    more = [server.post("/predict/small", {"a": i / 10, "c": "red"}).json["id"] for i in range(5)]
    assert asked + more == sorted(asked + more), "ids stay in order"
    labels = [{"prediction": id, "value": 1} for id in asked + more]
    assert server.post("/labels/small", labels).json["accepted"] == 10
    run = wait_for("the end of the training", lambda: runs(server)[0] if runs(server)[0].get("ended") else None, 40)
    assert run["state"] == "failed" and "status 3" in run["failure"]
    events = server.get(f"/api/v1/runs/{run['id']}").json["events"]
    assert not [e for e in events if "lost" in e or "token 2" in e], events

    # What is asked for now begins now, not in an hour; and 02:00 comes again and means nothing.
    (tmp_path / "millrace.toml").write_text(trainer)
    server.cli("apply")
    wait_for("the next training", lambda: len(runs(server)) == 4 and runs(server)[0]["state"] == "finished", 30)
    assert time.monotonic() - began < 60
    calendar.move(two - calendar.now() - datetime.timedelta(seconds=1))
    time.sleep(4)
    assert calendar.now() > two and len(runs(server)) == 4, "it does not run twice"
    for id in asked[:1] + more[-1:]:
        why = server.cli("why", id).stdout
        assert "label" in why, why
    calendar.move(datetime.timedelta(days=1))
    wait_for("the run of the next day", lambda: len(runs(server)) == 5 and runs(server)[0]["cause"] == "schedule daily 02:00")
    server.cli("doctor", expect=0)
