"""The prediction log on its way into Parquet: nothing lost, nothing twice, the same answers before and after, whatever is killed."""
import datetime
import json
import random
import struct
import zlib

import pytest

from conftest import wait_for, write_csv

DATASET = "watch.predictions"
INPUTS = ["x0", "x1", "plan"]


def make_project(folder, more=""):
    rng = random.Random(4)
    rows = [[n, rng.gauss(0, 1), rng.gauss(0, 1), rng.choice(["gold", "tin"])] for n in range(600)]
    write_csv(folder / "data.csv", [["id", *INPUTS, "y"]] +
              [row + ["yes" if row[1] + (row[3] == "gold") + rng.gauss(0, 0.7) > 0.5 else "no"] for row in rows])
    (folder / "millrace.toml").write_text(
        '[project]\nname = "watch"\n[source.data]\nuri = "file:data.csv"\nkey = "id"\n[model]\ntarget = "data.y"\n'
        'trainer = { name = "boosted-trees", rounds = 15, threads = 1 }\n[gates]\n"auc" = ">= 0.6"\n' + more)


def ask_rows(count, seed, keys=False):
    rng = random.Random(seed)
    rows = [{"x0": rng.gauss(0, 1), "x1": None if rng.random() < 0.1 else rng.gauss(0, 1), "plan": rng.choice(["gold", "tin", "☃"])} for _ in range(count)]
    for n, row in enumerate(rows):
        if keys:
            row["id"] = 10_000 + n
    return rows


def predict(server, rows):
    return [a["id"] for a in server.post("/predict/watch", rows).json["predictions"]]


def done(server, job):
    def over():
        state = server.get(f"/api/v1/jobs/{job}").json
        return state if state["state"] not in ("queued", "running") else None
    state = wait_for("job " + job, over)
    assert state["state"] == "done", state
    return json.loads(state["result"])


def roll(server):
    """Everything logged so far; False when there was nothing."""
    def ask():
        answer = server.post("/api/v1/ingest", {"source": DATASET})
        return None if answer.status == 409 and answer.json["error"]["reason"] == "loop.roll_under_way" else answer
    answer = wait_for("a roll", ask)
    if answer.status == 202:
        done(server, answer.json["job"])
        return True
    assert answer.json["error"]["reason"] == "loop.nothing_to_roll", answer.body
    return False


def versions(server):
    return server.get(f"/api/v1/datasets/{DATASET}").json["versions"]


def query(server, sql, number=None, rows_max=10_000):
    number = number or versions(server)[0]["number"]
    answer = server.post(f"/api/v1/datasets/{DATASET}/versions/{number}/query", {"sql": sql, "rows_max": rows_max})
    assert answer.status == 202, answer.body
    return done(server, answer.json["job"])["rows"]


def why(server, prediction):
    answer = server.get(f"/api/v1/predictions/{prediction}")
    assert answer.status == 200, answer.body
    return answer.json


def segments(server):
    return sorted(p.name for p in (server.data_dir / "log").glob("*.mpl"))


def auc(scored):
    """Share of pairs in the right order, ties half."""
    yes = [s for s, y in scored if y == "yes"]
    no = [s for s, y in scored if y == "no"]
    return sum((a > b) + (a == b) / 2 for a in yes for b in no) / (len(yes) * len(no))


def test_before_and_after(servers, tmp_path):
    make_project(tmp_path, "[labels]\nqueue = { per_day = 10 }\n")
    server = servers().start().wait_ready()
    rng = random.Random(9)
    ids = predict(server, ask_rows(120, 1)) + predict(server, ask_rows(80, 2, keys=True))
    single = server.post("/predict/watch", {"x0": 1.5, "x1": None, "plan": "it's \"☃\"\n"}).json["id"]
    ids.append(single)
    queue = server.get("/api/v1/models/watch/label-queue").json
    assert len(queue["entries"]) == 10 and queue["per_day"] == 10, "what nobody says is [labels] queue.per_day"
    before = {one: why(server, one) for one in [ids[0], ids[150], single]}
    labels = [{"prediction": one, "value": rng.choice(["yes", "no"])} for one in ids[:90]]
    labels += [{"key": str(10_000 + n), "value": rng.choice(["yes", "no"])} for n in range(30)]
    assert server.post("/labels/watch", labels[:60]).json["accepted"] == 60
    assert server.get("/api/v1/models/watch/label-queue").json["entries"] == [], "more than ten labels came today"

    assert roll(server)
    wait_for("the segment to go", lambda: segments(server) == [])
    assert roll(server) is False
    assert query(server, "SELECT count(*), count(DISTINCT prediction_id) FROM data") == [["201", "201"]]
    unlabelled = {k: {**v, "label": None} for k, v in before.items()}
    assert {one: {**why(server, one), "label": None} for one in before} == unlabelled, "bit by bit, before and after"
    full = server.get("/api/v1/models/watch/label-queue?count=200").json["entries"]
    assert len(full) == 201 - 60 and {e["prediction"] for e in full} == set(ids) - {l["prediction"] for l in labels[:60]}
    entry = [e for e in full if e["prediction"] == single][0]
    assert entry["inputs"] == {"x0": "1.5", "x1": "", "plan": "it's \"☃\"\n"}

    # A second version, which learns from the rolled rows too; more of both kinds, in both places.
    assert server.post("/labels/watch", labels[60:]).status == 200
    run = server.post("/api/v1/train", {"reason": "test"}).json["run"]
    wait_for("version 2", lambda: server.get(f"/api/v1/runs/{run}").json["state"] == "finished")
    assert "120 usable" in server.get("/api/v1/models/watch/versions/2").json["lineage"]["labels"]
    wait_for("version 2 answers", lambda: [m for m in server.get("/api/v1/status").json["models"] if m["loaded"] == 2])
    ids2 = predict(server, ask_rows(100, 3, keys=True))
    labels2 = [{"prediction": one, "value": rng.choice(["yes", "no"])} for one in ids2[20:70]] + [{"key": "10099", "value": "yes"}]
    assert server.post("/labels/watch", labels2).status == 200
    assert roll(server)
    ids3 = predict(server, ask_rows(40, 5))
    assert server.post("/labels/watch", [{"prediction": ids3[0], "value": "no"}]).status == 200

    def live(number):
        found = server.get(f"/api/v1/models/watch/versions/{number}").json["live"]
        return found[0] if found else {"labelled": 0}
    wait_for("live quality", lambda: live(1)["labelled"] == 120 and live(2)["labelled"] == 52)
    reported = {number: live(number) for number in (1, 2)}

    assert roll(server)
    rows = query(server, 'SELECT prediction_id, epoch_us(time), version, key, decision, "score.yes" FROM data ORDER BY prediction_id')
    assert [r[0] for r in rows] == sorted(ids + ids2 + ids3), "each exactly once"
    truth = {l["prediction"]: l["value"] for l in labels + labels2 if "prediction" in l} | {ids3[0]: "no"}
    for label, until in [(l, ids[-1]) for l in labels if "key" in l] + [(l, ids2[-1]) for l in labels2 if "key" in l]:
        truth[max(r[0] for r in rows if r[3] == label["key"] and r[0] <= until)] = label["value"]
    for number in (1, 2):
        mine = [r for r in rows if r[2] == str(number)]
        scored = [(float(r[5]), truth[r[0]]) for r in mine if r[0] in truth]
        assert reported[number]["metric"] == "auc"
        assert reported[number]["value"] == pytest.approx(auc(scored), abs=1e-9)
        assert reported[number]["low"] <= reported[number]["value"] <= reported[number]["high"]
        assert (reported[number]["predictions"], reported[number]["labelled"]) == (len(mine), len(scored))
        assert reported[number]["waiting"] == len(mine) - len(scored)
    assert all(r[4] == ("yes" if float(r[5]) >= 0.5 else "no") for r in rows)

    # It is a dataset like any other, on the command line too; and never one that is trained on.
    assert DATASET + "@1" in server.cli("data", "ls").stdout
    shown = server.cli("data", "show", DATASET).stdout
    assert "prediction_id" in shown and "millrace ingest " + DATASET in shown
    assert server.cli("data", "diff", DATASET + "@1", DATASET + "@2").stdout.startswith("rows 201 -> 301")
    assert "301" in server.cli("data", "query", DATASET + "@2", "SELECT count(*) FROM data").stdout
    assert "no prediction was logged" in server.cli("ingest", DATASET, expect=4).stdout
    assert "labels came today, 10 are wanted" in server.cli("label", "--queue", expect=4).stdout
    assert "roll the log" in server.cli("explain", "--loop").stdout
    assert server.get("/api/v1/models/watch/versions/2").json["lineage"]["dataset"] == "data@1"
    server.stop()
    assert "nothing to mend" in server.cli("doctor").stdout


POINTS = ["loop.roll.before_part", "loop.roll.after_part", "loop.roll.before_commit", "loop.roll.after_commit",
          "loop.roll.before_remove", "loop.roll.after_remove", "serve.log.after_line@30"]


def test_all_of_it_while_the_next_segment_is_made(servers, tmp_path):
    """When a segment is half full the next one is there, and nothing is in it."""
    make_project(tmp_path)
    server = servers().start().wait_ready()
    count = 0
    while len(segments(server)) < 2:
        assert count < 200_000, "no segment is made ahead"
        count += len(predict(server, ask_rows(2000, count)))
    assert roll(server)
    assert query(server, "SELECT count(*) FROM data") == [[str(count)]]
    assert roll(server) is False


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_it_rolls(servers, tmp_path, point):
    make_project(tmp_path)
    server = servers().start().wait_ready()
    ids = predict(server, ask_rows(70, 1))
    server.kill()  # an unfinished segment, and a second one after it
    name, _, count = point.partition("@")
    mark = tmp_path / "killed"
    server.env = {"MILLRACE_FAULT": f"{name}=kill{'@' + count if count else ''}/once:{mark}"}
    server.start().wait_ready()
    logged = []
    try:
        logged += predict(server, ask_rows(30, 2))
        server.post("/api/v1/ingest", {"source": DATASET})
    except OSError:
        pass
    wait_for("the fault point", mark.exists)
    if name.startswith("loop.roll.") and name.endswith("_part"):  # in the job: the server goes on and does it again
        assert not server.gone()
    else:
        server.process.wait(30)
        server.start().wait_ready()
    labels = [{"prediction": one, "value": "yes" if n % 2 else "no"} for n, one in enumerate(ids[:40])]
    assert server.post("/labels/watch", labels).status == 200
    found = wait_for("the labels to be joined",
                     lambda: [m for m in server.get("/api/v1/status").json["models"] if m["live_rows"] == 40])[0]
    more = predict(server, ask_rows(5, 3))
    roll(server)
    wait_for("the segments to go", lambda: segments(server) == [])
    assert roll(server) is False
    rows = [r[0] for r in query(server, "SELECT prediction_id FROM data")]
    assert len(rows) == len(set(rows)), "nothing twice"
    assert set(ids + logged + more) <= set(rows), "nothing lost"
    extra = set(rows) - set(ids + logged + more)  # lines of a request that was never answered may be there
    assert len(extra) == (29 if name.startswith("serve.") else 0)  # the first record is the schema
    assert found["labels_waiting"] == len(rows) - len(more) - 40, "live quality counted each line once"
    assert why(server, ids[0])["label"] == "no"
    later = predict(server, ask_rows(3, 4))
    assert len(segments(server)) == 1 and segments(server)[0] > "000000000002.mpl", "numbers are not used again"
    assert why(server, later[0])
    server.stop()
    assert "nothing to mend" in server.cli("doctor").stdout


CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def write_segment(folder, number, moments, model="watch", version=1):
    """A segment as docs/formats/prediction_log.md describes it. The ids of its lines."""
    folder.mkdir(parents=True, exist_ok=True)

    def text(value):
        return struct.pack("<I", len(value.encode())) + value.encode()

    def record(kind, payload):
        crc = zlib.crc32(payload, zlib.crc32(struct.pack("<II", kind, len(payload))))
        whole = struct.pack("<IIII", 0x4C50524D, len(payload), kind, crc) + payload
        return whole + b"\0" * (-len(whole) % 8)

    out = b"MLRPLOG1" + struct.pack("<IIQqQ", 1, 1000, number, int(moments[0].timestamp() * 1e6), 1 << 20)
    out += b"\0" * (64 - len(out))
    out += record(1, struct.pack("<I", 7) + text(model) + struct.pack("<qI", version, 3) + text("x0") + text("float64") + text("x1") + text("float64") +
                  text("plan") + text("text") + struct.pack("<I", 2) + text("no") + text("yes"))
    ids = []
    for n, moment in enumerate(moments):
        value = (int(moment.timestamp() * 1000) << 80) | (7 << 76) | (n << 64 & (0xFFF << 64)) | (2 << 62) | random.Random(n + number).getrandbits(62)
        ids.append("".join(CROCKFORD[value >> 5 * (25 - i) & 31] for i in range(26)))
        out += record(2, struct.pack("<I", 7) + value.to_bytes(16, "big") + struct.pack("<q", int(moment.timestamp() * 1e6)) + text("k") +
                      struct.pack("<iIfI", 1, 1, 0.75, 3) + b"\3" + struct.pack("<d", 0.5) + b"\0" + b"\4" + text("gold"))
    (folder / f"{number:012}.mpl").write_bytes(out + b"\0" * ((1 << 20) - len(out)))
    return ids


def test_retention_and_quiet_hours(servers, tmp_path):
    make_project(tmp_path, '[retrain]\nschedule = "daily"\nwindow = "quietest"\n[retention]\npredictions = "30d"\n')
    server = servers().start().wait_ready()
    assert "03:00 until the log in Parquet has 7 days" in server.cli("explain", "--loop").stdout
    server.stop()
    now = datetime.datetime.now(datetime.timezone.utc).replace(minute=30)
    old = write_segment(server.data_dir / "log", 1, [now - datetime.timedelta(days=60, minutes=n) for n in range(50, 0, -1)])
    server.start().wait_ready()
    # A day old: nobody has to ask for the roll; the rows go at once, as a version of its own.
    wait_for("the rows to be let go", lambda: [v["rows"] for v in versions(server)] == [0, 50], 30)
    newest = server.get(f"/api/v1/datasets/{DATASET}/versions/2").json
    assert '[retention] predictions = "30d": 50 rows' in newest["notes"][0]
    assert query(server, "SELECT count(*) FROM data") == [["0"]]
    refused = server.post(f"/api/v1/datasets/{DATASET}/versions/1/query", {"sql": "SELECT 1 FROM data"})
    assert refused.status == 409 and refused.json["error"]["reason"] == "data.rows_gone"
    assert "50 of the 50 rows" in refused.json["error"]["message"]
    gone = server.get(f"/api/v1/predictions/{old[0]}")
    assert gone.status == 404 and "let go" in gone.json["error"]["message"]
    server.stop()

    # Nine days with two quiet hours; one more roll than retention has to look at.
    hours = [now - datetime.timedelta(hours=h) for h in range(9 * 24, 0, -1)]
    quiet = (now.hour + 12) % 24
    kept = write_segment(server.data_dir / "log", 2, [m for m in hours for _ in range(1 if (m.hour - quiet) % 24 < 2 else 6)])
    server.start().wait_ready()
    wait_for("the second roll", lambda: versions(server)[0]["rows"] == len(kept), 30)
    assert query(server, "SELECT count(*), min(x0), count(x1), min(plan) FROM data") == [[str(len(kept)), "0.5", "0", "gold"]]
    shown = server.cli("explain", "--loop").stdout
    assert f"from {quiet:02}:00 UTC" in shown and "of the last 9 days" in shown, shown
    assert why(server, kept[0])["scores"]
    server.stop()
    assert "nothing to mend" in server.cli("doctor").stdout


def test_a_share_of_the_rows(servers, tmp_path):
    """`[serve.log] share`: the rows of the log are those whose answer does not say `logged: false`, before and after a change of it."""
    make_project(tmp_path, "[serve.log]\nshare = 0.3\n")
    server = servers().start().wait_ready()
    answers = server.post("/predict/watch", ask_rows(400, 1)).json["predictions"]
    kept = {a["id"] for a in answers if "logged" not in a}
    assert 80 < len(kept) < 160 and all(a["logged"] is False for a in answers if a["id"] not in kept)
    metrics = server.get("/metrics").body.decode()
    assert f'millrace_serve_not_sampled{{model="watch"}} {400 - len(kept)}' in metrics, metrics
    assert 'millrace_serve_not_logged{model="watch"} 0' in metrics
    notes = server.get("/api/v1/status").json["models"][0]["notes"]
    assert not [note for note in notes if "prediction log" in note], "nothing is missing that was wanted"
    without = next(a["id"] for a in answers if a["id"] not in kept)
    assert server.get(f"/api/v1/predictions/{without}").status == 404
    assert why(server, min(kept))["version"] == 1

    make_project(tmp_path, "[serve.log]\nshare = 1.0\n")
    server.cli("apply")

    def all_logged():
        more = server.post("/predict/watch", ask_rows(50, 2)).json["predictions"]
        kept.update(a["id"] for a in more if "logged" not in a)
        return all("logged" not in a for a in more)
    wait_for("every row to be logged", all_logged)
    assert roll(server)
    assert {row[0] for row in query(server, "SELECT prediction_id FROM data")} == kept
