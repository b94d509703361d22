"""`doctor` finds what is broken in a data folder, beside its server too, and the command that it names mends it. What each kind of file's damage
comes to: test_doctor_files.py."""
import json
import threading

import pytest

from conftest import small_project, wait_for


def blob(server, digest):
    return server.data_dir / "blobs" / "objects" / digest[:2] / digest


def break_it(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


def doctor(server, expect):
    done = server.cli("doctor", expect=expect)
    findings = json.loads(server.cli("--json", "doctor", expect=expect).stdout)["findings"]
    assert len(findings) == done.stdout.count("BROKEN")
    assert all(f["what"] and f["problem"] and f["mend"] for f in findings)
    return done.stdout, findings


@pytest.fixture
def server(servers, tmp_path):
    small_project(tmp_path)
    made = servers().start().wait_ready()
    made.post("/predict/small", {"a": 0.5, "c": "red"})
    yield made


def test_a_whole_folder(server):
    assert "nothing to mend" in server.cli("doctor").stdout
    refused = server.cli("doctor", "--mend", expect=0)  # there is nothing to do, so nobody is in the way
    assert "nothing to mend" in refused.stdout
    server.stop()
    text, findings = doctor(server, 0)
    assert "nothing to mend" in text and findings == []
    assert "1 predictions" in text or "1 prediction" in text


@pytest.mark.parametrize("damage", [break_it, lambda path: path.unlink()], ids=["changed", "gone"])
def test_an_artifact_is_rebuilt(server, damage):
    artifact = server.get("/api/v1/models/small/versions/1").json["artifact"]
    server.stop()
    damage(blob(server, artifact))
    text, findings = doctor(server, 1)
    assert [f["what"] for f in findings] == ["small:1"], text
    assert findings[0]["commands"] == ["millrace up", "millrace models rebuild small:1 --verify"]
    server.start()
    assert "identical" in server.cli(*findings[0]["commands"][1].split()[1:]).stdout
    server.wait_ready()
    server.stop()
    assert doctor(server, 0)[1] == []


def test_a_part_is_read_again(server):
    part = [path for path in (server.data_dir / "blobs" / "objects").rglob("*") if path.is_file() and path.read_bytes()[64:68] == b"PAR1"]
    server.stop()
    break_it(part[0])
    text, findings = doctor(server, 1)
    assert [f["what"] for f in findings] == ["part of data@1"], text
    assert findings[0]["commands"] == ["millrace up", "millrace ingest data"]
    server.start()
    server.cli(*findings[0]["commands"][1].split()[1:], expect=None)  # the same rows: no new version, or one with the same parts
    server.stop()
    assert doctor(server, 0)[1] == []


def test_the_log_and_what_nobody_needs(server):
    server.stop()
    segment = sorted(p for p in (server.data_dir / "log").iterdir() if p.is_file() and p.stat().st_size)[-1]
    raw = bytearray(segment.read_bytes())
    at = raw.find(b"red")
    assert at > 0
    raw[at] ^= 0xFF
    segment.write_bytes(raw)
    text, findings = doctor(server, 1)
    assert [f["what"] for f in findings] == ["prediction log"], text


def test_beside_a_server_that_is_written_to(server):
    """Four clients predict and label, versions are trained and the log is rolled: doctor finds nothing, however often it looks."""
    small_project(server.folder, more='[retrain]\nwhen = ["new_labels >= 100"]\nwindow = "any"\n')
    server.cli("apply")
    stop, answered, failed = threading.Event(), [0] * 4, []

    def work(client):
        while not stop.is_set():
            try:
                made = server.post("/predict/small", [{"a": 0.5, "c": "red"}] * 20).json
                one = made["predictions"][0]["id"] if "predictions" in made else made[0]["id"]
                server.post("/labels/small", [{"prediction": one, "value": "1"}])
                answered[client] += 1
            except Exception as error:  # told by the test, not by a thread
                failed.append(error)
                return

    clients = [threading.Thread(target=work, args=(client,)) for client in range(4)]
    for client in clients:
        client.start()
    try:
        for look in range(8):
            before = sum(answered)
            if look % 2:
                server.cli("ingest", "small.predictions", expect=None)
            report = json.loads(server.cli("--json", "doctor", expect=None).stdout)
            assert report["findings"] == []
            wait_for("traffic", lambda: failed or sum(answered) > before + 20)
            assert not failed, failed
        server.wait_versions("small", 2)
    finally:
        stop.set()
        for client in clients:
            client.join()
    part = next(p for p in (server.data_dir / "blobs" / "objects").rglob("*") if p.is_file() and p.read_bytes()[64:68] == b"PAR1")
    part.unlink()
    report = json.loads(server.cli("--json", "doctor", expect=1).stdout)
    assert [f["file"] for f in report["findings"]] == [part.relative_to(server.data_dir).as_posix()]
    refused = server.cli("doctor", "--mend", expect=1).stderr
    assert "meta.folder_locked" in refused and "millrace down" in refused


def test_no_folder(servers, tmp_path):
    done = servers().cli("doctor", expect=64)
    assert "cli.no_folder" in done.stderr and "--data-dir" in done.stderr
