"""Trainings by hand: rebuilt to the same bytes, on a sample, by a command of one's own, stopped."""
import io
import random
import zipfile

import pytest

from conftest import wait_for, write_csv


@pytest.fixture
def served(servers, tmp_path):
    rng = random.Random(9)
    rows = [[rng.gauss(0, 1) for _ in range(4)] for _ in range(1500)]
    write_csv(tmp_path / "data.csv", [["a", "b", "c", "d", "y"]] + [row + [int(row[0] + row[1] + rng.gauss(0, 0.5) > 0)] for row in rows])
    project(tmp_path, 'trainer = { name = "boosted-trees", rounds = 30, subsample = 0.8 }')
    return servers().start().wait_ready()


def project(folder, trainer):
    (folder / "millrace.toml").write_text(f'[project]\nname = "hand"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.y"\n{trainer}\n'
                                          '[gates]\n"auc" = ">= 0.7"\n')


def test_a_version_is_rebuilt_to_the_same_bytes_without_its_source(served):
    (served.folder / "data.csv").unlink()
    done = served.cli("models", "rebuild", "hand:1", "--verify")
    assert "identical" in done.stdout, done.stdout


def test_a_sample_never_passes(served):
    done = served.cli("train", "--quick", expect=2)
    assert "quick" in done.stdout
    assert served.post("/predict/hand", {"a": 1, "b": 1, "c": 0, "d": 0}).json["model"] == "hand:1"
    no = served.post("/api/v1/models/hand/promote", {"version": 2})
    assert no.status == 409


def test_a_command_of_ones_own(served):
    version = served.get("/api/v1/models/hand/versions/1").json
    archive = served.get(f"/api/v1/blobs/{version['artifact']}").body
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert sorted(opened.namelist()) == ["manifest.json", "model.ubj"]
        (served.folder / "mine.ubj").write_bytes(opened.read("model.ubj"))
    project(served.folder, 'trainer = { name = "command", command = "test -s \\"$MILLRACE_TRAIN_DATA\\" && cp mine.ubj \\"$MILLRACE_OUTPUT\\"" }')
    served.cli("apply")
    served.wait_versions("hand", 2)
    wait_for("the swap", lambda: served.post("/predict/hand", {"a": 1, "b": 1, "c": 0, "d": 0}).json["model"] == "hand:2")
    project(served.folder, 'trainer = { name = "command", command = "echo the disk of the lab is full; exit 3" }')
    served.cli("apply")
    run = wait_for("the failed run", lambda: [r for r in served.get("/api/v1/runs").json["runs"] if r["state"] == "failed"])[0]
    assert "exited with status 3" in run["failure"] or "status 3" in run["failure"], run
    assert served.get("/readyz").status == 200, "what served goes on"


def test_a_run_is_cancelled(served):
    project(served.folder, 'trainer = { name = "command", command = "sleep 600" }')
    served.cli("apply")
    run = wait_for("the run", lambda: [r for r in served.get("/api/v1/runs").json["runs"] if r["state"] == "running"])[0]
    served.cli("runs", "cancel", run["id"])
    wait_for("its end", lambda: served.get(f"/api/v1/runs/{run['id']}").json["state"] == "cancelled")
    wait_for("its job's end", lambda: not served.get("/api/v1/status").json["running"])
    assert served.get("/readyz").status == 200
