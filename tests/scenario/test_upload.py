"""Data sent to the server: each form of file, appended part by part, refused with its reason, of any size in little memory, and cut half way."""
import gzip
import hashlib
import http.client
import os
import pathlib
import random
import threading
import time

import pytest

from conftest import SANITIZED, wait_for, write_csv

# How much the streaming test sends. The whole figure of the promise is 4 GB at 20 MB/s: MILLRACE_BLOB_BYTES=4000000000 (about five minutes).
BLOB_BYTES = int(os.environ.get("MILLRACE_BLOB_BYTES", 300_000_000))
BLOB_RATE = 20_000_000 if BLOB_BYTES > 1_000_000_000 else 60_000_000
MEMORY_MAX = 64 << 20


def rows(count, seed):
    rng = random.Random(seed)
    return [["id", "a", "c", "y"]] + [[f"k{seed}-{i}", round(rng.random(), 6), rng.choice("xyz"), int(rng.random() > 0.5)] for i in range(count)]


def text_of(table, delimiter=","):
    return "".join(delimiter.join(map(str, row)) + "\n" for row in table).encode()


@pytest.fixture
def server(servers, tmp_path):
    (tmp_path / "millrace.toml").write_text('[project]\nname = "up"\n[source.people]\nuri = "upload"\nkey = "id"\n[model]\ntarget = "people.y"\n'
                                            '[gates]\n"auc" = ">= 0"\n')
    return servers().start()


def job_end(server, answer):
    assert answer.status == 202, answer.body
    job = answer.json["job"]
    return wait_for("the reading's end", lambda: (lambda j: j if j["state"] in ("done", "failed") else None)(server.get(f"/api/v1/jobs/{job}").json))


def send(server, body, name="part.csv", expect="done"):
    state = job_end(server, server.request("POST", f"/api/v1/datasets/people/upload?name={name}", body))
    assert state["state"] == expect, state
    return state


def versions(server):
    return server.get("/api/v1/datasets/people").json["versions"]


def blobs(server):
    return {path.name for path in (server.data_dir / "blobs" / "objects").rglob("*") if path.is_file()}


def parquet_blobs(server, known=frozenset()):
    """The server's own parts by digest: Parquet files that somebody could send."""
    bodies = {name: server.get(f"/api/v1/blobs/{name}").body for name in blobs(server) - set(known)}
    return {name: body for name, body in bodies.items() if body.startswith(b"PAR1")}


def test_each_form_of_file(server):
    send(server, text_of(rows(300, 1)))
    name, parquet = parquet_blobs(server).popitem()
    assert hashlib.sha256(parquet).hexdigest() == name
    first = versions(server)[0]
    assert (first["number"], first["rows"], first["source"]) == (1, 300, "upload:part.csv")
    send(server, gzip.compress(text_of(rows(200, 2))), "part.csv.gz")
    send(server, text_of(rows(100, 3), ";"), "part.txt")
    assert [v["rows"] for v in versions(server)] == [600, 500, 300]
    # The same rows as Parquet are other bytes; the same bytes again are nothing new.
    send(server, parquet, "part.parquet")
    send(server, gzip.compress(parquet), "part.parquet.gz")
    again = send(server, parquet, "part.parquet")
    assert [v["rows"] for v in versions(server)] == [1200, 900, 600, 500, 300], again
    shown = server.get("/api/v1/datasets/people/versions/5").json
    assert {c["name"]: c["type"] for c in shown["columns"]} == {"id": "text", "a": "float64", "c": "text", "y": "int64"}


def test_an_append_stores_only_the_new_part(server):
    send(server, text_of(rows(3000, 1)))
    before = blobs(server)
    send(server, text_of(rows(50, 2)), "more.csv")
    one, two = versions(server)[1], versions(server)[0]
    assert (one["parts"], two["parts"], two["parent"]) == (1, 2, 1)
    assert before <= blobs(server)
    added = parquet_blobs(server, before)
    assert len(added) == 1 and len(added.popitem()[1]) < 10_000, "one new part, of the new rows alone"
    counted = server.cli("data", "query", "people@2", "SELECT count(*), count(DISTINCT id) FROM data").stdout
    assert "3050" in counted and "3050" in counted.replace("3050", "", 1), counted


def test_rows_that_do_not_go_with_the_dataset_are_refused(server):
    send(server, text_of(rows(300, 1)))
    before = versions(server)
    for table, words in (([["id", "a", "c", "y"], ["n1", "high", "x", "1"]], ["line 2", "'a'", "'high'"]),
                         ([["id", "a", "c", "y"], ["n1", "2020-01-01", "x", "1"]], ["'a'", "date", "float64"]),
                         ([["colour", "weight"], ["red", "3"]], ["no column of the new rows", "'id'"]),
                         ([["a", "c", "y"], ["0.5", "x", "1"]], ["key", "'id'"])):
        state = send(server, text_of(table), expect="failed")
        assert all(word in state["message"] for word in words), state["message"]
    for body, words in ((b"", ["empty"]), (b"id,a,c,y\n", ["no rows"]), (b"PK\x03\x04rest", ["zip"]), (b"id,a\n1,2,3\n", ["line 2", "columns"]),
                        (b'id,a,c,y\n"k,1,x,0\n', ["line 2", "quote"]), (b"id,a,c,y\nk,1,\xff,0\n", ["line 2", "UTF-8"]), (b"PAR1 not really", ["Parquet"])):
        state = send(server, body, expect="failed")
        assert all(word in state["message"] for word in words), (body, state["message"])
    assert versions(server) == before
    assert "was not read" in server.cli("status").stdout, "the newest refusal is visible"
    refused = server.cli("ingest", "people", "nowhere.csv", expect=1)
    assert "nowhere.csv" in refused.stderr


def test_a_source_that_is_a_file_takes_no_uploads(servers, tmp_path):
    from conftest import small_project
    small_project(tmp_path)
    server = servers().start()
    answer = server.request("POST", "/api/v1/datasets/data/upload?name=x.csv", b"a,c,y\n1,red,1\n")
    assert answer.status == 409 and answer.json["error"]["reason"] == "loop.file_source", answer.body
    assert server.request("POST", "/api/v1/datasets/nobody/upload", b"x").json["error"]["reason"] == "loop.no_source"


def test_the_command(server, tmp_path):
    write_csv(tmp_path / "people.csv", rows(400, 1))
    assert "people@1" in server.cli("ingest", "people", "people.csv").stdout
    assert "nothing new" in server.cli("ingest", "people", "people.csv", expect=4).stdout
    wrong = server.cli("ingest", "people", expect=1)
    assert "loop.upload_source" in wrong.stderr and "millrace ingest people FILE" in wrong.stderr


class Memory:
    """The largest resident size of a process while it is watched, above that at the beginning."""

    def __init__(self, pid):
        self.status = pathlib.Path(f"/proc/{pid}/status")
        self.most = self.begin = self.now()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def now(self):
        return int(self.status.read_text().split("VmRSS:")[1].split()[0]) * 1024

    def watch(self):
        while not self.done.wait(0.02):
            self.most = max(self.most, self.now())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.done.set()
        self.thread.join()

    @property
    def extra(self):
        return self.most - self.begin


def pieces(total):
    """`total` bytes that are no table, the same each time."""
    piece = random.Random(5).randbytes(1 << 20)
    sent = 0
    while sent < total:
        size = min(len(piece), total - sent)
        head = sent.to_bytes(8, "little")[:size]
        yield head + piece[len(head):size]
        sent += size


def connect(server):
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    return http.client.HTTPConnection(host, int(port), timeout=120)


@pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps freed memory for a while")
def test_a_large_blob_goes_through_in_little_memory(server):
    server.get("/api/v1/status")
    digest = hashlib.sha256()
    connection = connect(server)
    with Memory(server.process.pid) as upload:
        began = time.monotonic()
        connection.putrequest("POST", "/api/v1/datasets/people/upload?name=large")
        connection.putheader("Content-Length", str(BLOB_BYTES))
        connection.endheaders()
        for piece in pieces(BLOB_BYTES):
            digest.update(piece)
            connection.send(piece)
        answer = connection.getresponse()
        assert answer.status == 202, answer.read()
        answer.read()
        up_seconds = time.monotonic() - began
    got, size = hashlib.sha256(), 0
    with Memory(server.process.pid) as download:
        began = time.monotonic()
        connection.request("GET", "/api/v1/blobs/" + digest.hexdigest())
        answer = connection.getresponse()
        assert answer.status == 200
        while piece := answer.read(1 << 20):
            got.update(piece)
            size += len(piece)
            ahead = size / BLOB_RATE - (time.monotonic() - began)
            if ahead > 0:
                time.sleep(ahead)  # the slow consumer
        down_seconds = time.monotonic() - began
    print(f"{BLOB_BYTES / 1e6:.0f} MB: up in {up_seconds:.1f} s with {upload.extra / 1e6:.1f} MB more memory, "
          f"down in {down_seconds:.1f} s ({size / down_seconds / 1e6:.1f} MB/s) with {download.extra / 1e6:.1f} MB more")
    assert size == BLOB_BYTES and got.digest() == digest.digest()
    assert down_seconds > 0.9 * BLOB_BYTES / BLOB_RATE, "the consumer was slow"
    assert upload.extra < MEMORY_MAX and download.extra < MEMORY_MAX
    connection.close()


def test_an_upload_that_is_cut_leaves_nothing(server):
    def files():
        return {str(p) for folder in ("blobs", "tmp") for p in (server.data_dir / folder).rglob("*") if p.is_file() and p.name != "gc.lock"}

    before = files()
    body = text_of(rows(200_000, 1))
    connection = connect(server)
    connection.putrequest("POST", "/api/v1/datasets/people/upload?name=cut.csv")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[:len(body) // 2])
    wait_for("its first bytes to be on the disk", lambda: files() != before)
    connection.sock.close()
    connection.close()
    wait_for("nothing to be left of it", lambda: files() == before)
    assert not versions(server) and not server.get("/api/v1/status").json["running"]
    send(server, body, "whole.csv")
    assert versions(server)[0]["rows"] == 200_000
