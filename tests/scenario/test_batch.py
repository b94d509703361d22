"""millrace batch: a model's answers for whole tables, the same as online, once, also through kills."""
import csv
import hashlib
import json

import pytest
from conftest import Server, small_project


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    small_project(folder, name="small", rows=3000)
    server = Server(folder).start().wait_ready()
    yield server
    server.stop()


def inputs(path, count, extra=True):
    rows = [{"a": n / count, "c": ["red", "green", "blue", "mauve", ""][n % 5], **({"note": f"row {n}, \"quoted\""} if extra else {})} for n in range(count)]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def online(server, rows):
    asked = [{"a": row["a"], "c": row["c"] or None} for row in rows]
    return server.post("/predict/small", asked).json["predictions"]


def test_answers_are_those_of_predict(served):
    rows = inputs(served.folder / "new.csv", 500)
    done = served.cli("batch", "small", "--in", served.folder / "new.csv", "--out", served.folder / "scores.csv")
    assert "500 rows" in done.stdout and "small:1 on new.csv@" in done.stdout and "100 values are of categories" in done.stdout, done.stdout
    answered = read_csv(served.folder / "scores.csv")
    asked = online(served, rows)
    assert len(answered) == len(asked) == 500
    for row, got, want in zip(rows, answered, asked):
        assert got["note"] == row["note"] and float(got["a"]) == row["a"]
        assert got["prediction"] == str(want["prediction"])
        assert float(got["probability"]) == want["probability"]
        for name, value in want["probabilities"].items():
            assert float(got[f"probability_{name}"]) == value
        assert got["model"] == "small:1"
        assert got["data"] == "new.csv@" + hashlib.sha256((served.folder / "new.csv").read_bytes()).hexdigest()[:16]


def test_a_dataset_version_and_parquet(served):
    done = served.cli("batch", "small:1", "--data", "data@1", "--out", served.folder / "all.parquet", "--json")
    made = json.loads(done.stdout)
    assert (made["rows"], made["model"], made["data"]) == (3000, "small:1", "data@1")
    content = (served.folder / "all.parquet").read_bytes()
    assert content[:4] == content[-4:] == b"PAR1" and hashlib.sha256(content).hexdigest() == made["output"]["digest"]
    again = json.loads(served.cli("batch", "--data", "data", "--out", served.folder / "again.parquet", "--json").stdout)
    assert again["output"] == made["output"], "the same rows and model, the same bytes"
    # Answers are rows like any other: they can be asked about again, and then their columns step aside.
    twice = served.cli("batch", "small", "--in", served.folder / "all.parquet", "--out", served.folder / "twice.csv")
    assert "3,000 rows" in twice.stdout
    first = read_csv(served.folder / "twice.csv")[0]
    assert first["prediction"] == first["prediction_2"] and first["data"] == "data@1" and first["data_2"].startswith("all.parquet@")


@pytest.mark.parametrize("arguments, words, code", [
    (["small"], "say which rows", 64),
    (["small", "--in", "{here}/new.csv", "--data", "data"], "say which rows", 64),
    (["small:9", "--in", "{here}/new.csv"], "no version 9", 1),
    (["large", "--in", "{here}/new.csv"], "large", 1),
    (["small", "--in", "{here}/none.csv"], "none.csv", 1),
    (["small", "--data", "data@7"], "7", 1),
    (["small", "--data", "data@x"], "'data@x' is no dataset version", 64),
    (["small", "--in", "{here}/short.csv"], "no column 'a'", 1),
    (["small", "--in", "{here}/ragged.csv"], "line 3", 1),
    (["small", "--in", "{here}/words.csv"], "'a'", 1),
])
def test_refusals(served, arguments, words, code):
    inputs(served.folder / "new.csv", 5)
    (served.folder / "short.csv").write_text("b,c\n1,red\n")
    (served.folder / "ragged.csv").write_text("a,c\n1,red\n2\n")
    (served.folder / "words.csv").write_text("a,c\n1,red\nmany,red\n")
    out = served.folder / "refused.csv"
    done = served.cli("batch", *[a.format(here=served.folder) for a in arguments], "--out", out, expect=code)
    assert words in done.stderr, done.stderr
    assert not out.exists()


def test_what_is_there_is_not_replaced_unasked(served):
    inputs(served.folder / "new.csv", 5)
    out = served.folder / "kept.csv"
    out.write_text("mine")
    done = served.cli("batch", "small", "--in", served.folder / "new.csv", "--out", out, expect=1)
    assert "--force" in done.stderr and out.read_text() == "mine"
    served.cli("batch", "small", "--in", served.folder / "new.csv", "--out", out, "--force")
    assert len(read_csv(out)) == 5
    assert ".csv nor in .parquet" in served.cli("batch", "small", "--in", out, "--out", served.folder / "x.txt", expect=64).stderr


def test_no_rows(served):
    (served.folder / "empty.csv").write_text("a,c\n")
    served.cli("batch", "small", "--in", served.folder / "empty.csv", "--out", served.folder / "none.csv")
    assert (served.folder / "none.csv").read_text().startswith("a,c,prediction,probability,")
    assert len((served.folder / "none.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize("name, count, at_least", [("loop.batch.after_part", "2", 0), ("loop.batch.after_checkpoint", "2", 1), ("loop.batch.after_file", "", 524_288)])
def test_a_killed_batch_goes_on(tmp_path, name, count, at_least):
    """600,000 rows are three parts. The job's process dies in the second, or at the end; what it had told its server by then is not done again."""
    small_project(tmp_path, name="small", rows=1000)
    with open(tmp_path / "many.csv", "w") as file:
        file.write("a,c\n")
        file.writelines(f"{n % 1000 / 1000},{'red' if n % 3 else 'blue'}\n" for n in range(600_000))
    mark = tmp_path / "died"
    server = Server(tmp_path, env={"MILLRACE_FAULT": f"{name}=kill{'@' + count if count else ''}/once:{mark}"}).start().wait_ready()
    try:
        ask = ["batch", "small", "--in", tmp_path / "many.csv", "--json", "--out"]
        killed = json.loads(server.cli(*ask, tmp_path / "killed.parquet").stdout)
        assert mark.exists(), "it did not die"
        assert killed["rows"] == 600_000 and killed["resumed_at"] >= at_least
        whole = json.loads(server.cli(*ask, tmp_path / "whole.parquet").stdout)
        assert whole["resumed_at"] == 0 and whole["output"] == killed["output"], "the same bytes as without a kill"
    finally:
        server.stop()
