#!/usr/bin/env python3
"""The kill matrix: at every fault point that the binary lists, SIGKILL; start again; finish; compare with a run that was left alone.

    run.py            all points            run.py --quick     a spread of about a dozen
    run.py POINT...   some; POINT@3: the third time that one process reaches it;
                                                  POINT/STEP: in a process that starts in that step of the loop;
                                                  worker:POINT: with the jobs in a worker beside the server

A point that the loop does not reach fails, so that a new one can't be forgotten, unless it is in NOT_REACHED with a reason. Exit 1 when
anything differs. In the table: how often the undisturbed run reached the point, what the loop was doing when it was killed, and the time
from the kill until the server was ready again (of a job: until its next attempt was done)."""
import argparse
import collections
import concurrent.futures
import difflib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from loop import PROGRAMS, Broken, Loop

AT_ONCE = 3  # most of a run is waiting: for leases, pauses and the disk

NOT_REACHED = {
    "queue.positions.before_write": "nothing in the server reads the queue yet, so no position is kept; src/queue/kill_test.cpp has it",
    "queue.positions.after_write": "as above",
    "loop.death.before_commit": "SIGKILL is no crash of a version; tests/scenario/test_release.py lets one abort, and kills the start after it there",
    "loop.death.after_commit": "as above",
    "model.cache.before_write": "only millrace predictor keeps a cache; tests/scenario/test_predictor.py kills it there",
    "model.cache.after_write": "as above",
    "loop.shipped.before_log": "only predictors on other machines send lines; tests/scenario/test_fleet.py kills both ends there",
    "loop.shipped.before_commit": "as above", "loop.shipped.after_commit": "as above",
    "remote.ship.before_send": "as above", "remote.ship.after_send": "as above",
    "remote.ship.before_remove": "as above", "remote.ship.after_remove": "as above",
    "remote.wish.before_write": "as above", "remote.wish.after_write": "as above",
}

# Reached only on the way back from another death: that one first, then this.
AFTER = {
    "flow.fail.before_commit": "data.ingest.after_part", "flow.fail.after_commit": "data.ingest.after_part",
    "flow.recover.before_commit": "train.worker.before_complete", "flow.recover.after_commit": "train.worker.before_complete",
    "blob.gc.before_restore": "blob.gc.after_move",
}

# Besides in the server: with the jobs in a worker of its own, which dies, or whose server dies. A lease has to run out in most.
BESIDE = ["train.worker.after_spec", "train.worker.after_spawn", "train.worker.before_complete", "train.worker.before_cleanup",
          "flow.claim.after_commit", "flow.heartbeat.after_commit", "loop.checkpoint.after_commit", "loop.complete.before_commit",
          "loop.complete.after_commit@3", "flow.recover.before_commit", "app.job.before_result"]

# In a later life of the folder: a restart with work under way, doctor, an older database with old files.
IN_STEP = ["app.start.before_scratch/stopped_at_work", "flow.claim.after_commit/stopped_at_work", "train.checkpoint.after_blob/stopped_at_work",
           "loop.complete.before_commit@2/stopped_at_work", "loop.register.before_commit/stopped_at_work", "meta.settle.before_checkpoint/damage",
           "meta.migrate.before_commit/long_after", "meta.migrate.after_commit/long_after", "meta.settle.after_checkpoint/long_after",
           "queue.segment.before_rename/long_after", "serve.load.after_golden/long_after", "blob.write.before_rename/long_after",
           "meta.commit.before@4/long_after"]

# Points that many steps go through: also later times, so that each kind of caller is hit.
LATER = {
    "meta.commit.before": [2, 9, 25, 60], "meta.commit.after": [2, 9, 25, 60], "meta.migrate.before_commit": [2, 7],
    "blob.write.before_rename": [2], "blob.write.after_rename": [2], "loop.complete.before_commit": [2, 3, 4, 5],
    "loop.complete.after_commit": [2, 3, 4, 5], "flow.complete.before_commit": [2, 3, 5, 8],
    "flow.relay.after_publish": [3, 12], "queue.publish.before_sync": [5],
    "serve.log.before_line": [2, 30], "serve.log.after_line": [2, 30], "serve.swap.before": [2, 3], "serve.swap.after": [2, 3],
    "label.add.before_commit": [2], "train.worker.before_complete": [2, 3, 5], "loop.register.before_commit": [2],
}

QUICK = ["meta.migrate.before_commit@2", "data.ingest.after_part", "loop.register.after_number", "serve.swap.before", "serve.log.after_line@5",
         "label.add.halfway", "loop.rollback.after_commit", "loop.complete.after_commit@5", "loop.roll.before_remove", "train.artifact.after",
         "flow.relay.after_publish", "blob.gc.after_move", "backup.make.before_manifest", "blob.keys.after_append"]

WITH_WORKER = "worker:"


def parts_of(spec):
    """Name, how many times it is let pass, and the step from which on it counts."""
    spec, _, step = spec.removeprefix(WITH_WORKER).partition("/")
    name, _, at = spec.partition("@")
    return name, at, step


class Row:
    def __init__(self, point, reached, outcome, during="", recovery=None, seconds=0.0, folder=None):
        self.point, self.reached, self.outcome, self.during = point, reached, outcome, during
        self.recovery, self.seconds, self.folder = recovery, seconds, folder

    @property
    def bad(self):
        return self.outcome.startswith("FAILED")

    def line(self):
        took = "" if self.recovery is None else f"{self.recovery:.2f}"
        return f"{self.point:44} {self.reached:>7} {self.outcome.splitlines()[0]:14} {self.during:24} {took:>8}"


def points_of(programs):
    done = subprocess.run([programs / "millrace", "faults"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def run_loop(folder, programs, fault, mark=None, beside=False, armed_from=""):
    folder.mkdir(parents=True)
    loop = Loop(folder, fault, mark, programs, beside, armed_from)
    try:
        return loop, loop.run(), None
    except (Broken, KeyError, ValueError, IndexError, OSError, subprocess.SubprocessError) as error:
        return loop, None, f"in {loop.step}: {error or type(error).__name__}"
    finally:
        loop.end()


def undisturbed(top, programs):
    """What it ends with, and how often which process reached each point."""
    note = top / "reached"
    _, outcome, error = run_loop(top / "undisturbed", programs, f"*=note:{note}")
    if error:
        sys.exit(f"the undisturbed run failed {error}")
    reached = collections.Counter()
    by_process = collections.Counter()
    for line in note.read_text().splitlines():
        name, process = line.split()
        reached[name] += 1
        by_process[name, process] += 1
    most = collections.defaultdict(int)
    for (name, _), count in by_process.items():
        most[name] = max(most[name], count)
    return outcome, reached, most


def difference(wanted, got):
    """The parts that are not the same, each with its first lines."""
    def text(value):
        return json.dumps(value, indent=1).splitlines()
    out = []
    for part, value in json.loads(json.dumps(wanted)).items():
        other = json.loads(json.dumps(got[part]))
        if other == value:
            continue
        lines = list(difflib.unified_diff(text(value), text(other), "undisturbed", "killed", n=2, lineterm=""))[3:]
        out += [f"{part} (undisturbed -, killed +):", *lines[:16], *(["..."] if len(lines) > 16 else [])]
    return "\n".join("    " + line for line in out)


def try_point(number, spec, wanted, reached, top, programs, keep):
    began = time.monotonic()
    beside = spec.startswith(WITH_WORKER)
    name, at, armed_from = parts_of(spec)
    folder, mark = top / f"{number:03}-{spec.replace('/', '-in-')}", top / f"{number:03}-killed"
    fault = f"{name}=kill{'@' + at if at else ''}/once:{mark}"
    if name in AFTER:
        fault += f",{AFTER[name]}=kill/once:{top / f'{number:03}-first'}"
    loop, outcome, error = run_loop(folder, programs, fault, mark, beside, armed_from)
    row = Row(spec, reached[name], "same", loop.died_in, loop.recovery, time.monotonic() - began, folder)
    if error:
        row.outcome = f"FAILED\n{error}"
    elif not mark.exists():
        row.outcome = "FAILED\nthe point was never reached: extend the loop, or say in NOT_REACHED why not"
    elif outcome != wanted:
        row.outcome = "FAILED\n" + difference(wanted, outcome)
    if not row.bad and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return row


def not_killed_at(points, reached):
    """The points with an excuse, and those that nobody thought of."""
    rows = []
    for name, why in NOT_REACHED.items():
        wrong = reached[name] or name not in points
        rows.append(Row(name, reached[name], "FAILED\nit is reached, or not listed any more: take it out of NOT_REACHED" if wrong
                        else f"not reached: {why}"))
    for name in points:
        if not reached[name] and name not in NOT_REACHED and name not in AFTER:
            rows.append(Row(name, 0, "FAILED\nthe loop does not come by: teach it a step (loop.py), or say in NOT_REACHED or AFTER why not"))
    return rows


def chosen(points, asked, quick, reached, most):
    """Every point once, and some more times."""
    if asked:
        unknown = {parts_of(one)[0] for one in asked} - set(points)
        if unknown:
            sys.exit(f"the binary does not list {', '.join(sorted(unknown))}; see: millrace faults")
        return asked
    if quick:
        return QUICK
    out = []
    for name in points:
        if name in NOT_REACHED or not (reached[name] or name in AFTER):
            continue
        out.append(name)
        out += [f"{name}@{at}" for at in LATER.get(name, []) if at <= most[name]]
    return out + IN_STEP + [WITH_WORKER + one for one in BESIDE]


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("points", nargs="*")
    parse.add_argument("--quick", action="store_true")
    parse.add_argument("--keep", action="store_true", help="leave all folders, not only those of failures")
    parse.add_argument("--programs", type=pathlib.Path, default=PROGRAMS)
    asked = parse.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    points = points_of(asked.programs)
    top = pathlib.Path(tempfile.mkdtemp(prefix="millrace-kill-"))
    wanted, reached, most = undisturbed(top, asked.programs)
    rows = []
    if not asked.points:
        rows = not_killed_at(points, reached)
    todo = chosen(points, asked.points, asked.quick, reached, most)
    print(f"{'point':44} {'reached':>7} {'outcome':14} {'killed during':24} {'recovery':>8}", flush=True)
    for row in rows:
        print(row.line(), flush=True)
        if row.bad:
            print("  " + row.outcome, flush=True)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        tries = [pool.submit(try_point, n, spec, wanted, reached, top, asked.programs, asked.keep) for n, spec in enumerate(todo)]
        try:
            for done in concurrent.futures.as_completed(tries):
                rows.append(done.result())
                print(rows[-1].line(), flush=True)
                if rows[-1].bad:
                    print(f"  {rows[-1].outcome}\n  folder: {rows[-1].folder}", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)  # the two at work are soon over
            shutil.rmtree(top, ignore_errors=True)
            sys.exit("interrupted")
    bad = [row for row in rows if row.bad]
    took = sorted(row.recovery for row in rows if row.recovery is not None)
    if took:
        print(f"\nrecovery: p50 {took[len(took) // 2]:.2f} s, max {took[-1]:.2f} s")
    print(f"{len(todo)} runs of {len({parts_of(one)[0] for one in todo})} points ({len(points)} listed), {len(bad)} failed, "
          f"{time.monotonic() - began:.0f} s")
    if not bad and not asked.keep:
        shutil.rmtree(top, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
