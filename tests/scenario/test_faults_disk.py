"""docs/reliability/faults.md says what each kind of request gets while something is wrong with the disk, the clock or the folder, and what
becomes of it afterwards. The table there is the test: every row is tried here, and a row that nobody knows how to try fails."""
import contextlib
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import time

import pytest

from conftest import MILLRACE, TOP, Server, small_project, wait_for

PAGE = TOP / "docs" / "reliability" / "faults.md"
RECOVERS_WITHIN = 10.0
REFUSE = 'disk full, prediction log too, `full = "refuse"`'
ROW = {"a": 0.5, "c": "red"}


def table():
    """{fault: {kind: (outcome, afterwards)}}, as the page has it."""
    rows = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 4 or cells[0] == "fault" or set(line) <= set("|- "):
            continue
        fault, kind, outcome, afterwards = cells
        assert kind not in rows.setdefault(fault, {}), f"twice: {fault}, {kind}"
        rows[fault][kind] = (outcome, afterwards)
    return rows


TABLE = table()
TRIED = set()


def tries(fault):
    """The test that begins and ends `fault`."""
    TRIED.add(fault)
    return lambda test: test


# ---- the kinds of request: each gives its outcome as the page writes it ----

def outcome_of(answer):
    if answer.status < 400:
        rows = answer.body.count(b'"logged":false')
        return f"{answer.status}" + (", `\"logged\": false`" if rows else "")
    return f"{answer.status} `{answer.json['error']['reason']}`" + (", Retry-After" if int(answer.headers.get("Retry-After") or 0) > 0 else "")


def exit_of(done):
    reason = re.search(r"^  reason  (\S+)$", done.stderr, re.M)
    return f"exit {done.returncode}" + (f" `{reason.group(1)}`" if reason else "")


class Site:
    """A project, its server, and a disk of its own for the data folder."""

    def __init__(self, folder, size, env=None, more=""):
        self.folder, self.count = folder, 0
        folder.mkdir()
        self.disk = folder / ".millrace"
        self.disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.disk], capture_output=True, text=True)
        if mounted.returncode != 0:
            pytest.skip("only root may mount a small disk: " + mounted.stderr.strip())
        small_project(folder, more='[source.more]\nuri = "upload"\n' + more)
        self.server = Server(folder, env=env)

    def begin(self):
        """Version 1 is current, and 2 was; an archive of 1 lies ready to be sent."""
        server = self.server.start().wait_ready()
        server.cli("train")
        server.wait_versions("small", 2)
        self.archive = server.get("/api/v1/models/small/versions/1/export").body
        self.ids = [server.post("/predict/small", ROW).json["id"] for _ in range(3)]
        self.settle()
        return self

    def settle(self):
        wait_for("rest", lambda: (lambda s: not s["running"] and not s["waiting"])(self.server.get("/api/v1/status").json))
        wait_for("the events to be announced", lambda: self.outbox() == 0)

    def outbox(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.disk}/meta.db?mode=ro", uri=True)) as records:
            return records.execute("SELECT COUNT(*) FROM meta_outbox").fetchone()[0]

    def number(self):
        self.count += 1
        return self.count

    def fill(self):
        """Not a byte is left. `damaged` is where files lie that nobody reads."""
        (self.disk / "damaged").mkdir(exist_ok=True)
        file = os.open(self.disk / "damaged" / "FILL", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (1 << 20, 65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(file, b"x" * size)
        finally:
            os.close(file)

    def empty(self):
        (self.disk / "damaged" / "FILL").unlink()

    def fill_segment(self):
        body = ("a,c\n" + "0.5,red\n" * 9000).encode()
        for _ in range(40):
            answer = self.server.request("POST", "/predict/small", body, headers={"Content-Type": "text/csv"})
            if answer.status != 200 or b'"logged":false' in answer.body:
                return
        pytest.fail("40 large requests did not fill a segment")

    def run(self, *arguments, server=True):
        return subprocess.run([MILLRACE, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True, timeout=120)

    def close(self):
        self.server.stop()
        subprocess.run(["umount", self.disk], capture_output=True)


def notes(site):
    return " / ".join(site.server.get("/api/v1/status").json["models"][0]["notes"])


KINDS = {
    "predict, JSON": lambda site: outcome_of(site.server.post("/predict/small", ROW)),
    "predict, CSV": lambda site: outcome_of(site.server.request("POST", "/predict/small", b"a,c\n0.5,red\n0.1,blue\n",
                                                                headers={"Content-Type": "text/csv"})),
    "labels": lambda site: outcome_of(site.server.post("/labels/small", [
        {"prediction": site.ids[0], "value": "1", "id": f"label {site.number()}"}])),
    "upload": lambda site: outcome_of(site.server.request(
        "POST", "/api/v1/datasets/more/upload?name=more.csv", f"a,b\n{site.number()},2\n".encode() * 30_000)),
    "import": lambda site: outcome_of(site.server.request("POST", "/api/v1/models/small/import?name=sent.zip", site.archive)),
    "train": lambda site: outcome_of(site.server.post("/api/v1/train", {})),
    "apply": lambda site: outcome_of(site.server.post("/api/v1/project", {
        "text": (site.folder / "millrace.toml").read_text() + f'[labels]\nmature = "{10 + site.number()}d"\n'})),
    "promote": lambda site: outcome_of(site.server.post("/api/v1/models/small/promote", {"version": other(site), "reason": "test"})),
    "rollback": lambda site: outcome_of(site.server.post("/api/v1/models/small/rollback", {"reason": "test"})),
    "status": lambda site: outcome_of(site.server.get("/api/v1/status")),
    "metrics": lambda site: outcome_of(site.server.get("/metrics")),
    "readiness": lambda site: outcome_of(site.server.get("/readyz")),
    "runs ls": lambda site: outcome_of(site.server.get("/api/v1/runs")),
    "models ls": lambda site: outcome_of(site.server.get("/api/v1/models/small")),
    "models gc": lambda site: outcome_of(site.server.post("/api/v1/gc", {})),
    "data query": lambda site: outcome_of(site.server.post("/api/v1/datasets/data/versions/1/query", {"sql": "SELECT count(*) FROM data"})),
    "backup to another disk": lambda site: exit_of(site.run("backup", site.folder / f"backup{site.number()}")),
    "backup to the same disk": lambda site: exit_of(site.run("backup", site.disk / "damaged" / f"backup{site.number()}")),
    "doctor": lambda site: exit_of(site.run("doctor")),
    "a second `up`": lambda site: exit_of(site.run("up", "--listen", "127.0.0.1:0")),
}


def other(site):
    return 3 - next(a["version"] for a in site.server.model("small")["aliases"] if a["alias"] == "current")


def while_it_lasts(site, fault, again=lambda: None):
    """Each row of `fault` as the page has it. What is wrong is told together."""
    wrong = []
    for kind, (expected, _) in TABLE[fault].items():
        if kind not in KINDS:
            continue  # tried by the fault's own test
        again()
        got = KINDS[kind](site)
        if got != expected:
            wrong.append(f"{fault} | {kind}: the page says {expected}, it is {got}")
    assert not wrong, "\n".join(wrong) + "\n" + site.server.log()[-2000:]


def afterwards(site, fault, since):
    """Each kind of request gets what the page says for afterwards. What counts is when it was asked: commands take their own time."""
    waiting = {kind: after for kind, (_, after) in TABLE[fault].items() if kind in KINDS and after not in ("-", "the same")}
    last, took = {}, {}
    while waiting and time.monotonic() - since < RECOVERS_WITHIN:
        for kind, expected in list(waiting.items()):
            asked = time.monotonic() - since
            last[kind] = KINDS[kind](site)
            if last[kind] == expected or (kind == "train" and "loop.run_under_way" in last[kind]):
                took[kind] = asked
                del waiting[kind]
        time.sleep(0.05)
    assert not waiting, f"{fault}: {RECOVERS_WITHIN} s later still {[(kind, last[kind]) for kind in waiting]}, expected {waiting}"
    print(f"recovery after '{fault}': " + ", ".join(f"{kind} {seconds:.2f} s" for kind, seconds in took.items()))


@pytest.fixture
def site(tmp_path):
    made = []

    def make(size="96m", **more):
        made.append(Site(tmp_path / f"site{len(made)}", size, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()
    shutil.rmtree(tmp_path, ignore_errors=True)


# ---- the disk is full ----

def test_every_row_is_known():
    own = {"disk full": {"training under way"}, "disk full, prediction log too": {"what `status` says"},
           "sync of the records fails": {"what `status` says"}, "sync of the queue fails": {"what `status` says", "events"},
           "sync of the prediction log fails": {"what `status` says"}}
    assert set(TABLE) == TRIED
    for fault, rows in TABLE.items():
        assert set(rows) <= set(KINDS) | own.get(fault, set()), (fault, set(rows) - set(KINDS))
        assert own.get(fault, set()) <= set(rows), fault
    every = {"predict, JSON", "predict, CSV", "labels", "upload", "import", "train", "training under way", "promote", "rollback", "status",
             "data query", "runs ls", "models gc", "backup to another disk", "doctor"}
    assert every <= set(TABLE["disk full"])


@tries("disk full")
def test_a_full_disk(site):
    site = site().begin()
    site.fill()
    while_it_lasts(site, "disk full", site.fill)
    site.empty()
    afterwards(site, "disk full", time.monotonic())


@tries("disk full, prediction log too")
def test_a_full_disk_and_nowhere_to_log(site):
    site = site().begin()
    fault = "disk full, prediction log too"
    site.fill()
    site.fill_segment()
    while_it_lasts(site, fault, site.fill)
    wait_for("status", lambda: TABLE[fault]["what `status` says"][0] in notes(site), 10)
    metric = re.search(r'^millrace_serve_not_logged\{model="small"\} (\d+)$', site.server.get("/metrics").body.decode(), re.M)
    assert int(metric.group(1)) > 0
    site.empty()
    since = time.monotonic()
    afterwards(site, fault, since)
    wait_for("status", lambda: TABLE[fault]["what `status` says"][1] in notes(site), 10)


@tries(REFUSE)
def test_no_answer_without_a_line(site):
    fault = REFUSE
    site = site(more='[serve.log]\nfull = "refuse"\n').begin()
    site.fill()
    site.fill_segment()
    while_it_lasts(site, fault, site.fill)
    site.empty()
    afterwards(site, fault, time.monotonic())


def test_going_back_again_and_again(site):
    """What is held back is for more than one, and nobody else gets it."""
    site = site().begin()
    site.fill()
    for turn in range(30):
        site.fill()
        held = (site.disk / "reserve").stat().st_size
        assert KINDS["rollback"](site) == "200", turn
        assert (site.disk / "reserve").stat().st_size > held - (256 << 10), turn
        current = site.server.model("small")["aliases"]
        version = next(a["version"] for a in current if a["alias"] == "current")
        wait_for("the swap", lambda: site.server.post("/predict/small", ROW).json["model"] == f"small:{version}", 10)
        site.fill()  # a page that somebody gave back meanwhile
        assert KINDS["labels"](site).startswith("507"), turn
    assert (site.disk / "reserve").stat().st_size > 1 << 20
    site.empty()
    wait_for("what is held back to be whole again", lambda: (site.disk / "reserve").stat().st_size == 4 << 20, RECOVERS_WITHIN)


def test_a_training_on_a_full_disk(site):
    site = site().begin()
    outcome, after = TABLE["disk full"]["training under way"]
    cause = re.search(r"`(\w+)`", outcome).group(1)
    text = (site.folder / "millrace.toml").read_text().replace("rounds = 20", "rounds = 2500, early_stopping = 0, depth = 8, threads = 1")
    (site.folder / "millrace.toml").write_text(text)
    site.server.cli("apply")
    run = wait_for("the training", lambda: (lambda r: r if r["state"] == "running" else None)(site.server.get("/api/v1/runs").json["runs"][0]))
    wait_for("rounds", lambda: any(p["step"] >= 20 for points in site.server.get(f"/api/v1/runs/{run['id']}/metrics").json["metrics"].values()
                                   for p in points))
    site.fill()

    def shown():
        return site.server.get(f"/api/v1/runs/{run['id']}").json
    events = wait_for("its end", lambda: site.fill() or [e for e in shown()["events"] if cause in e], 60)
    assert "No space left" in events[0] or "disk" in events[0], events
    assert KINDS["predict, JSON"](site) == "200"
    site.empty()
    since = time.monotonic()
    wait_for("the next attempt", lambda: site.server.get("/api/v1/status").json["running"] or shown()["state"] == "finished", RECOVERS_WITHIN)
    print(f"recovery after 'disk full': training under way {time.monotonic() - since:.2f} s")
    wait_for("the run", lambda: shown().get("ended"), 180)
    assert after == shown()["state"], shown()


@tries("started on a full disk")
def test_a_start_on_a_full_disk(site):
    site = site().begin()
    site.fill()
    site.server.kill()
    site.fill()
    site.server.start().wait_ready()
    while_it_lasts(site, "started on a full disk", site.fill)
    site.empty()
    afterwards(site, "started on a full disk", time.monotonic())


# ---- a sync fails, the clock steps: world.c ----

class World:
    def __init__(self, folder):
        library = folder / "world.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, TOP / "tests" / "scenario" / "world.c"], check=True)
        self.path = folder / "world"
        self.path.write_bytes(b"\0" * 512)
        self.env = {"LD_PRELOAD": str(library), "MILLRACE_WORLD": str(self.path)}

    def write(self, at, data):
        with open(self.path, "r+b") as file:
            file.seek(at)
            file.write(data)

    def unsynced(self, part):
        self.write(8, part.encode() + b"\0")

    def unwritten(self, part):
        self.write(256, part.encode() + b"\0")

    def clock(self, seconds):
        self.write(0, struct.pack("<q", int(seconds * 1e6)))


@pytest.fixture
def world(tmp_path):
    if not shutil.which("cc"):
        pytest.skip("world.c needs a C compiler")
    return World(tmp_path)


@tries("sync of the records fails")
def test_a_sync_of_the_records_fails(site, world):
    fault = "sync of the records fails"
    site = site(env=world.env).begin()
    world.unsynced("meta.db-wal")
    assert KINDS["labels"](site) == TABLE[fault]["labels"][0]
    while_it_lasts(site, fault)
    wait_for("status", lambda: TABLE[fault]["what `status` says"][0] in notes(site), 10)
    world.unsynced("")
    time.sleep(1.5)
    assert KINDS["labels"](site) == TABLE[fault]["labels"][0], "a later sync that says yes changes nothing"
    site.server.stop()
    site.server.start().wait_ready()
    afterwards(site, fault, time.monotonic())
    assert TABLE[fault]["what `status` says"][0] not in notes(site)


@tries("sync of the queue fails")
def test_a_sync_of_the_queue_fails(site, world):
    fault = "sync of the queue fails"
    site = site(env=world.env).begin()
    segments = set((site.disk / "queue").glob("*.log"))
    world.unsynced("/queue/")
    while_it_lasts(site, fault)
    wait_for("status", lambda: TABLE[fault]["what `status` says"][0] in notes(site), 10)
    assert site.outbox() > 0
    world.unsynced("")
    since = time.monotonic()
    afterwards(site, fault, since)
    wait_for("the events", lambda: site.outbox() == 0, RECOVERS_WITHIN)
    wait_for("status", lambda: TABLE[fault]["what `status` says"][0] not in notes(site), RECOVERS_WITHIN)
    assert set((site.disk / "queue").glob("*.log")) - segments, "in a file of their own, not in the one whose sync failed"


@tries("sync of the prediction log fails")
def test_a_sync_of_the_prediction_log_fails(site, world):
    fault = "sync of the prediction log fails"
    site = site(env=world.env).begin()
    before = set((site.disk / "log").glob("*.mpl"))
    world.unsynced(".mpl")
    site.server.post("/predict/small", ROW)
    wait_for("the server to notice", lambda: TABLE[fault]["what `status` says"][0] in notes(site) or
             '"logged":false' in site.server.post("/predict/small", ROW).body.decode(), 10)
    while_it_lasts(site, fault)
    world.unsynced("")
    afterwards(site, fault, time.monotonic())
    assert set((site.disk / "log").glob("*.mpl")) - before, "in a segment of their own"


@tries("sync of the blobs fails")
def test_a_sync_of_the_blobs_fails(site, world):
    fault = "sync of the blobs fails"
    site = site(env=world.env).begin()
    world.unsynced("/blobs/")
    while_it_lasts(site, fault)
    world.unsynced("")
    afterwards(site, fault, time.monotonic())


@tries("clock steps back an hour")
def test_the_clock_steps_back_an_hour(site, world):
    fault = "clock steps back an hour"
    site = site(env=world.env).begin()
    world.clock(-3600)
    while_it_lasts(site, fault)
    first = site.server.get("/api/v1/runs").json["runs"][0]
    wait_for("the training that was asked for", lambda: site.server.get(f"/api/v1/runs/{first['id']}").json.get("ended"))
    assert site.server.get(f"/api/v1/runs/{first['id']}").json["state"] == "finished"
    world.clock(0)
    afterwards(site, fault, time.monotonic())
    assert site.run("doctor").returncode == 0


# ---- the folder ----

@tries("folder is read-only")
def test_a_folder_that_is_read_only(site):
    fault = "folder is read-only"
    site = site().begin()
    site.server.stop()
    subprocess.run(["mount", "-o", "remount,ro", site.disk], check=True)
    while_it_lasts(site, fault)
    subprocess.run(["mount", "-o", "remount,rw", site.disk], check=True)
    site.server.start().wait_ready()
    afterwards(site, fault, time.monotonic())


@tries("folder becomes read-only")
def test_a_folder_that_becomes_read_only(site, world):
    fault = "folder becomes read-only"
    site = site(env=world.env).begin()
    world.unwritten("/.millrace/")
    while_it_lasts(site, fault)
    world.unwritten("")
    afterwards(site, fault, time.monotonic())
    assert site.run("doctor").returncode == 0


@tries("another server has the folder")
def test_a_second_server_on_the_folder(site):
    fault = "another server has the folder"
    site = site().begin()
    while_it_lasts(site, fault)
    afterwards(site, fault, time.monotonic())
