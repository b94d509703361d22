"""The forms in which rows come: JSON and CSV, one and many, over HTTP and by the command; each gives the same answer."""
import json
import random
import subprocess

import pytest

from conftest import MILLRACE, Server, write_csv

ROWS = [{"a": 0.9, "c": "red", "n": 3}, {"a": 0.1, "c": "say \"hi\", twice", "n": None}, {"a": 0.5, "c": None, "n": -2}, {"a": 1e-3, "c": "blå\nline", "n": 40}]
CSV = 'c,n,a\nred,3,0.9\n"say ""hi"", twice",,0.1\nNA,-2,0.5\n"blå\nline",40,1e-3\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    rng = random.Random(3)
    words = ["red", "green", 'say "hi", twice', "blå\nline", ""]
    table = [[f"k{i}", rng.random(), rng.choice(words), rng.choice([rng.randrange(-5, 50), ""])] for i in range(600)]
    write_csv(folder / "data.csv", [["id", "a", "c", "n", "y"]] + [row + [int(row[1] + (row[2] == "red") / 2 > 0.6)] for row in table])
    (folder / "millrace.toml").write_text('[project]\nname = "forms"\n[source.data]\nuri = "file:data.csv"\nkey = "id"\n[model]\ntarget = "data.y"\n'
                                          'trainer = { name = "boosted-trees", rounds = 20 }\n[gates]\n"auc" = ">= 0.6"\n')
    made = Server(folder).start().wait_ready()
    yield made
    made.stop()


def csv(server, text, **headers):
    return server.request("POST", "/predict/forms", text.encode(), headers={"Content-Type": "text/csv", **headers})


def probabilities(answer):
    assert answer.status == 200, answer.body
    return [p["probability"] for p in answer.json["predictions"]]


@pytest.fixture(scope="module")
def expected(server):
    return probabilities(server.post("/predict/forms", ROWS))


def test_many_rows_in_each_json_form(server, expected):
    for body in ({"rows": ROWS}, {"inputs": ROWS}, {"instances": ROWS}):
        assert probabilities(server.post("/predict/forms", body)) == expected
    answer = server.post("/predict/forms", ROWS[:1]).json
    assert isinstance(answer["predictions"], list), "a list of one is answered by a list"
    assert set(server.post("/predict/forms", ROWS[0]).json) >= {"prediction", "probability", "probabilities", "model", "took_ms", "id"}


def test_one_row(server, expected):
    assert [server.post("/predict/forms", row).json["probability"] for row in ROWS] == expected


def test_csv_is_the_same(server, expected):
    for text in (CSV, CSV.replace("\n", "\r\n").replace("blå\r\nline", "blå\nline"), "\ufeff" + CSV, CSV.rstrip("\n")):
        assert probabilities(csv(server, text)) == expected
    assert probabilities(csv(server, CSV, **{"Content-Type": "text/csv; charset=utf-8"})) == expected


def test_a_null_in_quotes_is_a_word(server):
    quoted, bare = csv(server, 'a,c,n\n0.5,"",1\n'), csv(server, "a,c,n\n0.5,,1\n")
    assert quoted.status == bare.status == 200
    empty_word = server.post("/predict/forms", {"a": 0.5, "c": "", "n": 1}).json["probability"]
    nothing = server.post("/predict/forms", {"a": 0.5, "c": None, "n": 1}).json["probability"]
    assert (probabilities(quoted), probabilities(bare)) == ([empty_word], [nothing])


def test_csv_needs_its_header(server):
    without = csv(server, "\n".join(CSV.split("\n")[1:]))
    assert without.status == 400 and without.json["error"]["reason"] == "model.unknown_column", "the first line is always the names"
    for text, reason in (("", "model.bad_csv"), ("a,c,n\n", "model.no_rows"), ("a,c,n\n1,red\n", "model.bad_csv"), ('a,c,n\n1,"red,2\n', "model.bad_csv"),
                         ("a,c,n\nx,red,2\n", "model.wrong_type"), ("a,a,c,n\n1,1,red,2\n", "model.duplicate_column"), ("c,n\nred,2\n", "model.missing_input")):
        answer = csv(server, text)
        assert (answer.status, answer.json["error"]["reason"]) == (400, reason), (text, answer.body)
    assert csv(server, "a,c,n\n1,red,1\nx,red,2\n").json["error"]["field"] == "rows[1].a"


def test_a_wrong_content_type(server):
    """JSON is JSON whatever it is called (curl -d says it is a form); CSV must be called CSV."""
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"):
        assert server.request("POST", "/predict/forms", json.dumps(ROWS[0]).encode(), headers={"Content-Type": kind}).status == 200, kind
    answer = server.request("POST", "/predict/forms", CSV.encode(), headers={"Content-Type": "application/json"})
    assert answer.status == 400 and "text/csv" in json.dumps(answer.json), "what to do about CSV that is called JSON"


def test_ids_and_keys(server):
    answer = server.post("/predict/forms", [{**ROWS[0], "id": "k7"}, ROWS[1]]).json
    ids = [p["id"] for p in answer["predictions"]]
    assert len(set(ids)) == 2 and all(len(i) == 26 for i in ids)
    # The label by key finds the row that was sent with it.
    assert server.post("/labels/forms", [{"key": "k7", "value": "1"}]).json["accepted"] == 1
    keyed = csv(server, "id,a,c,n\nk8,0.9,red,3\n")
    assert keyed.status == 200 and keyed.json["predictions"][0]["id"]
    assert server.post("/predict/forms", {**ROWS[0], "y": 1}).status == 200, "columns of the data that the model does not use may be sent along"
    assert server.post("/predict/forms", {**ROWS[0], "z": 1}).json["error"]["reason"] == "model.unknown_column"


def command(server, *arguments, text=""):
    return subprocess.run([MILLRACE, "predict", *arguments], cwd=server.folder, input=text, capture_output=True, text=True)


def test_the_command(server, expected):
    one = command(server, text=json.dumps(ROWS[0]))
    assert one.returncode == 0 and json.loads(one.stdout)["probability"] == expected[0]
    (server.folder / "rows.csv").write_text(CSV)
    (server.folder / "rows.json").write_text(json.dumps(ROWS))
    for done in (command(server, "rows.json"), command(server, "rows.csv"), command(server, "--csv", text=CSV), command(server, "-", text=json.dumps(ROWS)),
                 command(server, "--model", "forms", "rows.json")):
        assert done.returncode == 0, done.stderr
        assert [p["probability"] for p in json.loads(done.stdout)["predictions"]] == expected


def test_the_commands_mistakes(server):
    for arguments, text, words in ((["nowhere.json"], "", ["nowhere.json"]), ([], "", ["standard input holds nothing"]), ([], "{", ["model.bad_json"]),
                                   (["--model", "nobody"], "{}", ["no model", "nobody"]), ([], '{"a": "x"}', ["model.wrong_type", "field", "a number"])):
        done = command(server, *arguments, text=text)
        assert done.returncode in (1, 64) and all(word in done.stderr for word in words), (arguments, text, done.stderr)
