"""Commands over runs, versions and data: each once as it is meant, and once wrong."""
import csv
import json
import os
import pathlib
import random
import subprocess
import time

import pytest

from conftest import MILLRACE, Server, wait_for, write_csv

PROJECT = """[project]
name = "verbs"
[source.data]
uri = "file:data.csv"
key = "id"
[check.data]
a     = {{ type = "float", min = {least} }}
email = {{ type = "text", sensitive = "personal" }}
[source.later]
uri = "upload"
[check.later]
email = {{ type = "text", sensitive = "personal" }}
[model]
target  = "data.y"
trainer = {{ name = "boosted-trees", rounds = {rounds}, depth = 3, early_stopping = 0 }}
[gates]
"auc" = ">= 0.7"
{more}"""
EMAILS = ["ann@example.org", "bo@example.org", "", "cy, \"the\" third@example.org"]


def apply(server, rounds=20, least=-100, more="", cli=True):
    (server.folder / "millrace.toml").write_text(PROJECT.format(rounds=rounds, least=least, more=more))
    if not cli:
        return
    before = len(runs(server))
    if "model.trainer" in server.cli("apply", expect=None).stdout:
        wait_for("its training", lambda: len(runs(server)) > before)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verbs")
    rng = random.Random(12)
    rows = [[i, rng.gauss(0, 1), rng.choice("xyz"), EMAILS[i % 4]] for i in range(600)]
    write_csv(folder / "data.csv", [["id", "a", "c", "email", "y"]] + [[*row, int(row[1] + rng.gauss(0, 0.4) > 0)] for row in rows])
    server = Server(folder)
    apply(server, cli=False)
    server.start().wait_ready()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def quiet(served):
    """Each test begins with the same project file, and with nothing under way."""
    apply(served)
    wait_for("quiet", lambda: not served.get("/api/v1/status").json["running"] and
             all(run["state"] not in ("queued", "running") for run in runs(served)[:3]), 120)


def follow(server, run):
    """`runs follow` in the background, once it has said how fast the training is: the process, and its standard error."""
    said = server.folder / "follow.err"
    process = subprocess.Popen([MILLRACE, "runs", "follow", run], cwd=server.folder, stdout=subprocess.PIPE, stderr=said.open("w"), text=True)
    wait_for("its progress", lambda: "rows/s" in said.read_text())
    return process, said


def runs(server):
    return server.get("/api/v1/runs").json["runs"]


def failed(done, code, *words):
    """A command that says no: its exit status, one error line, and these words in it."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.startswith("error: "), done.stderr
    for word in words:
        assert word in done.stderr, (word, done.stderr)


@pytest.mark.parametrize("command", ["runs diff", "runs resume", "runs repeat", "runs follow", "runs logs", "models diff", "models export", "models import",
                                     "models gc", "data checkout", "data check"])
def test_help_has_an_example_and_wrong_usage_is_told(served, command):
    help_text = served.cli(*command.split(), "--help").stdout
    assert "Example:" in help_text and f"millrace {command}" in help_text, help_text
    failed(served.cli(*command.split(), "--no-such-option", expect=64), 64, "--help")
    if command != "models gc":
        assert served.cli(*command.split(), expect=64).returncode == 64, "it needs arguments"


def test_repeat_makes_the_same_bytes_and_diff_sees_it(served):
    first = [run for run in runs(served) if run["version"] == "verbs:1"][0]["id"]
    done = served.cli("runs", "repeat", first)
    assert "identical: verbs:" in done.stdout and first in done.stdout, done.stdout
    second = runs(served)[0]
    assert second["cause"].startswith(f"repeats run {first}"), second
    assert served.get(f"/api/v1/runs/{second['id']}").json["inputs"]["repeats"] == first
    assert served.model("verbs")["current"] == 1, "the same bytes do not take over: nothing would change"

    # The trainer changes: another run, another version.
    apply(served, rounds=5)
    served.wait_versions("verbs", 3)
    third = wait_for("the third run", lambda: [r for r in runs(served) if r["version"] == "verbs:3"])[0]["id"]
    lines = json.loads(served.cli("runs", "diff", first, third, "--json").stdout)["lines"]
    found = {(line["section"], line["name"]): (line["before"], line["after"]) for line in lines}
    assert found["params", "rounds"] == ("20", "5"), found
    assert found["project", "model.trainer.rounds"] == ("20", "5"), found
    assert found["outcome", "version"] == ("verbs:1", "verbs:3")
    assert any(section == "metrics" for section, _ in found)
    assert "model.trainer.rounds" in served.cli("runs", "diff", first, third).stdout
    assert "do not differ" in served.cli("runs", "diff", first, first).stdout
    failed(served.cli("runs", "diff", first, "06NOSUCHRUN", expect=1), 1, "06NOSUCHRUN", "millrace runs ls")

    lines = json.loads(served.cli("models", "diff", "verbs:1", "verbs:3", "--json").stdout)["lines"]
    sections = {line["section"] for line in lines}
    assert {"outcome", "metrics", "params"} <= sections, lines
    assert any(line["name"] == "bytes" for line in lines)
    same = json.loads(served.cli("models", "diff", "verbs:1", "verbs:2", "--json").stdout)["lines"]
    assert not [line for line in same if line["section"] in ("params", "metrics") or line["name"] in ("bytes", "artifact")], same
    failed(served.cli("models", "diff", "verbs:1", "verbs:99", expect=1), 1, "verbs")
    failed(served.cli("models", "diff", "verbs:1", "verbs:x", expect=64), 64, "NAME:NUMBER")


def test_a_cancelled_training_goes_on_from_its_checkpoint(served):
    """To the bytes that it would have had, had nobody stopped it."""
    apply(served, rounds=3000)
    run = wait_for("the run", lambda: [r for r in runs(served) if r["state"] == "running"])[0]["id"]
    failed(served.cli("runs", "resume", run, expect=1), 1, "running", "runs follow")
    following, said = follow(served, run)
    wait_for("a checkpoint", lambda: [e for e in served.get(f"/api/v1/runs/{run}").json["events"] if "checkpoint" in e])
    served.cli("runs", "cancel", run)
    shown, _ = following.communicate(timeout=60)
    assert following.returncode == 1 and "cancelled" in shown and "runs resume" in shown, shown
    assert "round" in said.read_text()

    done = served.cli("runs", "resume", run)
    assert f"went on from run {run}" in done.stdout, done.stdout
    went_on = runs(served)[0]
    inputs = served.get(f"/api/v1/runs/{went_on['id']}").json["inputs"]
    assert inputs["goes on from"] == run
    log = served.cli("runs", "logs", went_on["id"]).stdout
    assert isinstance(log, str)
    # The version says that it was resumed, and its bytes are those of a whole training.
    version = went_on["version"]
    rebuilt = served.cli("models", "rebuild", version)
    assert "identical" in rebuilt.stdout, rebuilt.stdout
    failed(served.cli("runs", "resume", went_on["id"], expect=1), 1, "finished", "runs repeat")
    followed = served.cli("runs", "follow", went_on["id"])
    assert version in followed.stdout, "a run that is over is shown at once"
    lines = served.cli("runs", "follow", went_on["id"], "--json").stdout.splitlines()
    assert json.loads(lines[-1])["state"] == "finished"


def test_following_survives_a_restart_of_the_server(served):
    apply(served, rounds=3001)
    run = wait_for("the run", lambda: [r for r in runs(served) if r["state"] == "running"])[0]["id"]
    following, said = follow(served, run)
    served.kill()
    served.start().wait_ready()
    following.communicate(timeout=240)
    assert following.returncode == 0, said.read_text()
    assert "the server is away" in said.read_text()


def test_export_and_import(served):
    out = served.folder / "one.zip"
    served.cli("models", "export", "verbs:1", "--to", out)
    version = served.get("/api/v1/models/verbs/versions/1").json
    assert out.stat().st_size == version["bytes"]
    failed(served.cli("models", "export", "verbs:1", "--to", out, expect=1), 1, "--force")
    served.cli("models", "export", "verbs:1", "--to", out, "--force")
    failed(served.cli("models", "export", "verbs:1", "--to", served.folder / "no" / "such.zip", expect=1), 1, "no folder")
    failed(served.cli("models", "export", "verbs:99", "--to", served.folder / "x.zip", expect=1), 1, "no version 99")
    failed(served.cli("models", "export", "verbs:1", "--to", served.folder / "x", "--format", "pmml", expect=64), 64)
    failed(served.cli("models", "export", "verbs:baseline", "--to", served.folder / "x", "--format", "ubj", expect=1), 1, "--format archive")
    served.cli("models", "export", "verbs:1", "--to", served.folder / "one.json", "--format", "xgboost-json")
    assert json.loads((served.folder / "one.json").read_text())["learner"]["learner_model_param"]
    served.cli("models", "export", "verbs:1", "--to", served.folder / "one.ubj", "--format", "ubj", "--force")
    assert (served.folder / "one.ubj").read_bytes()[:1] == b"{"
    # What turns columns into features lies beside them, and is not overwritten unasked either.
    beside = json.loads((served.folder / "one.manifest.json").read_text())
    assert [i["name"] for i in beside["inputs"]], beside
    failed(served.cli("models", "export", "verbs:1", "--to", served.folder / "one.other", "--format", "ubj", expect=1), 1, "one.manifest.json", "--force")
    assert not (served.folder / "one.other").exists()

    before = len([v for v in served.model("verbs")["versions"] if v["number"] > 0])
    served.env["MILLRACE_USER"] = "mia"
    done = served.cli("models", "import", out)
    number = before + 1
    assert f"verbs:{number}" in done.stdout and "passed" in done.stdout, done.stdout
    made = served.get(f"/api/v1/models/verbs/versions/{number}").json
    assert made["artifact"] == version["artifact"] and made["lineage"]["imported"] == "one.zip"
    assert made["gates"] and made["metrics"]["auc"] == version["metrics"]["auc"], "measured on the same test rows"
    assert served.get(f"/api/v1/runs/{made['run']}").json["cause"].startswith("imported by mia: ")
    whole = served.get("/api/v1/models/verbs").json
    page = served.get("/api/v1/models/verbs?limit=1&offset=1").json
    assert page["versions"] == whole["versions"][1:2] and page["version_count"] == whole["version_count"] == len(whole["versions"])
    assert served.get("/api/v1/models/verbs?limit=1001").status == 400
    listed = served.cli("models", "ls", "verbs", "--max", "1").stdout
    assert f"verbs:{number}" in listed and f"verbs:{number - 1} " not in listed
    assert f"{number} older: millrace models ls verbs --max 1000" in listed, "the baseline is one of them"
    failed(served.cli("models", "rebuild", f"verbs:{number}", expect=1), 1, "imported")
    failed(served.cli("runs", "repeat", made["run"], expect=1), 1, "no training")

    whole = out.read_bytes()
    for name, content in {"cut.zip": whole[:-100], "bent.zip": whole[:700] + bytes([whole[700] ^ 1]) + whole[701:], "foreign.zip": b"PK\x03\x04 no", "empty.zip": b""}.items():
        (served.folder / name).write_bytes(content)
        failed(served.cli("models", "import", served.folder / name, expect=1), 1, name, "archive")
    failed(served.cli("models", "import", served.folder / "nowhere.zip", expect=1), 1, "nowhere.zip")
    failed(served.cli("models", "import", out, "--name", "other", expect=1), 1, "there is: verbs")
    assert len([v for v in served.model("verbs")["versions"] if v["number"] > 0]) == number


def test_a_file_that_can_not_be_written(served):
    if os.geteuid() == 0:
        target = pathlib.Path("/proc/nothing.zip")
    else:
        target = served.folder / "locked" / "one.zip"
        target.parent.mkdir()
        target.parent.chmod(0o500)
    failed(served.cli("models", "export", "verbs:1", "--to", target, expect=None), 1, "could not be written")


def test_checkout_and_masks(served):
    to = served.folder / "rows.csv"
    served.cli("data", "checkout", "data@1", "--to", to)
    with open(to, newline="") as file:
        got = list(csv.reader(file))
    with open(served.folder / "data.csv", newline="") as file:
        given = list(csv.reader(file))
    assert got[0] == given[0] and len(got) == len(given)
    for mine, theirs in zip(got[1:], given[1:]):
        assert mine[3] == ("***" if theirs[3] else ""), (mine, theirs)
        assert [mine[0], mine[2], mine[4]] == [theirs[0], theirs[2], theirs[4]] and float(mine[1]) == float(theirs[1])
    failed(served.cli("data", "checkout", "data@1", "--to", to, expect=1), 1, "--force")
    answer = json.loads(served.cli("data", "checkout", "data", "--to", served.folder / "rows.parquet", "--json").stdout)
    assert answer["rows"] == 600 and (served.folder / "rows.parquet").read_bytes()[:4] == b"PAR1"
    assert not any(email.encode() in (served.folder / "rows.parquet").read_bytes() for email in EMAILS if email)
    failed(served.cli("data", "checkout", "data@1", "--to", served.folder / "rows.xlsx", expect=64), 64, ".parquet")
    failed(served.cli("data", "checkout", "data@9", "--to", served.folder / "x.csv", expect=1), 1, "no version 9")

    def query(sql, expect=0):
        return served.cli("data", "query", "data@1", sql, "--json", expect=expect)
    rows = json.loads(query("SELECT email, upper(email) AS u, email || '!' AS s, email IS NULL AS n FROM data LIMIT 4").stdout)["rows"]
    assert [row[0] for row in rows] == ["***", "***", None, "***"], rows
    assert rows[0][1:3] == ["***", "***!"] and rows[2][3] == "true"
    assert json.loads(query("SELECT count(*) FROM data WHERE email LIKE '%example%'").stdout)["rows"] == [["0"]]
    secret = json.loads(query("SELECT sql FROM duckdb_tables()").stdout)
    assert "blob:" not in json.dumps(secret), "the files of the rows are named nowhere"
    assert not any("@example" in text for text in (query("SELECT * FROM data").stdout, served.cli("data", "show", "data@1", "--json").stdout,
                                                   served.cli("data", "show", "data@1").stdout, served.cli("data", "diff", "data@1", "data@1").stdout))
    email = [c for c in served.get("/api/v1/datasets/data/versions/1").json["columns"] if c["name"] == "email"][0]
    assert (email["min"], email["max"], email["top"], email["nulls"]) == ("***", "***", [], 150), email


def test_stored_rows_are_not_handed_out_past_the_mask(served):
    """What a job's result names can't be fetched, neither over the API nor from another version's query."""
    (served.folder / "more.csv").write_text("id,a,c,email,y\n9001,0.5,x,dee@example.org,1\n")
    result = json.loads(served.cli("ingest", "later", served.folder / "more.csv", "--json").stdout)
    text = json.dumps(result)
    assert "@example" not in text
    digest = result["parts"][-1]["digest"]
    no = served.get(f"/api/v1/blobs/{digest}")
    assert no.status == 403 and no.json["error"]["reason"] == "api.sensitive", no.body
    done = served.cli("data", "query", "data@1", f"SELECT * FROM read_parquet('blob:{digest}')", expect=None)
    assert done.returncode == 1 and "@example" not in done.stdout


def test_checks_of_now_on_rows_of_then(served):
    assert "passed" in served.cli("data", "check", "data@1").stdout
    versions = served.get("/api/v1/datasets/data").json["versions"]
    apply(served, least=-0.5, cli=False)
    # A rule that the rows do not keep: taken with the file's next reading, but asked about at once.
    served.cli("apply")
    done = served.cli("data", "check", "data@1", expect=2)
    assert "below -0.5" in done.stdout and "failed" in done.stdout, done.stdout
    report = json.loads(served.cli("data", "check", "data@1", "--json", expect=2).stdout)
    assert not report["passed"] and [line for line in report["lines"] if line["level"] == "error" and line["rule"] == "min"]
    assert served.get("/api/v1/datasets/data/versions/1").json["state"] == versions[-1]["state"], "nothing was stored"
    failed(served.cli("data", "check", "nothing@1", expect=1), 1, "nothing")
    apply(served)


def age(folder, days):
    """Makes every blob look as old as that: collections go by the time of writing."""
    then = time.time() - days * 86400
    for path in folder.glob(".millrace/blobs/objects/*/*"):
        os.utime(path, (then, then))
    for path in folder.glob(".millrace/blobs/pins/*"):
        os.utime(path, (then, then))


def test_gc(served):
    blobs = served.folder / ".millrace/blobs/objects"

    def count():
        return len(list(blobs.glob("*/*")))

    wait_for("quiet", lambda: not served.get("/api/v1/status").json["running"], 120)
    apply(served, more="[retention]\nmodels = 1\n")
    state = served.model("verbs")
    wait_for("retention", lambda: [v for v in served.model("verbs")["versions"] if not v["bytes_kept"]])
    # A file that nobody names: what a killed upload leaves.
    nobody = served.get("/api/v1/blobs/" + "0" * 64)
    assert nobody.status == 404
    dry = json.loads(served.cli("models", "gc", "--dry-run", "--json", expect=None).stdout)
    assert dry["dry_run"] and dry["blobs"] == 0, "all of it is young"
    assert any("last" in kept["why"] for kept in dry["kept"])
    age(served.folder, 2)
    before = count()
    dry = json.loads(served.cli("models", "gc", "--dry-run", "--json").stdout)
    assert dry["blobs"] > 0 and dry["bytes"] > 0 and count() == before, dry
    done = json.loads(served.cli("models", "gc", "--json").stdout)
    assert (done["blobs"], done["bytes"]) == (dry["blobs"], dry["bytes"])
    assert count() == before - done["blobs"]
    kept = {line["why"]: line["blobs"] for line in done["kept"]}
    assert kept["files of model versions"] >= 2 and kept["rows of dataset versions"] >= 1, kept
    assert "nothing to remove" in served.cli("models", "gc", expect=4).stdout
    # What serves, and what can be gone back to, still does; data and its questions too.
    assert served.post("/predict/verbs", {"id": 1, "a": 0.5, "c": "x"}).json["model"] == f"verbs:{state['current']}"
    served.cli("rollback")
    served.cli("rollback")
    assert "600" in served.cli("data", "query", "data@1", "SELECT count(*) FROM data").stdout
    versions = [v["number"] for v in served.model("verbs")["versions"] if v["bytes_kept"] and v["number"] > 0]
    trained = [n for n in versions if "imported" not in served.get(f"/api/v1/models/verbs/versions/{n}").json["lineage"]]
    assert "identical" in served.cli("models", "rebuild", f"verbs:{trained[0]}").stdout, "its rows are kept with it"
    gone = [v["number"] for v in served.model("verbs")["versions"] if not v["bytes_kept"]]
    failed(served.cli("models", "export", f"verbs:{gone[0]}", "--to", served.folder / "gone.zip", expect=1), 1, "[retention]")
    again = Server(served.folder)
    served.stop()
    again.start().wait_ready()
    again.stop()
    served.start().wait_ready()
