"""A backup of a folder with 1 GB of blobs, beside its running server: the first, and one after nothing changed. Beside `cp -r`."""
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import time
import zlib

from common import BIN, Server

BLOBS, BLOB_BYTES = 1000, 1_000_000


def put_blob(data_dir, content):
    """As docs/formats/blob.md says."""
    digest = hashlib.sha256(content).hexdigest()
    header = b"\x89MRBLOB\n" + struct.pack("<II16sQ20s", 1, 0, b"", len(content), b"")
    path = data_dir / "blobs" / "objects" / digest[:2] / digest
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(header + struct.pack("<I", zlib.crc32(header)) + content)


def bytes_below(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def backup(folder, to):
    began = time.monotonic()
    done = subprocess.run([BIN / "millrace", "backup", to, "--json"], cwd=folder, capture_output=True, text=True, check=True)
    return time.monotonic() - began, json.loads(done.stdout)


def measure(folder):
    server = Server(folder)
    try:
        data_dir = folder / ".millrace"
        rng = random.Random(1)
        for _ in range(BLOBS):
            put_blob(data_dir, rng.randbytes(BLOB_BYTES))
        os.sync()
        began = time.monotonic()
        shutil.copytree(data_dir / "blobs", folder / "copied")
        os.sync()
        copied = time.monotonic() - began
        whole = bytes_below(data_dir / "blobs")
        first, _ = backup(folder, folder / "safe")
        size = bytes_below(folder / "safe")
        second, report = backup(folder, folder / "safe")
        added = bytes_below(folder / "safe") - size
    finally:
        server.stop()
    return [
        "| what | figure |", "|---|---|",
        f"| `cp -r` of {whole / 1e9:.2f} GB of blobs, and `sync` | {copied:.2f} s |",
        f"| the first backup: every blob verified, copied, synced | {first:.2f} s ({first / copied:.1f} of the copy) |",
        f"| a second one after nothing changed | {second:.2f} s |",
        f"| what that added | {added / 1e3:.0f} KB ({100 * added / size:.3f} %), {report['new_blobs']} blobs |",
    ]
