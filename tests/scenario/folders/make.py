#!/usr/bin/env python3
"""Makes the archive of a data folder as this build leaves it: ./dev shell python3 tests/scenario/folders/make.py VERSION

Once for each release that changed a format (docs/formats), with the release's own build; test_released_folders.py opens all of them with
every later build. Never made again for a version that was released."""
import json
import pathlib
import random
import shutil
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from conftest import Server, wait_for, write_csv  # noqa: E402

PROJECT = """[project]
name = "small"
[source.data]
uri = "file:data.csv"
key = "id"
[model]
target = "data.y"
trainer = { name = "boosted-trees", rounds = 8 }
[gates]
"auc" = ">= 0.6"
[retrain]
when = ["new_labels >= 20"]
"""
NOT_KEPT = {"tmp", "scratch", "token", "address", "millrace.log", "up.out"}  # of the machine and the moment


def main(version):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-released-"))
    rng = random.Random(7)
    table = [[n, round(rng.random(), 3), rng.choice(["red", "green", "blue"])] for n in range(400)]
    write_csv(folder / "data.csv", [["id", "a", "c", "y"]] + [[n, a, c, int(a + rng.gauss(0, 0.1) > 0.5)] for n, a, c in table])
    (folder / "millrace.toml").write_text(PROJECT)
    server = Server(folder).start().wait_ready()
    rows = [{"id": 1000 + n, "a": n / 50, "c": "red"} for n in range(50)]
    answers = server.post("/predict/small", rows).json
    predictions = [{"id": said["id"], "row": row, "model": answers["model"], "probabilities": said["probabilities"], "labelled": n < 25}
                   for n, (row, said) in enumerate(zip(rows, answers["predictions"], strict=True))]
    server.post("/labels/small", [{"prediction": said["id"], "value": str(int(said["row"]["a"] > 0.5))} for said in predictions if said["labelled"]])
    server.wait_versions("small", 2)

    def at_rest():
        status = server.get("/api/v1/status").json
        return not status["running"] and status["models"][0]["current"] == 2 and status["models"][0]
    wait_for("the loop to rest", at_rest)
    model = wait_for("the labels to be joined", lambda: (found := at_rest()) and found["labels_joined"] == 25 and found)
    wanted = {"predictions": predictions, "versions": {v["number"]: v["verdict"] for v in server.model("small")["versions"]},
              "current": model["current"], "previous": model["previous"], "labels_joined": model["labels_joined"]}
    server.stop()
    (folder / "wanted.json").write_text(json.dumps(wanted))
    path = HERE / f"{version}.tar.xz"

    def plain(entry):
        if any(part in NOT_KEPT for part in entry.name.split("/")):
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry
    with tarfile.open(path, "x:xz") as tar:
        tar.add(folder, ".", filter=plain)
    shutil.rmtree(folder)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
