"""Folders that a released version left behind, one archive for each that changed a format (folders/make.py): this program opens
them, answers as that one did, goes on learning where it was, and loses nothing."""
import json
import pathlib
import tarfile

import pytest

from conftest import wait_for

FOLDERS = sorted(pathlib.Path(__file__).with_name("folders").glob("*.tar.xz"))


@pytest.mark.parametrize("archive", FOLDERS, ids=lambda path: path.name.removesuffix(".tar.xz"))
def test_a_released_version_s_folder(servers, tmp_path, archive):
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    wanted = json.loads((tmp_path / "wanted.json").read_text())
    server = servers().start().wait_ready()
    for said in wanted["predictions"]:
        again = server.get(f"/api/v1/predictions/{said['id']}").json
        assert f"{again['model']}:{again['version']}" == said["model"], again
        assert server.post("/predict/small/versions/" + said["model"].partition(":")[2], said["row"]).json["probabilities"] == said["probabilities"]
    versions = {v["number"]: v["verdict"] for v in server.model("small")["versions"]}
    assert versions == {int(number): verdict for number, verdict in wanted["versions"].items()}
    model = server.get("/api/v1/status").json["models"][0]
    assert (model["current"], model["previous"], model["labels_joined"]) == (wanted["current"], wanted["previous"], wanted["labels_joined"])
    assert "nothing to mend" in server.cli("doctor").stdout

    # And the loop goes on: labels for predictions that the old version logged are joined, and the rule trains from them.
    unlabelled = [said for said in wanted["predictions"] if not said["labelled"]]
    server.post("/labels/small", [{"prediction": said["id"], "value": "1"} for said in unlabelled])
    wait_for("the labels to be joined", lambda: server.get("/api/v1/status").json["models"][0]["labels_joined"] == wanted["labels_joined"] + len(unlabelled))
    server.wait_versions("small", max(versions) + 1)


def test_there_is_one_for_the_first_version():
    assert FOLDERS, "no folder of a released version is left"
