"""Sealed blobs as a user has them: nothing of the data in plain under blobs/, the loop as ever, backups whose keys are apart, clear words
without the master key. And something that nobody here wrote opens them: the Python of docs/formats/blob.md."""
import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import types

import pytest

from conftest import MILLRACE, TOP, Server, small_project, wait_for

PLANTED = "PLANTED-9d41f7-Rye-Lane"
ROWS = [{"a": 0.9, "c": "red"}, {"a": 0.1, "c": PLANTED}]


def write_master(home, digit="7"):
    path = home / "master.key"
    path.write_text(digit * 64 + "\n")
    path.chmod(0o600)
    return path


def sealed_project(home, **more):
    home.mkdir(exist_ok=True)
    small_project(home, more='[profile.default]\nseal = "file:master.key"\n', **more)
    data = home / "data.csv"
    data.write_text(data.read_text().replace("green", PLANTED))
    return home


def run(home, *arguments, expect=0, env=None):
    done = subprocess.run([MILLRACE, *map(str, arguments)], cwd=home, capture_output=True, text=True, timeout=300, env={**os.environ, **(env or {})})
    assert expect is None or done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def files_with(root, text):
    return [path for path in root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def objects(data_dir):
    return [path for path in data_dir.glob("blobs/objects/*/*") if path.is_file()]


def is_sealed(path):
    return path.read_bytes()[12] == 1



def shown(server):
    return [{k: v for k, v in one.items() if k != "id"} for one in server.post("/predict/small", ROWS).json["predictions"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with sealing on, stopped after its first version; what it answered; a backup of it."""
    top = tmp_path_factory.mktemp("sealed")
    home = sealed_project(top / "home")
    write_master(home)
    server = Server(home).start().wait_ready()
    said = shown(server)
    server.stop()
    run(home, "backup", top / "safe")
    yield types.SimpleNamespace(top=top, home=home, said=said, log=server.log(), safe=top / "safe")
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def copy(folder, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(folder.home, home)
    yield home
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_nothing_of_the_data_is_in_plain_under_blobs(folder):
    data_dir = folder.home / ".millrace"
    assert PLANTED in (folder.home / "data.csv").read_text()
    assert "sealing" in folder.log
    assert objects(data_dir) and all(is_sealed(path) for path in objects(data_dir))
    assert not files_with(data_dir / "blobs", PLANTED)
    key = (folder.home / "master.key").read_text().strip()
    assert not files_with(data_dir, key) and not files_with(folder.safe, key), "the master key is in no folder of ours"
    assert not files_with(data_dir, bytes.fromhex(key).decode("latin-1"))


def test_a_restored_folder_serves_the_same_answers_and_has_no_plain_copy(folder, tmp_path):
    home = tmp_path / "other"
    home.mkdir()
    shutil.copy(folder.home / "data.csv", home)
    shutil.copy(folder.home / "millrace.toml", home)
    run(home, "restore", folder.safe)
    assert [path.name for path in folder.safe.glob("keys*") if path.suffix != ".lock"] == ["keys"]
    assert "nothing to mend" in run(home, "doctor").stdout, "doctor needs no master key"
    assert not files_with(home / ".millrace" / "blobs", PLANTED)
    # What is not a blob in the data folder is not sealed there either: records, and the newest part of the prediction log.
    manifest = json.loads(next(folder.safe.glob("backups/*.json")).read_text())
    others = {one["digest"] for one in manifest["files"] if one["path"] == "meta.db" or one["path"].startswith("log/")}
    assert {path.name for path in files_with(folder.safe, PLANTED)} <= others
    refused = Server(home).start(wait=False)
    wait_for("the refusal", refused.gone)
    assert refused.process.returncode == 1 and "bring it back" in refused.log() and "master.key" in refused.log()
    assert "openssl rand" not in refused.log(), "a new key would open nothing"
    shutil.copy2(folder.home / "master.key", home)
    server = Server(home)
    try:
        server.start().wait_ready()
        assert shown(server) == folder.said
        server.cli("retrain")
        server.wait_versions("small", 2)
    finally:
        server.stop()
    assert "nothing to mend" in run(home, "doctor").stdout
    assert not files_with(home / ".millrace" / "blobs", PLANTED)


def test_without_a_master_key_it_is_said_what_to_do(tmp_path):
    home = sealed_project(tmp_path / "home")
    server = Server(home).start(wait=False)
    wait_for("the refusal", server.gone)
    assert server.process.returncode == 1
    command = re.search(r"(openssl rand -hex 32 > \S+ && chmod 600 \S+)", server.log())
    assert command, server.log()
    write_master(home).chmod(0o644)
    server = Server(home).start(wait=False)
    wait_for("the refusal", server.gone)
    assert "can be read by others" in server.log()
    (home / "master.key").unlink()
    subprocess.run(["sh", "-ec", "umask 022; " + command[1]], check=True)
    try:
        server = Server(home).start().wait_ready()
        assert all(is_sealed(path) for path in objects(server.data_dir))
    finally:
        server.stop()
        shutil.rmtree(tmp_path, ignore_errors=True)


def test_another_master_key_is_refused_at_the_start(copy):
    write_master(copy, "8")
    server = Server(copy).start(wait=False)
    wait_for("the refusal", server.gone)
    assert server.process.returncode == 1 and "is not the master key of these blobs" in server.log(), server.log()


def test_switched_off_what_is_sealed_fails_clearly_and_the_rest_goes_on(copy, folder):
    project = copy / "millrace.toml"
    project.write_text(project.read_text().replace('seal = "file:master.key"', ""))
    server = Server(copy)
    try:
        server.start()
        wait_for("what is sealed to be told", lambda: "no master key is named" in server.log())
        listed = server.get("/api/v1/datasets").json["versions"]
        assert listed, "records are there"
        version = server.get("/api/v1/models/small/versions/1").json
        blob = server.get("/api/v1/blobs/" + version["artifact"])
        assert blob.status >= 400 and blob.json["error"]["reason"] == "blob.sealed", blob.body
        assert "no master key" in blob.json["error"]["message"]
        # What is not sealed: a file that is read anew.
        data = copy / "data.csv"
        data.write_text(data.read_text() + "0.5,red,1\n0.25,blue,0\n")
        wait_for("the new rows", lambda: len(server.get("/api/v1/datasets").json["versions"]) > len(listed), 120)
        worker = run(copy, "worker", "--server", server.url, "--server-data", server.data_dir, expect=64)
        assert "MILLRACE_MASTER_KEY" in worker.stderr, worker.stderr
    finally:
        server.stop()
    assert not all(is_sealed(path) for path in objects(server.data_dir))


def test_a_worker_of_its_own_seals_too(tmp_path):
    home = sealed_project(tmp_path / "home")
    path = write_master(home)
    server = Server(home, "--no-worker").start()
    worker = subprocess.Popen([MILLRACE, "worker", "--server", server.url, "--server-data", server.data_dir], cwd=home, stdout=subprocess.DEVNULL,
                              env={**os.environ, "MILLRACE_MASTER_KEY": str(path)})
    try:
        server.wait_ready()
        assert all(is_sealed(one) for one in objects(server.data_dir)) and objects(server.data_dir)
    finally:
        worker.terminate()
        worker.wait(30)
        server.stop()
        shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_server_hands_out_what_it_sealed(copy):
    server = Server(copy)
    try:
        server.start().wait_ready()
        version = server.get("/api/v1/models/small/versions/1").json
        for path in ("/api/v1/blobs/" + version["artifact"], "/api/v1/models/small/versions/1/export"):
            answer = server.get(path)
            assert answer.status == 200 and hashlib.sha256(answer.body).hexdigest() == version["artifact"], path
        server.cli("data", "checkout", "data@1", "--to", "out.csv")
        assert PLANTED in (copy / "out.csv").read_text()
    finally:
        server.stop()


# ---- doctor


def doctor(home, *more, expect=None):
    return json.loads(run(home, "doctor", "--json", *more, expect=expect).stdout)


def test_missing_keys_come_back_from_the_backup(copy):
    (copy / ".millrace" / "keys").unlink()
    findings = doctor(copy, expect=1)["findings"]
    assert [one["file"] for one in findings] == ["keys"] and findings[0]["commands"] == ["millrace doctor --mend"], findings
    assert "erased again" in findings[0]["lost"]
    run(copy, "doctor", "--mend")
    assert doctor(copy, expect=0)["findings"] == []
    server = Server(copy)
    try:
        server.start().wait_ready()
    finally:
        server.stop()


def test_missing_keys_without_a_backup_cost_what_is_made_again(copy):
    (copy / ".millrace" / "last_backup").unlink()
    (copy / ".millrace" / "keys").unlink()
    findings = doctor(copy, expect=1)["findings"]
    assert findings and all("which `keys` does not hold" in one["problem"] for one in findings), findings
    assert any("models rebuild" in one["mend"] for one in findings) and any("ingest data" in one["mend"] for one in findings)


# ---- by somebody else's hands


class GnutlsAesGcm:
    """AESGCM of the package `cryptography`, by GnuTLS, where that package is not installed. Neither is what Millrace seals with."""

    class Bytes(ctypes.Structure):
        _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_uint)]

    def __init__(self, key):
        self.library = ctypes.CDLL("libgnutls.so.30")
        self.handle = ctypes.c_void_p()
        kept = self.Bytes(key, len(key))
        assert self.library.gnutls_aead_cipher_init(ctypes.byref(self.handle), self.library.gnutls_cipher_get_id(b"AES-256-GCM"), ctypes.byref(kept)) == 0

    def decrypt(self, nonce, sealed, additional):
        out = ctypes.create_string_buffer(max(1, len(sealed)))
        size = ctypes.c_size_t(len(out))
        sizes = [ctypes.c_size_t(n) for n in (len(nonce), len(additional), 16, len(sealed))]
        done = self.library.gnutls_aead_cipher_decrypt(self.handle, nonce, sizes[0], additional, sizes[1], sizes[2], sealed, sizes[3], out,
                                                       ctypes.byref(size))
        if done != 0:
            raise ValueError("not opened")
        return out.raw[:size.value]


def unseal_of_the_page():
    text = (TOP / "docs" / "formats" / "blob.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.S)[1]
    names = {}
    try:
        import cryptography  # noqa: F401
    except ImportError:
        code = re.sub(r"^from cryptography.*\n", "", code, flags=re.M)
        names["AESGCM"] = GnutlsAesGcm
    exec(code, names)
    return names["unseal"]


def test_the_page_about_the_format_is_enough_to_open_every_blob(folder, tmp_path):
    """Also a large one, and the sizes at which pieces end."""
    unseal = unseal_of_the_page()
    home = tmp_path / "home"
    shutil.copytree(folder.home, home)
    project = home / "millrace.toml"
    project.write_text(project.read_text().replace("[model]", '[source.extra]\nuri = "upload"\n[model]'))
    server = Server(home)
    try:
        server.start()
        uploads = ["x\n" + "7" * (size - 3) + "\n" for size in (65535, 65536, 65537, 131072)]
        uploads.append("x,t\n" + "".join(f"{n},{PLANTED}\n" for n in range(60_000)))
        for text in uploads:
            assert server.post("/api/v1/datasets/extra/upload?name=part.csv", text.encode()).status == 202
    finally:
        server.stop()
    keys = (home / ".millrace" / "keys").read_bytes()
    master = bytes.fromhex((home / "master.key").read_text())
    sizes = set()
    for path in objects(home / ".millrace"):
        plain = unseal(path.read_bytes(), keys, master)
        assert hashlib.sha256(plain).hexdigest() == path.name
        sizes.add(len(plain))
    assert {65535, 65536, 65537, 131072} <= sizes and max(sizes) > 1 << 20
    with pytest.raises(Exception):
        unseal(objects(home / ".millrace")[0].read_bytes(), keys, b"\0" * 32)
    shutil.rmtree(tmp_path, ignore_errors=True)
