"""SIGKILL at the worst moments: after a restart nothing was lost and nothing was done twice."""
import json
import random

import pytest

from conftest import wait_for, write_csv

POINTS = [
    "data.ingest.after_part",             # in the job: a part is stored, the version is not
    "loop.ingest.before_commit",          # the version is about to be recorded
    "loop.complete.before_commit@2",
    "loop.checkpoint.after_commit",       # a training's checkpoint is recorded
    "train.artifact.after",               # in the job: the archive is stored, the result is not
    "loop.register.after_number",         # numbered, not committed
    "loop.complete.after_commit@3",       # registered, not swapped
    "serve.swap.before",
]


def make_project(folder, rounds=150):
    rng = random.Random(6)
    rows = [[rng.gauss(0, 1) for _ in range(6)] for _ in range(3000)]
    write_csv(folder / "data.csv", [["id"] + [f"x{i}" for i in range(6)] + ["y"]] +
              [[n] + row + ["yes" if sum(row[:3]) + rng.gauss(0, 0.5) > 0 else "no"] for n, row in enumerate(rows)])
    (folder / "millrace.toml").write_text(
        '[project]\nname = "kill"\n[source.data]\nuri = "file:data.csv"\nkey = "id"\n[model]\ntarget = "data.y"\n'
        f'trainer = {{ name = "boosted-trees", rounds = {rounds}, early_stopping = 0, threads = 1 }}\n[gates]\n"auc" = ">= 0.8"\n')


def outcome(server):
    version = server.get("/api/v1/models/kill/versions/1").json
    data = server.get("/api/v1/datasets").json["versions"]
    return {"engine": version["metrics"], "verdict": version["verdict"], "data": [(v["number"], v["rows"], v["source_digest"]) for v in data],
            "compared": version["compared_digest"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    from conftest import Server
    folder = tmp_path_factory.mktemp("undisturbed")
    make_project(folder)
    server = Server(folder).start().wait_ready()
    try:
        yield outcome(server)
    finally:
        server.stop()


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_started_again(servers, tmp_path, undisturbed, point):
    make_project(tmp_path)
    name, _, count = point.partition("@")
    mark = tmp_path / "killed"
    server = servers(env={"MILLRACE_FAULT": f"{name}=kill{'@' + count if count else ''}/once:{mark}"})
    server.start(wait=False)
    wait_for("the fault point", mark.exists, 120)
    if not point.startswith(("data.", "train.")):  # those are in the job process: the server lives on and tries again
        server.process.wait(30)
        server.start()
    else:
        wait_for("the address", lambda: (server.data_dir / "address").exists())
        server.url = (server.data_dir / "address").read_text().strip()
    server.wait_ready()
    assert outcome(server) == undisturbed
    assert [v["number"] for v in server.model("kill")["versions"] if v["number"] > 0] == [1], "numbered once"
    current = [m for m in server.model("kill")["aliases"] if m["alias"] == "current"]
    assert len(current) == 1, "moved once"
    server.stop()
    done = server.cli("doctor")
    assert "nothing to mend" in done.stdout


def test_labels_and_predictions_survive(servers, tmp_path):
    make_project(tmp_path, rounds=20)
    mark = tmp_path / "killed"
    server = servers(env={"MILLRACE_FAULT": f"label.add.halfway=kill/once:{mark}"}).start().wait_ready()
    answers = server.post("/predict/kill", [{f"x{i}": n / 10 - i for i in range(6)} for n in range(50)]).json["predictions"]
    labels = [{"prediction": a["id"], "value": "yes"} for a in answers]
    with pytest.raises(OSError):
        server.post("/labels/kill", labels)
    server.process.wait(30)
    server.start().wait_ready()
    again = server.post("/labels/kill", labels).json
    assert again == {"accepted": 50, "already_known": 0}, "none of the batch was taken before, all of it now"
    assert server.post("/labels/kill", labels).json == {"accepted": 0, "already_known": 50}
    status = wait_for("the labels to be joined", lambda: [m for m in server.get("/api/v1/status").json["models"] if m["live_rows"] == 50])
    assert status
    for answer in answers:
        assert server.get(f"/api/v1/predictions/{answer['id']}").json["label"] == "yes"
