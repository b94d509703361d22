#!/usr/bin/env python3
"""schemathesis against a running server: requests made from its own OpenAPI text, right ones and wrong ones, one after the other and in
chains, for a while. No answer may be a 5xx but these, and the server must be there at the end, with its data whole.

    run.py [--seconds 60] [--seed N]

What may be answered (hooks.py): 503 with Retry-After, which says what is full or not ready yet; 501 for an HTTP method that nobody knows
(TRACE), and with the reason `*.not_available`, which names a key of the project file that comes with a later version. Everything else of
500 and above fails."""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scenario"))
from conftest import MILLRACE, Server, small_project  # noqa: E402


def prepare(folder):
    """A server with a model that serves, labels, a second version: so that paths lead somewhere."""
    small_project(folder)
    server = Server(folder).start().wait_ready()
    answer = server.post("/predict/small", {"a": 0.5, "c": "red"})
    assert answer.status == 200, answer.body
    server.post("/labels/small", [{"prediction": answer.json["id"], "value": "1"}])
    return server


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--seconds", type=int, default=60)
    ask.add_argument("--seed", type=int, default=1)
    args = ask.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-contract-"))
    server = prepare(folder)
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": "/python" if pathlib.Path("/python").is_dir() else os.environ.get("PYTHONPATH", ""),
                   "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"), "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")}
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", server.url + "/api/v1/openapi.json", "--url", server.url, "--checks",
         "no_server_error", "--max-time", str(args.seconds), "--seed", str(args.seed), "--request-timeout", "20", "--continue-on-failure",
         "--workers", "2", "--no-shrink", "--warnings", "off"], env=environment, cwd=folder, timeout=args.seconds * 4 + 300)
    print(f"{time.monotonic() - began:.0f} s")
    problems = [] if done.returncode == 0 else [f"schemathesis ended with {done.returncode}"]
    if server.gone():
        problems.append(f"the server died: {server.process.returncode}\n{server.log()[-3000:]}")
    elif server.post("/predict/small", {"a": 0.5, "c": "red"}).status != 200:
        problems.append("the model does not answer any more")
    server.stop()
    looked = subprocess.run([MILLRACE, "doctor"], cwd=folder, capture_output=True, text=True)
    if looked.returncode != 0:
        problems.append(f"doctor ended with {looked.returncode}\n{looked.stdout}{looked.stderr}")
    for problem in problems:
        print(problem)
    if problems:
        print(f"the folder is kept: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
