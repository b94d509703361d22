"""`doctor` finds what is broken in a stopped server's folder, and the command that it names mends it."""
import json
import re

import pytest

from conftest import small_project


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
    running = server.cli("doctor", expect=1)
    assert "meta.folder_locked" in running.stderr and "millrace down" in running.stderr
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
    command = re.search(r"then: millrace (models rebuild small:1 --verify)", text).group(1)
    server.start()
    assert "identical" in server.cli(*command.split()).stdout
    server.wait_ready()
    server.stop()
    assert doctor(server, 0)[1] == []


def test_a_part_is_read_again(server):
    part = [path for path in (server.data_dir / "blobs" / "objects").rglob("*") if path.is_file() and path.read_bytes()[64:68] == b"PAR1"]
    server.stop()
    break_it(part[0])
    text, findings = doctor(server, 1)
    assert [f["what"] for f in findings] == ["part of data@1"], text
    command = re.search(r"then: millrace (ingest data)", text).group(1)
    server.start()
    server.cli(*command.split(), expect=None)  # the same rows: no new version, or one with the same parts
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


def test_no_folder(servers, tmp_path):
    done = servers().cli("doctor", expect=64)
    assert "cli.no_folder" in done.stderr and "--data-dir" in done.stderr
