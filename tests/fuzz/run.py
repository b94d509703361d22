#!/usr/bin/env python3
"""The fuzz targets (preset fuzz): each is given its corpus again, then new inputs for a while.

    run.py [--seconds 5] [--jobs 2] [TARGET...]     a table; exit 1 when a target crashed, leaked, hung or grew too large
    run.py --idle                                   with the time that no other program wants
    run.py --seed N                                 the inputs that N gives, the same each time; without it, others in each run
    run.py --grow [--seconds 60] [TARGET...]        and inputs that reach new code are added to the corpus, as few as will do
    run.py --seeds                                  the seeds that the product makes are written anew (seeds.cpp)

An input that a target dies of is kept in build/fuzz/found; the command printed with it runs it again. Mend the code, add a unit test, and
put the input into the corpus."""
import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
BUILD = TOP / "build" / "fuzz"
CORPUS = HERE / "corpus"
FOUND = BUILD / "found"
INPUT_BYTES_MAX = 4096  # small inputs are fast, and reach what large ones reach
CORPUS_BYTES_MAX = 400_000  # of all together


def targets():
    return sorted(f.stem for f in HERE.glob("*.cpp") if "int LLVMFuzzerTestOneInput(" in f.read_text())


def options(name, seconds, seed):
    given = [f"-seed={seed}", f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}", "-timeout=10", "-rss_limit_mb=1024", "-malloc_limit_mb=256",
             "-print_final_stats=1", f"-artifact_prefix={FOUND}/{name}-"]
    words = HERE / "words" / f"{name}.dict"
    return given + ([f"-dict={words}"] if words.exists() else [])


def coverage(output, mark):
    found = re.findall(rf"{mark}\s+cov: (\d+)", output)
    return int(found[-1]) if found else 0


def run(name, seconds, seed, grow):
    began = time.monotonic()
    corpus = CORPUS / name
    row = {"name": name, "corpus": len(list(corpus.glob("*"))), "output": ""}
    with tempfile.TemporaryDirectory(prefix="millrace-fuzz-") as work:
        # What it finds goes to the first folder; the corpus is only read. All of the corpus is run before anything new.
        command = [BUILD / "bin" / f"fuzz_{name}", *options(name, seconds, seed), work, corpus]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds + 120)
            row["output"], row["code"] = done.stderr, done.returncode
        except subprocess.TimeoutExpired as late:
            row["output"], row["code"] = (late.stderr or b"").decode(errors="replace") + "\ndid not end", 124
        out = row["output"]
        row["executions"] = int((re.findall(r"stat::number_of_executed_units:\s+(\d+)", out) or [0])[-1])
        row["replayed"] = coverage(out, "INITED")
        row["covered"] = max(coverage(out, "DONE"), row["replayed"])
        row["found"] = re.findall(r"Test unit written to (\S+)", out)
        row["seconds"] = time.monotonic() - began
        if grow and row["code"] == 0:
            with tempfile.TemporaryDirectory(prefix="millrace-fuzz-") as merged:
                subprocess.run([BUILD / "bin" / f"fuzz_{name}", "-merge=1", "-max_len=1024", merged, corpus, work], check=True,
                               capture_output=True)
                for file in pathlib.Path(merged).iterdir():
                    if not any(kept.read_bytes() == file.read_bytes() for kept in corpus.iterdir()):
                        shutil.copy(file, corpus / file.name[:12])
    return row


def explain(row):
    """The end of what a target said, from its report on; and how to see it again."""
    out = row["output"]
    marks = [m.start() for m in re.finditer(r"(?m)^(==\d+==\s?ERROR|==\d+== ERROR|.*runtime error:|broken promise:)", out)]
    print(f"\n---- {row['name']}: exit {row['code']}")
    print("\n".join(out[marks[0] if marks else -3000:].splitlines()[:40]))
    for file in row["found"]:
        path = pathlib.Path(file)
        print(f"the input is kept in {path.relative_to(TOP)} ({path.stat().st_size} bytes); again:\n"
              f"    ./dev shell build/fuzz/bin/fuzz_{row['name']} {path.relative_to(TOP)}")


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--seconds", type=int, default=5)
    ask.add_argument("--seed", type=int)
    ask.add_argument("--jobs", type=int, default=2)
    ask.add_argument("--idle", action="store_true")
    ask.add_argument("--grow", action="store_true")
    ask.add_argument("--seeds", action="store_true")
    ask.add_argument("targets", nargs="*")
    args = ask.parse_args()
    if args.seeds:
        return subprocess.run([BUILD / "bin" / "fuzz_seeds", CORPUS]).returncode
    unknown = set(args.targets) - set(targets())
    if unknown:
        sys.exit(f"no target {', '.join(sorted(unknown))}; there are: {' '.join(targets())}")
    if args.idle:
        os.nice(19)
    FOUND.mkdir(parents=True, exist_ok=True)
    seed = args.seed or random.randrange(1, 2**31)
    print(f"seed {seed}")
    began = time.monotonic()
    rows = []
    print(f"{'target':<16}{'corpus':>8}{'executions':>13}{'exec/s':>9}{'covered':>9}{'new':>6}   ends", flush=True)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for row in pool.map(lambda name: run(name, args.seconds, seed, args.grow), args.targets or targets()):
            rows.append(row)
            per_second = row["executions"] / max(row["seconds"], 0.001)
            print(f"{row['name']:<16}{row['corpus']:>8}{row['executions']:>13,}{per_second:>9,.0f}{row['covered']:>9,}"
                  f"{row['covered'] - row['replayed']:>6,}   {'well' if row['code'] == 0 else 'BADLY'}", flush=True)
    failed = [row for row in rows if row["code"] != 0]
    for row in failed:
        explain(row)
    size = sum(f.stat().st_size for f in CORPUS.rglob("*") if f.is_file())
    if size > CORPUS_BYTES_MAX:
        print(f"tests/fuzz/corpus has {size:,} bytes, more than {CORPUS_BYTES_MAX:,}")
    empty = [row["name"] for row in rows if row["corpus"] == 0 or row["executions"] < row["corpus"]]
    if empty:
        print(f"no corpus, or not run: {' '.join(empty)}")
    print(f"{len(rows)} targets, {sum(row['executions'] for row in rows):,} executions, {len(failed)} failed; "
          f"corpus {size / 1000:,.0f} KB; {time.monotonic() - began:.0f} s")
    return 1 if failed or empty or size > CORPUS_BYTES_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
