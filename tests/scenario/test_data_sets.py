"""From a file to a served model, on public data sets that nobody here wrote, with nothing written by hand."""
import gzip
import json

import pytest

from conftest import read_csv, wait_for, write_csv


def first_version(server, model):
    server.wait_versions(model, 1)
    return server.get(f"/api/v1/models/{model}/versions/1").json


def test_titanic_needs_no_file_written_by_hand(servers, data):
    server = servers(data / "titanic.csv.gz", "--target", "Survived").start().wait_ready()
    version = first_version(server, "titanic")
    assert version["verdict"] == "passed", version["gates"]
    assert version["metrics"]["auc"] > 0.75
    project = (server.folder / "millrace.toml").read_text()
    assert "PassengerId" in project and "Name" in project, "ids and long texts are named where they are left out"
    row = {"Pclass": 1, "Sex": "female", "Age": 29, "SibSp": 0, "Parch": 0, "Fare": 211.3, "Embarked": "S"}
    woman = server.post("/predict/titanic", row)
    assert woman.status == 200, woman.body
    assert woman.json["model"] == "titanic:1" and woman.json["prediction"] == "1"
    man = server.post("/predict/titanic", {**row, "Sex": "male", "Pclass": 3, "Fare": 7.9}).json
    assert man["prediction"] == "0"
    why = server.get(f"/api/v1/predictions/{woman.json['id']}").json
    total = why["bias"] + sum(c["contribution"] for c in why["contributions"])
    assert abs(total - why["margin"]) < 1e-4
    shown = server.cli("status")
    assert "titanic:1" in shown.stdout
    server.stop()
    before = server.log()
    server.start().wait_ready()
    wait_for("the rules to have been looked at", lambda: server.get("/api/v1/status").json["models"][0]["data_age"] or None)
    assert len([v for v in server.model("titanic")["versions"] if v["number"] > 0]) == 1, "up twice trains nothing"
    assert sum(line.startswith("train ") for line in before.splitlines()) <= 1


def test_california_housing_is_a_regression(servers, data):
    server = servers(data / "california_housing.csv.gz", "--target", "median_house_value").start().wait_ready()
    version = first_version(server, "california_housing")
    assert version["verdict"] == "passed", version["gates"]
    assert version["metrics"]["r2"] > 0.75
    answer = server.post("/predict/california_housing", {"longitude": -122.2, "latitude": 37.9, "median_income": 8.3, "housing_median_age": 41,
                                                         "total_rooms": 880, "total_bedrooms": None, "population": 322, "households": 126,
                                                         "ocean_proximity": "NEAR BAY"})
    assert answer.status == 200 and 200_000 < answer.json["prediction"] < 600_000


def test_credit_default(servers, data):
    server = servers(data / "credit_default.csv.gz", "--target", "default.payment.next.month").start().wait_ready()
    version = first_version(server, "credit_default")
    assert version["verdict"] == "passed", version["gates"]
    assert version["metrics"]["auc"] > 0.74


def adult(data, folder):
    names = [line.split(":")[0] for line in (data / "adult.names").read_text().splitlines()
             if ":" in line and not line.startswith("|") and line[0].isalpha()]
    names = [n for n in names if n in ("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship",
                                       "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country")] + ["income"]
    assert len(names) == 15
    (folder / "adult.csv.gz").write_bytes((data / "adult_train.csv.gz").read_bytes())
    (folder / "millrace.toml").write_text(
        '[project]\nname = "adult"\n[source.people]\nuri = "file:adult.csv.gz"\nheader = false\nnames = ' + json.dumps(names) +
        '\n[model]\ntarget = "people.income"\n')


def test_adult_without_a_header(servers, data, tmp_path):
    adult(data, tmp_path)
    server = servers().start().wait_ready()
    version = first_version(server, "adult")
    assert version["verdict"] == "passed", version["gates"]
    assert version["metrics"]["auc"] > 0.9
    answer = server.post("/predict/adult", {"age": 45, "education": "Masters", "occupation": "Exec-managerial", "sex": "Male", "marital-status": "Married-civ-spouse",
                                            "hours-per-week": 50, "relationship": "Husband", "race": "White", "workclass": "Private",
                                            "education-num": 14, "capital-gain": 0, "capital-loss": 0, "native-country": "Atlantis", "fnlwgt": 100000})
    assert answer.status == 200 and answer.json["prediction"] == ">50K", answer.body


def test_mnist_is_wide(servers, data, tmp_path):
    with gzip.open(data / "mnist_test_10k.csv.gz", "rt") as file:
        lines = file.read().splitlines()
    width = len(lines[0].split(","))
    (tmp_path / "mnist.csv").write_text("\n".join([",".join([f"p{i}" for i in range(width - 1)] + ["digit"])] + lines[:1500]) + "\n")
    (tmp_path / "millrace.toml").write_text(
        '[project]\nname = "mnist"\n[source.images]\nuri = "file:mnist.csv"\n[model]\ntarget = { column = "images.digit", type = "multiclass" }\n'
        'trainer = { name = "boosted-trees", rounds = 25, depth = 4, learning_rate = 0.3 }\n[gates]\n"accuracy" = ">= 0.7"\n')
    server = servers().start().wait_ready(300)
    assert first_version(server, "mnist")["metrics"]["accuracy"] > 0.7


def test_elec2_in_time_order_with_labels_one_step_late(servers, data, tmp_path):
    rows = read_csv("elec2.csv.gz")
    header, rows = rows[0], rows[1:]
    target = len(header) - 1
    write_csv(tmp_path / "elec.csv", [header] + rows[:3000])
    (tmp_path / "millrace.toml").write_text(
        f'[project]\nname = "elec"\n[source.market]\nuri = "file:elec.csv"\n[model]\ntarget = "market.{header[target]}"\n'
        'trainer = { name = "boosted-trees", rounds = 60, depth = 4 }\n[gates]\n"auc" = ">= 0.6"\n"auc - current.auc" = ">= -0.02"\n'
        '[retrain]\nwhen = ["new_labels >= 500"]\n')
    server = servers().start().wait_ready()
    step, late = 50, None
    for at in range(3000, 4200, step):
        batch = [{name: (None if value == "" else float(value)) for name, value in zip(header[:-1], row[:-1])} for row in rows[at:at + step]]
        answer = server.post("/predict/elec", batch)
        assert answer.status == 200, answer.body
        if late:
            sent = server.post("/labels/elec", late)
            assert sent.status == 200, sent.body
        late = [{"prediction": p["id"], "value": row[target]} for p, row in zip(answer.json["predictions"], rows[at:at + step])]
    server.wait_versions("elec", 2)
    run = [r for r in server.get("/api/v1/runs").json["runs"] if r["cause"].startswith("new_labels >= 500")]
    assert run, server.get("/api/v1/runs").json
    # Labels of what the version of now said, and its live quality follows; once more for each that takes over meanwhile.
    batch = [{name: (None if value == "" else float(value)) for name, value in zip(header[:-1], row[:-1])} for row in rows[4200:4400]]
    asked = set()

    def live():
        model = server.get("/api/v1/status").json["models"][0]
        if model.get("live_value") is None and model["current"] not in asked:
            answer = server.post("/predict/elec", batch).json
            asked.add(int(answer["model"].removeprefix("elec:")))  # the one before answers until the swap
            server.post("/labels/elec", [{"prediction": p["id"], "value": row[target]} for p, row in zip(answer["predictions"], rows[4200:4400])])
        return model.get("live_value")

    assert 0.5 < wait_for("live quality", live) <= 1
