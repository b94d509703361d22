"""[batch.NAME]: at its time, once, also past kills and past a server that was down; what stands in the way is said where batches are listed."""
import csv
import datetime
import hashlib
import json

import pytest

from conftest import small_project, wait_for

NOON = datetime.datetime(2031, 7, 7, 12, tzinfo=datetime.timezone.utc)
DUE = datetime.datetime(2031, 7, 8, 2, tzinfo=datetime.timezone.utc)
NIGHTLY = '[batch.nightly]\nmodel = "small"\nschedule = "daily 02:00"\nin = "new/*.csv"\nout = "scores/{date}-v{version}.parquet"\n'


def clock_at(moment):
    ahead = moment - datetime.datetime.now(datetime.timezone.utc)
    return {"MILLRACE_CLOCK_OFFSET": f"{int(ahead / datetime.timedelta(milliseconds=1))}ms"}


def batch_of(server, name="nightly"):
    return next(one for one in server.get("/api/v1/batches").json["batches"] if one["name"] == name)


def write_rows(path, count, first=0):
    path.parent.mkdir(exist_ok=True)
    with open(path, "w") as file:
        file.write("a,c\n")
        file.writelines(f"{n % 1000 / 1000},{'red' if n % 3 else 'blue'}\n" for n in range(first, first + count))


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written(server, name="nightly", count=1):
    """The newest run once it is one of `count`, and its answers are where they belong."""
    def look():
        runs = batch_of(server, name)["runs"]
        assert len(runs) <= count, runs
        return runs if len(runs) == count and runs[0]["state"] == "done" else None
    return wait_for("the batch's answers", look, 120)[0]


def test_each_due_time_once(servers, tmp_path):
    small_project(tmp_path, more=NIGHTLY)
    write_rows(tmp_path / "new" / "b.csv", 30, 20)
    write_rows(tmp_path / "new" / "a.csv", 20)
    server = servers(env=clock_at(NOON)).start().wait_ready()
    wait_for("the schedule", lambda: server.get("/api/v1/batches").json["batches"])
    listed = batch_of(server)
    assert listed["next"].startswith("2031-07-08T02:00:00") and listed["runs"] == [] and listed["schedule"] == "daily 02:00"
    server.stop()

    server.env = clock_at(DUE - datetime.timedelta(seconds=4))
    server.start().wait_ready()
    run = written(server)
    assert run["due"].startswith("2031-07-08T02:00:00") and run["cause"] == "schedule daily 02:00" and run["model"] == "small:1"
    out = tmp_path / "scores" / "2031-07-08-v1.parquet"
    assert run["out"] == str(out) and [f.name for f in out.parent.iterdir()] == [out.name]
    result = run["result"]
    version = server.get("/api/v1/models/small/versions/1").json
    files = [{"name": name, "digest": digest(tmp_path / "new" / name)} for name in ("a.csv", "b.csv")]
    assert [{"name": one["name"], "digest": one["digest"]} for one in result["inputs"]] == files
    assert result["data_digest"] == hashlib.sha256("".join(one["digest"] + "\n" for one in files).encode()).hexdigest()
    assert result["rows"] == 50 and result["output"]["digest"] == digest(out) and result["artifact"] == version["artifact"]
    content = out.read_bytes()
    for key, value in {"millrace.model": "small:1", "millrace.artifact": result["artifact"], "millrace.data": result["data"],
                       "millrace.data_digest": result["data_digest"]}.items():
        assert key.encode() in content and value.encode() in content, key
    assert batch_of(server)["next"].startswith("2031-07-09T02:00:00")
    server.stop()

    # Down for three nights: made up once, under the newest of them.
    server.env = clock_at(DUE + datetime.timedelta(days=3, hours=7))
    server.start().wait_ready()
    run = written(server, count=2)
    assert run["due"].startswith("2031-07-11T02:00:00") and "for 2 that were missed" in run["cause"], run
    assert sorted(f.name for f in out.parent.iterdir()) == ["2031-07-08-v1.parquet", "2031-07-11-v1.parquet"]
    assert "2031-07-12 02:00:00" in server.cli("batch", "list").stdout


@pytest.mark.parametrize("point", ["loop.batch.before_start", "loop.batch.after_start", "loop.batch.after_input", "loop.batch.after_part@2",
                                   "loop.batch.after_checkpoint@2", "loop.complete.before_commit", "loop.complete.after_commit",
                                   "loop.batch.before_rename", "loop.batch.after_rename"])
def test_killed_on_the_way(servers, tmp_path, point):
    """300,000 rows are two parts. Whichever process dies, and wherever: one run, one file, the bytes of an undisturbed one."""
    small_project(tmp_path, more=NIGHTLY)
    write_rows(tmp_path / "new" / "rows.csv", 300_000)
    server = servers(env=clock_at(NOON)).start().wait_ready()
    wait_for("the schedule", lambda: server.get("/api/v1/batches").json["batches"])
    server.stop()
    mark = tmp_path / "died"
    name, _, count = point.partition("@")
    server.env = {**clock_at(DUE - datetime.timedelta(seconds=3)), "MILLRACE_FAULT": f"{name}=kill{'@' + count if count else ''}/once:{mark}"}
    server.start()
    wait_for("the death", mark.exists, 120)
    if not (name.startswith("loop.batch.after_") and name.split("_")[1] in ("input", "part", "checkpoint")):  # in the job's process else
        wait_for("the server to be gone", server.gone, 120)
        server.env = clock_at(DUE + datetime.timedelta(minutes=10))
        write_rows(tmp_path / "new" / "rows.csv", 300_000)
        server.start()
    run = written(server)
    out = tmp_path / "scores" / "2031-07-08-v1.parquet"
    assert run["result"]["rows"] == 300_000 and run["result"]["output"]["digest"] == digest(out)
    assert [f.name for f in out.parent.iterdir()] == [out.name], "nothing half-written is left"
    killed = out.read_bytes()
    again = server.cli("batch", "run", "nightly", "--json")
    whole = json.loads(again.stdout)
    assert whole["result"]["output"] == run["result"]["output"] and whole["result"]["resumed_at"] == 0
    assert len(batch_of(server)["runs"]) == 2 and killed == (tmp_path / whole["out"]).read_bytes()


def test_input_is_read_once(servers, tmp_path):
    """What a job had read before it was killed is what it answers for, whatever became of the file."""
    small_project(tmp_path, more=NIGHTLY.replace('schedule = "daily 02:00"\n', "").replace("parquet", "csv"))
    write_rows(tmp_path / "new" / "rows.csv", 300)
    first = digest(tmp_path / "new" / "rows.csv")
    mark = tmp_path / "died"
    server = servers(env={"MILLRACE_FAULT": f"loop.batch.after_part=kill/once:{mark}"}).start().wait_ready()
    job = server.post("/api/v1/batches/nightly/run", {}).json["job"]
    wait_for("the death", mark.exists, 120)
    write_rows(tmp_path / "new" / "rows.csv", 10)
    run = written(server)
    assert run["job"] == job and run["result"]["rows"] in (300, 10)
    assert run["result"]["inputs"][0]["digest"] == (first if run["result"]["rows"] == 300 else digest(tmp_path / "new" / "rows.csv"))
    with open(run["out"], newline="") as file:
        assert len(list(csv.reader(file))) == run["result"]["rows"] + 1


def test_rows_of_a_source_and_by_hand(servers, tmp_path):
    small_project(tmp_path, more='[batch.all]\nrows = "data"\nout = "all-{model}.csv"\n')
    server = servers().start().wait_ready()
    done = server.cli("batch", "run", "all")
    assert "400 rows; small:1 on data@1" in done.stdout, done.stdout
    with open(tmp_path / "all-small.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 400 and rows[0]["data"] == "data@1"
    run = batch_of(server, "all")["runs"][0]
    assert "due" not in run and run["cause"].startswith("by hand") and run["result"]["inputs"] == []
    listed = server.cli("batch", "list").stdout
    assert "by hand" in listed and "done" in listed and "400" in listed, listed


@pytest.mark.parametrize("batch, words", [
    ('in = "nowhere/rows.csv"\nout = "x.csv"', ["there is nothing to answer for", "millrace batch run"]),
    ('in = "nowhere/*.csv"\nout = "x.csv"', ["there is nothing to answer for"]),
    ('in = "short.csv"\nout = "x.csv"', ["no column 'a'"]),
    ('in = "mixed-*.csv"\nout = "x.csv"', ["mixed-2.csv has not the columns of mixed-1.csv"]),
    ('model = "other"\nin = "short.csv"\nout = "x.csv"', ["no version of 'other' takes traffic", "millrace batch run one"]),
    ('model = "small:7"\nin = "short.csv"\nout = "x.csv"', ["no version 7", "millrace batch run one"]),
    ('rows = "more"\nout = "x.csv"', ["source 'more' has no version", "millrace ingest more"]),
])
def test_what_stands_in_the_way_is_said(servers, tmp_path, batch, words):
    small_project(tmp_path, more=f'[source.more]\nuri = "upload"\n[batch.one]\n{batch}\n')
    (tmp_path / "short.csv").write_text("b,c\n1,red\n")
    (tmp_path / "mixed-1.csv").write_text("a,c\n1,red\n")
    (tmp_path / "mixed-2.csv").write_text("a,c,d\n1,red,2\n")
    server = servers().start().wait_ready()
    refused = server.cli("batch", "run", "one", expect=1).stderr
    run = batch_of(server, "one")["runs"][0]
    listed = server.cli("batch", "list").stdout
    assert run["state"] == "failed" and "failed" in listed
    for word in words:
        assert word in run["message"] and word in listed and word in refused, (word, run, listed, refused)
    assert not (tmp_path / "x.csv").exists()
    assert "no [batch.two]; it has one" in server.cli("batch", "run", "two", expect=1).stderr


def test_answers_that_cannot_be_written_wait(servers, tmp_path):
    small_project(tmp_path, more='[batch.one]\nrows = "data"\nout = "taken/x.csv"\n')
    (tmp_path / "taken").write_text("a file where a folder is wanted")
    server = servers().start().wait_ready()
    refused = server.cli("batch", "run", "one", expect=1).stderr
    assert "can't be written" in refused and "not written" in server.cli("batch", "list").stdout
    (tmp_path / "taken").unlink()
    assert written(server, "one")["result"]["rows"] == 400 and (tmp_path / "taken" / "x.csv").exists()


@pytest.mark.parametrize("batch, words", [
    ('in = "a.csv"', "batch.one needs out"),
    ('in = "a.csv"\nrows = "data"\nout = "x.csv"', "one of in"),
    ('out = "x.csv"', "one of in"),
    ('rows = "nothing"\nout = "x.csv"', "no [source.nothing]"),
    ('in = "a.csv"\nout = "x.txt"', ".parquet or .csv"),
    ('in = "a.csv"\nout = "{day}.csv"', "{date}"),
    ('in = "*/a.csv"\nout = "x.csv"', "last part"),
    ('in = "a.csv"\nout = "x.csv"\nschedule = "now and then"', "batch.one.schedule"),
    ('rows = "data"\nout = "x.csv"\nto = "postgres://a/b"', "not available yet"),
])
def test_keys_that_make_no_sense(servers, tmp_path, batch, words):
    small_project(tmp_path, more=f"[batch.one]\n{batch}\n")
    server = servers().start(wait=False)
    wait_for("the refusal", server.gone)
    assert words in server.log(), server.log()
