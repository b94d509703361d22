"""Every kind of file that a data folder can hold, damaged in five ways: doctor names the file, what depends on it, what is lost and the
command; after that command doctor has nothing to say, and the server starts and answers. Where it says nothing, TABLE tells why."""
import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import zlib

import pytest

from conftest import MILLRACE, Server, small_project, wait_for

ROW = {"a": 0.5, "c": "red"}
DAMAGES = ["flipped", "cut", "missing", "empty", "extra"]

# What doctor says of it, by damage. "-": nothing, and nothing is lost, for the reason that `doctor --kinds` gives for the kind or the comment
# here does. "no kind": the extra file is one that nobody reads; it is set aside. Else the words that the finding's `lost` begins with.
RESTORED = "what came after the backup"
AGAIN = "nothing"
TABLE = {
    # pattern:                flipped       cut           missing       empty         extra
    "format":                [AGAIN,        AGAIN,        AGAIN,        AGAIN,        "no kind"],
    "lock":                  ["-",          "-",          "-",          "-",          "no kind"],
    # A flipped byte inside of a text that a record holds can't be told: SQLite has checksums for its log only. The one here breaks a page.
    "meta.db":               [RESTORED,     RESTORED,     RESTORED,     RESTORED,     "no kind"],
    # Cut, missing, empty: told by the events that were announced. A log of another folder in its place can't be told from its own.
    "meta.db-wal":           ["at most",    "what those", "what those", "what those", "no kind"],
    "meta.db-shm":           ["-",          "-",          "-",          "-",          "no kind"],
    "meta.db-journal":       ["-",          "-",          "-",          "-",          "no kind"],
    "meta.before-*.db":      ["-",          "-",          "-",          "-",          "no kind"],
    "reserve":               ["-",          "-",          "-",          "-",          "no kind"],
    "meta.copy":             ["-",          "-",          "-",          "-",          "no kind"],
    # A token is whatever stands in the file; made anew when it is missing.
    "token":                 ["-",          "-",          "-",          "the token",  "no kind"],
    "address":               ["-",          "-",          "-",          "-",          "no kind"],
    "certificate":           ["-",          "-",          "-",          "-",          "no kind"],
    "last_words":            ["-",          "-",          "-",          "-",          "no kind"],
    "millrace.log":          ["-",          "-",          "-",          "-",          "no kind"],
    "millrace.#.log":        ["-",          "-",          "-",          "-",          "no kind"],
    "access.log":            ["-",          "-",          "-",          "-",          "no kind"],
    "access.#.log":          ["-",          "-",          "-",          "-",          "no kind"],
    "last_backup":           ["-",          "-",          "-",          "-",          "no kind"],
    # Its blobs need it, and the backup has the keys. (Nearly every blob of the loop is sealed: its project says so.)
    "keys":                  [AGAIN,        AGAIN,        AGAIN,        AGAIN,        "no kind"],
    "keys.lock":             ["-",          "-",          "-",          "-",          "no kind"],
    # With a backup at hand; without one: test_blobs_without_a_backup. Extra: content under a digest that is not its own.
    "blobs/objects/*/@":     [AGAIN,        AGAIN,        AGAIN,        AGAIN,        AGAIN],
    "blobs/tmp/*.part":      ["-",          "-",          "-",          "-",          "-"],
    "blobs/pins/@":          ["-",          "-",          "-",          "-",          "-"],
    "blobs/trash/@":         ["-",          "-",          "-",          "-",          "-"],
    "blobs/trash/@.pin":     ["-",          "-",          "-",          "-",          "-"],
    "blobs/quarantine/@":    ["-",          "-",          "-",          "-",          "-"],
    "blobs/quarantine/@.#":  ["-",          "-",          "-",          "-",          "-"],
    "blobs/quarantine/*.txt": ["-",         "-",          "-",          "-",          "-"],
    "blobs/gc.lock":         ["-",          "-",          "-",          "-",          "no kind"],
    # Cut: nothing stood in the half that was never used. Missing, empty: the backup has its lines as they were then.
    "log/#.mpl":             ["at most",    AGAIN,        "its lines since", "its lines since", AGAIN],
    # Missing: like what retention removes. Cut: like the torn end of a write; events are hints.
    "queue/#.log":           [AGAIN,        "-",          "-",          AGAIN,        AGAIN],
    # Cut, here: no JSON any more. Missing: consumers begin with the oldest event.
    "queue/consumers.json":  [AGAIN,        AGAIN,        "-",          AGAIN,        "no kind"],
    "queue/lock":            ["-",          "-",          "-",          "-",          "no kind"],
    "runs/*.txt":            ["-",          "-",          "-",          "-",          "-"],
    "scratch/**":            ["-",          "-",          "-",          "-",          "-"],
    "scratch-*/**":          ["-",          "-",          "-",          "-",          "-"],
    "tmp/**":                ["-",          "-",          "-",          "-",          "-"],
    "damaged/**":            ["-",          "-",          "-",          "-",          "-"],
    "*.tmp":                 ["-",          "-",          "-",          "-",          "-"],
    "queue/*.tmp":           ["-",          "-",          "-",          "-",          "-"],
}
# Kinds that a loop does not leave behind: made by hand, as their writers would.
BY_HAND = {
    "meta.db-journal": "meta.db-journal", "millrace.#.log": "millrace.1.log", "access.log": "access.log", "access.#.log": "access.1.log", "blobs/tmp/*.part": "blobs/tmp/01M81KQMTAEAQBKZHW55WBQ4N9.part",
    "blobs/trash/@": "blobs/trash/" + "a" * 64, "blobs/trash/@.pin": "blobs/trash/" + "b" * 64 + ".pin",
    "blobs/quarantine/@": "blobs/quarantine/" + "c" * 64, "blobs/quarantine/@.#": "blobs/quarantine/" + "c" * 64 + ".2",
    "blobs/quarantine/*.txt": "blobs/quarantine/" + "c" * 64 + ".txt", "scratch/**": "scratch/JOB-1/spec.json",
    "scratch-*/**": "scratch-other/JOB-1/spec.json", "tmp/**": "tmp/00/half", "damaged/**": "damaged/20261122T120000Z/format", "*.tmp": "address.tmp",
    "queue/*.tmp": "queue/consumers.json.tmp", "meta.copy": "meta.copy", "meta.before-*.db": "meta.before-0123456789ab.db", "blobs/gc.lock": "blobs/gc.lock", "address": "address", "certificate": "certificate",
    "meta.db-shm": "meta.db-shm", "queue/consumers.json": "queue/consumers.json", "blobs/pins/@": "blobs/pins/" + "d" * 64,
}
CONSUMERS = '{"format":1,"consumers":[{"name":"monitor","filter":"model.>","position":3}]}\n'


def run(home, *arguments, expect=None):
    done = subprocess.run([MILLRACE, *map(str, arguments)], cwd=home, capture_output=True, text=True, timeout=300)
    assert done.returncode >= 0, f"killed by signal {-done.returncode}: {arguments}\n{done.stdout}\n{done.stderr}"
    assert expect is None or done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def doctor(home, *more):
    done = run(home, "doctor", "--json", *more)
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == (1 if report["findings"] else 0)
    for finding in report["findings"]:
        assert finding["what"] and finding["needed_by"] and finding["problem"] and finding["lost"] and finding["commands"], finding
    return report


def kinds():
    return json.loads(subprocess.run([MILLRACE, "doctor", "--kinds", "--json"], capture_output=True, text=True, check=True).stdout)


def expression(pattern):
    special = {"#": "[0-9]+", "@": "[0-9a-f]{64}", "*": "[^/]*"}
    text = "".join(special.get(c) or re.escape(c) for c in pattern.removesuffix("**"))
    return re.compile(text + (".*" if pattern.endswith("**") else "") + r"\Z")


def files_of(data_dir, pattern):
    wanted = expression(pattern)
    paths = sorted(p for p in data_dir.rglob("*") if p.is_file() and wanted.match(p.relative_to(data_dir).as_posix()))
    return paths


def asks(server, count):
    return [server.post("/predict/small", {"a": n / count, "c": "red"}).json["id"] for n in range(count)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder that went through the whole loop: `stopped`, with a backup of it; and `killed`, a moment later."""
    top = tmp_path_factory.mktemp("doctor")
    home = top / "home"
    home.mkdir()
    small_project(home, more='[retrain]\nwhen = ["new_labels >= 20"]\nwindow = "any"\n[profile.default]\nseal = "file:master.key"\n')
    (home / "master.key").write_text("7" * 64)
    (home / "master.key").chmod(0o600)
    server = Server(home).start().wait_ready()
    ids = asks(server, 20)
    server.post("/labels/small", [{"prediction": one, "value": str(n % 2)} for n, one in enumerate(ids)])
    server.wait_versions("small", 2)
    server.cli("ingest", "small.predictions")
    asks(server, 20)
    newest = max(int(path.stem) for path in (server.data_dir / "log").glob("*.mpl"))
    wait_for("the segment to be noted", lambda: noted(server.data_dir) >= newest)
    server.stop()
    run(home, "backup", top / "safe", expect=0)
    shutil.copytree(home, top / "stopped")
    server = Server(home).start().wait_ready()
    for _ in range(12):
        server.post("/labels/small", [{"prediction": one, "value": "1"} for one in asks(server, 1)])
    wait_for("the events to be announced", lambda: query(server.data_dir, "SELECT COUNT(*) FROM meta_outbox")[0] == 0)
    server.kill()
    shutil.copytree(home, top / "killed")
    yield top
    shutil.rmtree(top, ignore_errors=True)


def query(data_dir, sql):
    with contextlib.closing(sqlite3.connect(f"file:{data_dir}/meta.db?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchone()


def noted(data_dir):
    row = query(data_dir, "SELECT result FROM loop_chores WHERE name = 'log_segments'")
    return json.loads(row[0])["used"] if row else 0


@pytest.fixture
def copy(folders, tmp_path):
    count = iter(range(1000))

    def make(state="stopped", backup=True):
        home = tmp_path / f"{next(count)}"
        shutil.copytree(folders / state, home)
        if not backup:
            (home / ".millrace" / "last_backup").unlink()
        return home

    yield make
    shutil.rmtree(tmp_path, ignore_errors=True)


def damage(path, how, kind):
    """One file. Returns the one that doctor has to name."""
    raw = bytearray(path.read_bytes())
    if how == "flipped":
        place = len(raw) // 2
        if kind == "meta.db":
            place = 4096  # the type of a page of the tree
        if kind in ("format", "queue/consumers.json"):
            place = 0
        if kind == "log/#.mpl":
            place = raw.find(b"red")
        if kind == "queue/#.log":
            place = 40
        if kind == "meta.db-wal":
            place = 32 + 24 + 100  # in the first page that it holds
        if raw:
            raw[place] ^= 0xFF
        path.write_bytes(raw)
    elif how == "cut":
        path.write_bytes(raw[:len(raw) // 2])
    elif how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    else:
        extra = path.with_name(path.name + ".copy")
        if kind == "log/#.mpl":
            extra = path.with_name(f"{int(path.stem) + 1:012}.mpl")
        elif kind == "queue/#.log":
            extra = path.with_name(f"{int(path.stem) + 1000:020}.log")
        elif kind == "blobs/objects/*/@":
            extra = path.with_name(path.name[:2] + "0" * 62)
        elif "@" in kind:
            extra = path.with_name(path.name.replace(path.name[:64], "e" * 64))
        elif "*" in kind:
            extra = path.with_name("other" + path.name)
        shutil.copy(path, extra)
        return extra
    return path


def starts_or_says(home):
    """A server on what is damaged comes up, or ends with an error that says what to do: never by a signal."""
    server = Server(home)
    server.start(wait=False)
    address = server.data_dir / "address"
    wait_for("the start or its end", lambda: server.gone() or (address.exists() and address.read_text().strip()))
    if server.gone():
        assert server.process.returncode == 1, server.log()
        assert re.search(r"error.*(doctor|restore|remove|move|backup)", server.log(), re.S), server.log()
    server.stop()
    assert server.process.returncode in (0, 1), f"exit {server.process.returncode}\n{server.log()}"


def do(home, commands):
    """The commands as they stand there, in the project's folder."""
    server = None
    for command in commands:
        if command.split()[:2] == ["millrace", "up"]:
            server = Server(home).start()
            continue
        done = subprocess.run(["sh", "-ec", command], cwd=home, capture_output=True, text=True, timeout=300,
                              env={**os.environ, "PATH": f"{MILLRACE.parent}:{os.environ['PATH']}"})
        assert done.returncode in (0, 1, 4), f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    if server:
        server.stop()


def answers(home):
    server = Server(home)
    try:
        server.start().wait_ready()
        assert server.post("/predict/small", ROW).status == 200
    finally:
        server.stop()


def mend_all(home):
    """Does what doctor says until it has nothing to say; what it said was lost."""
    lost = []
    for _ in range(3):
        findings = doctor(home)["findings"]
        if not findings:
            return lost
        lost += [finding["lost"] for finding in findings]
        do(home, findings[0]["commands"])
    findings = doctor(home)["findings"]
    assert not findings, findings
    return lost


def test_the_table_has_every_kind():
    assert [kind["pattern"] for kind in kinds()] == list(TABLE)
    for kind in kinds():
        silent = all(cell in ("-", "no kind") for cell in TABLE[kind["pattern"]])
        assert silent == bool(kind["harmless"]), kind


@pytest.mark.parametrize("state", ["stopped", "killed"])
def test_every_file_of_the_loop_is_of_a_kind(folders, state):
    data_dir = folders / state / ".millrace"
    patterns = [expression(kind["pattern"]) for kind in kinds()]
    unknown = [path for path in (p.relative_to(data_dir).as_posix() for p in data_dir.rglob("*") if p.is_file())
               if not any(pattern.match(path) for pattern in patterns)]
    assert not unknown
    assert doctor(folders / state)["findings"] == []


@pytest.mark.parametrize("kind", [pattern for pattern in TABLE if set(TABLE[pattern]) - {"-", "no kind"}])
@pytest.mark.parametrize("how", DAMAGES)
def test_damaged(copy, kind, how):
    home = copy("killed" if kind == "meta.db-wal" else "stopped")
    data_dir = home / ".millrace"
    if kind == "queue/consumers.json":
        (data_dir / kind).write_text(CONSUMERS)
    victims = files_of(data_dir, kind)
    victim = max(victims, key=lambda p: p.stat().st_size) if kind == "blobs/objects/*/@" else victims[-1]
    named = damage(victim, how, kind)
    expected = TABLE[kind][DAMAGES.index(how)]
    other = home.with_name(home.name + "-unmended")
    shutil.copytree(home, other)
    starts_or_says(other)
    report = doctor(home)
    if expected == "-":
        assert report["findings"] == []
    else:
        name = named.relative_to(data_dir).as_posix()
        found = [finding for finding in report["findings"] if finding["file"] == name]
        assert len(found) == 1, report["findings"]
        assert found[0]["lost"].startswith("nothing" if expected == "no kind" else expected), found[0]
        assert (found[0]["what"] == "file of no kind") == (expected == "no kind")
        mend_all(home)
    answers(home)


def test_harmless_kinds(copy):
    """All of them at once: nothing is said of what is damaged, every extra file is, and the server comes up."""
    for how in DAMAGES:
        home = copy("killed")
        data_dir = home / ".millrace"
        extra = set()
        for kind, row in TABLE.items():
            if set(row) - {"-", "no kind"} or kind == "blobs/trash/@":
                continue
            if kind in BY_HAND and not files_of(data_dir, kind):
                made = data_dir / BY_HAND[kind]
                made.parent.mkdir(parents=True, exist_ok=True)
                made.write_bytes(b"0123456789" * 10)
            named = damage(files_of(data_dir, kind)[0], how, kind)
            if how == "extra" and row[-1] == "no kind":
                extra.add(named.relative_to(data_dir).as_posix())
        assert {finding["file"] for finding in doctor(home)["findings"]} == extra, how
        mend_all(home)
        assert not [name for name in extra if (data_dir / name).exists()]
        answers(home)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_blob_that_a_collection_had_set_aside(copy, how):
    """It is put back, as by a start, and looked at in its place; no record named it."""
    home = copy()
    content = b"of no use"
    digest = hashlib.sha256(content).hexdigest()
    whole = blob_of(home, "code").read_bytes()
    header = bytearray(whole[:64])
    header[12:32] = bytes(20)  # not sealed
    header[32:40] = len(content).to_bytes(8, "little")
    header[60:64] = zlib.crc32(bytes(header[:60])).to_bytes(4, "little")
    victim = home / ".millrace" / "blobs" / "trash" / digest
    victim.write_bytes(bytes(header) + content)
    damage(victim, how, "blobs/trash/@")
    findings = doctor(home)["findings"]
    assert len(findings) == (0 if how == "missing" else 1), findings
    assert all(finding["lost"].startswith("nothing") for finding in findings)
    assert mend_all(home) == []
    answers(home)


def blob_of(home, use):
    one = lambda sql: query(home / ".millrace", sql)[0]
    plan = json.loads(one("SELECT plan FROM loop_trainings ORDER BY started_us DESC LIMIT 1"))
    digest = {"model": lambda: one("SELECT artifact FROM registry_versions WHERE number = 2"),
              "baseline": lambda: one("SELECT artifact FROM registry_versions WHERE number = 0"),
              "part": lambda: one("SELECT digest FROM data_parts WHERE dataset = 'data'"),
              "rolled": lambda: one("SELECT digest FROM data_parts WHERE dataset = 'small.predictions'"),
              "rows": lambda: plan["train"]["rows"]["feedback"][0]["digest"],
              "code": lambda: plan["code"]["project_file"]}[use]()
    return home / ".millrace" / "blobs" / "objects" / digest[:2] / digest


@pytest.mark.parametrize("use,lost,command", [
    ("model", "nothing: it is trained again", "models rebuild small:2 --verify"), ("baseline", "nothing: it is trained again", "models rebuild small"),
    ("part", "nothing, as long as", "ingest data"), ("rolled", "it, and nothing else", "--give-up"), ("rows", "only that", "--give-up"),
    ("code", "only that", "--give-up")])
@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_blobs_without_a_backup(copy, use, lost, command, how):
    home = copy(backup=False)
    victim = blob_of(home, use)
    damage(victim, how, "blobs/objects/*/@")
    other = home.with_name(home.name + "-unmended")
    shutil.copytree(home, other)
    starts_or_says(other)
    findings = doctor(home)["findings"]
    assert [finding["file"] for finding in findings] == [victim.relative_to(home / ".millrace").as_posix()]
    assert findings[0]["lost"].startswith(lost) and command in findings[0]["mend"], findings[0]
    mend_all(home)
    report = doctor(home)
    assert len(report["losses"]) == (1 if "--give-up" in command else 0), report
    answers(home)


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_log_segment_without_a_backup(copy, how):
    home = copy(backup=False)
    victim = files_of(home / ".millrace", "log/#.mpl")[-1]
    damage(victim, how, "log/#.mpl")
    findings = doctor(home)["findings"]
    assert [finding["file"] for finding in findings] == [f"log/{victim.name}"] and "this one file" in findings[0]["lost"]
    mend_all(home)
    answers(home)
    assert victim.name not in {path.name for path in (home / ".millrace" / "log").iterdir()}, "a number is used once"


def test_a_segment_with_a_damaged_header_loses_nothing(copy):
    home = copy()
    victim = files_of(home / ".millrace", "log/#.mpl")[-1]
    before = doctor(home)["predictions"]
    raw = bytearray(victim.read_bytes())
    raw[3] ^= 0xFF
    victim.write_bytes(raw)
    findings = doctor(home)["findings"]
    assert len(findings) == 1 and findings[0]["lost"].startswith("nothing"), findings
    mend_all(home)
    assert doctor(home)["predictions"] == before > 0


def test_room_that_was_never_used(copy):
    """A byte that changed where no line was yet costs nothing, and doctor says so or does not see it."""
    home = copy()
    victim = files_of(home / ".millrace", "log/#.mpl")[-1]
    raw = bytearray(victim.read_bytes())
    raw[len(raw) - 4096] ^= 0xFF
    victim.write_bytes(raw)
    assert all(finding["lost"].startswith("nothing") for finding in doctor(home)["findings"])
    mend_all(home)


def test_damaged_indexes_of_the_records_are_made_again(copy):
    home = copy(backup=False)
    path = home / ".millrace" / "meta.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        page = db.execute("SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'label_labels' LIMIT 1").fetchone()[0]
    raw = bytearray(path.read_bytes())
    raw[page * 4096 - 20] ^= 0xFF  # a key
    path.write_bytes(raw)
    findings = doctor(home)["findings"]
    assert findings and findings[0]["lost"].startswith("nothing") and findings[0]["commands"] == ["millrace doctor --mend"], findings
    mend_all(home)
    assert list((home / ".millrace" / "damaged").rglob("meta.db")), "the damaged file is kept"
    answers(home)


def test_records_without_a_backup(copy):
    """The last resort: the folder is put aside and begun anew; what that costs is said before."""
    home = copy(backup=False)
    (home / ".millrace" / "meta.db").unlink()
    findings = doctor(home)["findings"]
    assert findings[0]["lost"].startswith("all records") and findings[0]["commands"][0] == "mv .millrace .millrace.damaged", findings
    mend_all(home)
    answers(home)


def test_commands_hold_for_names_with_blanks(copy):
    home = copy(backup=False)
    folder = (home / ".millrace").rename(home / "my data")
    run(home, "backup", "safe place", "--data-dir", folder, expect=0)
    (folder / "meta.db").unlink()
    findings = doctor(home, "--data-dir", folder)["findings"]
    assert "/safe place'" in " ".join(findings[0]["commands"]), findings
    do(home, findings[0]["commands"])
    assert doctor(home, "--data-dir", folder)["findings"] == []
