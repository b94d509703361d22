#!/usr/bin/env python3
"""Load while learning: steady predictions over connections that stay open, while every minute a candidate is trained and takes over, and every
other training's process is killed by SIGKILL on the way. Before that the same traffic with nothing else going on: the quiet run.

Fails (exit 1) when a request failed, when one of the trainings did not end in a swap, when p99 under load is more than twice that of the quiet
run, or when the server's resident memory grows: the slope of a line laid through it (least squares, without the first quarter, in which most caches
fill) is above the bound. Prints all of it; --plot writes memory and latency over time as SVG.

With --releases each version comes by canaries of 5 and 25 %, and beside the steady traffic bursts of large requests come that are more than the
server can take (overload.py). Then p99 is that of what did not meet a burst; it fails too when a large request got anything but its answer or 503
with Retry-After, when a release did not end as it should, and when the prediction log has not each answered prediction, those of the bursts too, exactly once.

    load.py [--releases] [--minutes N] [--quiet-minutes N] [--rate REQUESTS_PER_SECOND] [--connections N] [--every SECONDS] [--plot FILE] [--no-latency]"""
import argparse
import csv
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

from overload import Bursts, log_against_ledger
from world import Server, Traffic, percentile, small_project, wait_for

MODEL = "small"
P99_TIMES_MAX = 2.0
P99_FLOOR_MS = 5.0  # of the quiet run: below that the client's own threads are what is measured
# MB a minute, of what is the process's own (RssAnon). Over the first 30 or so trainings SQLite's caches, its prepared statements and the
# allocator's arenas fill (0.4 MB each time at first; 0.12 from the 30th to the 65th, of which malloc_trim gives most back); a run of an hour or more is measured past it. A leak of 100 bytes a
# request at 400/s would be 2.4 MB a minute, a model that is not let go 1 MB.
SLOPE_MAX, SLOPE_MAX_LONG = 0.75, 0.2
MINUTES_TO_JUDGE_MEMORY = 8  # in less it only fills
ROWS = 6000
BURST_EVERY, SETTLED_WITHIN = 17.0, 3.0  # seconds; a burst takes one or two
STEPS = '[release]\nsteps = ["canary 5% 5s", "canary 25% 5s", "full"]\n[serve]\nqueue = 4\n'


def memory_mb(pid):
    """(all, own): VmRSS and RssAnon. The difference are mapped files, the segment of the log that is written to among them."""
    lines = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))


def slope(points):
    """Of the line through (x, y) with the least squares."""
    n = len(points)
    if n < 2:
        return 0.0
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    across = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / across if across else 0.0


def training_child(server):
    """The process id of the training that the server runs now, if it does."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) != server.process.pid:
                continue
            words = (stat.parent / "cmdline").read_bytes().split(b"\0")
            spec = next(word for word in words if word.endswith(b"spec.json"))
            if json.loads(pathlib.Path(os.fsdecode(spec)).read_text())["kind"] == "train":
                return int(stat.parent.name)
        except (OSError, StopIteration, ValueError, KeyError):
            continue  # it ended while we looked
    return None


class Load:
    def __init__(self, server, options):
        self.server, self.options = server, options
        self.rows = [json.dumps({"a": random.Random(n).random(), "c": random.Random(n).choice(["red", "green", "blue"])}) for n in range(997)]
        self.labels, self.lock, self.answered_by = [], threading.Lock(), set()
        self.swaps = self.kills = 0
        self.troubles, self.memory, self.events, self.ledger = [], [], [], []
        self.bursts = Bursts(server.url, MODEL) if options.releases else None

    def heard(self, number, answer):
        self.answered_by.add(answer["model"])
        if self.bursts:
            self.ledger.append(answer["id"])
        if number % 200 == 0:  # 2 a second at 400 requests/s
            with self.lock:
                self.labels.append({"prediction": answer["id"], "value": random.choice([0, 1])})

    def traffic(self):
        return Traffic(self.server.url, MODEL, self.options.rate, self.options.connections, lambda n: self.rows[n % len(self.rows)], self.heard)

    def watch(self, until):
        """Memory each second, and labels as they come due."""
        while time.monotonic() < until:
            if self.server.gone():
                self.troubles.append("the server is gone\n" + self.server.log()[-2000:])
                return
            self.memory.append((time.monotonic(), *memory_mb(self.server.process.pid)))
            with self.lock:
                batch, self.labels = self.labels, []
            if batch and (answer := self.server.post(f"/labels/{MODEL}", batch)).status >= 300:
                self.troubles.append(f"labels: {answer.status} {answer.body[:200]}")
            time.sleep(1)

    def learn(self, kill):
        """One training by hand, killed on the way or not, until its version answers."""
        before = self.server.model(MODEL)["current"]
        answer = self.server.post("/api/v1/train", {"reason": "load"})
        if answer.status != 202:
            self.troubles.append(f"train: {answer.status} {answer.body[:200]}")
            return
        if kill:
            child = wait_for("a training to kill", lambda: training_child(self.server), 40)
            os.kill(child, signal.SIGKILL)
            self.kills += 1
            self.events.append((time.monotonic(), "kill"))
        wait_for("the new version to answer", lambda: self.server.model(MODEL)["current"] != before, self.options.every - 2)
        self.swaps += 1
        self.events.append((time.monotonic(), "swap"))

    def learn_until(self, until):
        number = 0
        while (began := time.monotonic()) < until - self.options.every * 0.9:
            number += 1
            try:
                self.learn(kill=number % 2 == 0)
            except BaseException as error:  # pytest's own failures among them; the next one is tried all the same
                self.troubles.append(f"training {number}: {error}"[:2000])
            time.sleep(max(0, began + self.options.every - time.monotonic()))

    def phase(self, minutes, learn):
        until = time.monotonic() + minutes * 60
        threads = [threading.Thread(target=self.watch, args=(until,))]
        if learn:
            threads.append(threading.Thread(target=self.learn_until, args=(until,)))
        if learn and self.bursts:
            threads.append(threading.Thread(target=self.bursts.until, args=(until - 2 * SETTLED_WITHIN, BURST_EVERY, threading.Event())))
        traffic = self.traffic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(max(0, until - time.monotonic()))
        return traffic.stop()

    def log_is_whole(self, folder):
        """What the prediction log and the releases say against what was answered."""
        dataset, bursts = f"{MODEL}.predictions", self.bursts
        ingest = lambda: self.server.post("/api/v1/ingest", {"source": dataset}).json
        wait_for("all lines as a dataset", lambda: ingest().get("error", {}).get("reason") == "loop.nothing_to_roll", 300)
        newest = self.server.get(f"/api/v1/datasets/{dataset}").json["versions"][0]["number"]
        self.server.cli("data", "checkout", f"{dataset}@{newest}", "--to", str(folder / "log.csv"))
        with open(folder / "log.csv", newline="") as file:
            rows = [(row["prediction_id"], row["why"]) for row in csv.DictReader(file)]
        canaries = sum(why == "canary" for _, why in rows)
        wrong = log_against_ledger(rows, self.ledger + bursts.ids)
        if not canaries:
            wrong.append("no canary answered")
        if not bursts.refused:
            wrong.append("no burst was more than the server could take")
        if bursts.bad:
            wrong.append(f"{len(bursts.bad)} large requests failed, the first: {bursts.bad[0]}")
        ended = [one["outcome"] for one in self.server.get(f"/api/v1/models/{MODEL}/releases?limit=1000").json["releases"]]
        if set(ended) - {"running", "finished", "replaced"}:
            wrong.append(f"releases ended {sorted(set(ended))}")
        print(f"overload  {len(bursts.spans)} bursts: {len(bursts.ids)} rows answered, {bursts.refused} large requests sent away, {len(bursts.bad)} failed")
        print(f"log       {len(rows)} lines for {len(self.ledger) + len(bursts.ids)} answers; {canaries} by canaries; releases {', '.join(sorted(set(ended)))}")
        return wrong


def by_second(asked, began):
    """(second, p99) of each second."""
    seconds = {}
    for due, ms in zip(asked.due, asked.ms):
        seconds.setdefault(int(due - began), []).append(ms)
    return [(second, percentile(ms, 0.99)) for second, ms in sorted(seconds.items())]


def plot(path, title, load, asked, began):
    """Two panels over time, memory and p99 of each second, with a line at each swap and kill."""
    minutes = max(1e-9, (load.memory[-1][0] - began) / 60)
    width, height, left, top, gap = 900, 200, 70, 50, 70
    text = lambda x, y, words, more="": f'<text x="{x:.1f}" y="{y:.1f}" {more}>{words}</text>'
    at_x = lambda moment: left + (moment - began) / 60 / minutes * width
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 30} {top + 2 * height + gap + 70}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>', text(left, 24, title, 'font-size="15"')]
    # A spike of one second must not flatten the rest: the axis ends a little above the 99.5th percentile of the seconds.
    latency = by_second(asked, began)
    for panel, (name, unit, lines) in enumerate((
            ("resident memory", "MB", (("all", "#888888", [(t, rss) for t, rss, _ in load.memory]), ("own", "#1f6fb4", [(t, own) for t, _, own in load.memory]))),
            ("p99 of each second", "ms", (("p99", "#c0392b", [(began + second, ms) for second, ms in latency]),)))):
        y0 = top + panel * (height + gap)
        values = [value for _, _, points in lines for _, value in points]
        most = (max(values) if panel == 0 else percentile(values, 0.995)) * 1.15 or 1
        step = next(s * 10 ** e for e in range(-2, 6) for s in (1, 2, 5) if most / (s * 10 ** e) <= 6)
        out.append(f'<rect x="{left}" y="{y0}" width="{width}" height="{height}" fill="none" stroke="#bbbbbb"/>')
        out.append(text(left, y0 - 8, f"{name}, {unit}"))
        for tick in range(int(most / step) + 1):
            y = y0 + height - tick * step / most * height
            out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}" stroke="#eeeeee"/>')
            out.append(text(left - 6, y + 4, f"{tick * step:g}", 'text-anchor="end"'))
        for moment, what in load.events:
            colour = "#2e8b57" if what == "swap" else "#e67e22"
            out.append(f'<line x1="{at_x(moment):.1f}" y1="{y0}" x2="{at_x(moment):.1f}" y2="{y0 + height}" stroke="{colour}" stroke-width="0.7"/>')
        for label, colour, points in lines:
            # Of a long run a point per pixel is plenty: the highest of those that fall on it.
            pixels = {}
            for moment, value in points:
                pixels[int(at_x(moment))] = max(value, pixels.get(int(at_x(moment)), 0))
            path_points = " ".join(f"{x},{y0 + height - min(value, most) / most * height:.1f}" for x, value in sorted(pixels.items()))
            out.append(f'<polyline points="{path_points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for n, (label, colour, _) in enumerate(lines if panel == 0 else ()):
            out.append(text(left + width - 60 * (len(lines) - n), y0 - 8, label, f'fill="{colour}"'))
    bottom = top + 2 * height + gap
    ticks = next(t for t in (0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120) if minutes / t <= 12 or t == 120)
    for n in range(int(minutes / ticks + 1e-6) + 1):
        out.append(text(left + n * ticks / minutes * width, bottom + 18, f"{n * ticks:g}", 'text-anchor="middle"'))
    out.append(text(left + width / 2, bottom + 36, "minutes", 'text-anchor="middle"'))
    out.append(text(left, bottom + 54, "green: a new version answers; orange: the training's process is killed", 'fill="#555555"'))
    path.write_text("\n".join(out + ["</svg>"]) + "\n")


def project(folder, releases):
    small_project(folder, name=MODEL, rows=ROWS, trainer='{ name = "boosted-trees", rounds = 400, depth = 6, early_stopping = 0, threads = 1 }',
                  more='[labels]\nmature = "1d"\n[retention]\nmodels = 3\n' + (STEPS if releases else ""))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--quiet-minutes", type=float, default=1)
    options.add_argument("--rate", type=float, default=400)
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--every", type=float, default=60)
    options.add_argument("--releases", action="store_true", help="canaries, and bursts of more than the server can take")
    options.add_argument("--plot", type=pathlib.Path)
    options.add_argument("--no-latency", action="store_true", help="print p99, but do not judge it: other work is on this machine")
    options = options.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-load-"))
    project(folder, options.releases)
    server = Server(folder)
    try:
        server.start().wait_ready()
        load = Load(server, options)
        load.phase(0.15, learn=False)  # warm: connections, pages, the first lines of the log
        quiet = load.phase(options.quiet_minutes, learn=False)
        load.memory.clear()
        began = time.monotonic()
        busy = load.phase(options.minutes, learn=True)
        if options.releases:
            load.troubles += load.log_is_whole(folder)
    finally:
        server.stop()
        log = (folder / ".millrace" / "millrace.log").read_text(errors="replace") if (folder / ".millrace").is_dir() else ""
        shutil.rmtree(folder, ignore_errors=True)

    bad = quiet.bad + busy.bad
    apart = [not load.bursts or not load.bursts.beside(due, SETTLED_WITHIN) for due in busy.due]
    quiet_ms, busy_ms = sorted(quiet.ms), sorted(ms for ms, one in zip(busy.ms, apart) if one)
    met_ms = [ms for ms, one in zip(busy.ms, apart) if not one]
    quiet_p99, busy_p99 = percentile(quiet_ms, 0.99), percentile(busy_ms, 0.99)
    settled = [one for one in load.memory if one[0] - began > options.minutes * 60 / 4]
    grows, own_grows = (slope([((one[0] - began) / 60, one[place]) for one in settled]) for place in (1, 2))
    wanted = max(1, int(options.minutes * 60 / options.every))
    wrong = list(load.troubles)
    if bad:
        wrong.append(f"{len(bad)} requests failed, the first: {bad[0]}")
    for name, asked, minutes in (("quiet", quiet, options.quiet_minutes), ("learning", busy, options.minutes)):
        if len(asked) < 0.98 * options.rate * minutes * 60 and not options.no_latency:
            wrong.append(f"{name}: {len(asked)} requests of {options.rate * minutes * 60:.0f} could be sent; this machine is too busy to tell")
    if load.swaps < wanted - 1:
        wrong.append(f"{load.swaps} swaps, expected about {wanted}")
    if busy_p99 > P99_TIMES_MAX * max(quiet_p99, P99_FLOOR_MS) and not options.no_latency:
        wrong.append(f"p99 under load {busy_p99:.1f} ms is more than {P99_TIMES_MAX:g} times that of the quiet run, {quiet_p99:.1f} ms")
    slope_max = SLOPE_MAX_LONG if options.minutes >= 60 else SLOPE_MAX
    if own_grows > slope_max and options.minutes >= MINUTES_TO_JUDGE_MEMORY:
        wrong.append(f"memory grows by {own_grows:.2f} MB a minute, more than {slope_max}")
    first, last = load.memory[0], load.memory[-1]
    print(f"requests  {len(quiet) + len(busy)}, {len(bad)} failed; {options.rate:g}/s over {options.connections} connections, {options.minutes:g} minutes")
    print(f"quiet     p50 {percentile(quiet_ms, .5):.2f} ms   p99 {quiet_p99:.2f} ms   max {max(quiet_ms):.1f} ms")
    print(f"learning  p50 {percentile(busy_ms, .5):.2f} ms   p99 {busy_p99:.2f} ms   max {max(busy_ms):.1f} ms   p99 {busy_p99 / quiet_p99:.2f} times the quiet one")
    if met_ms:
        print(f"overload  p50 {percentile(met_ms, .5):.2f} ms   p99 {percentile(met_ms, .99):.2f} ms   max {max(met_ms):.1f} ms   of the {len(met_ms)} small requests beside a burst")
    print(f"memory    {first[1]:.1f} MB at the start, {last[1]:.1f} at the end, {grows:+.3f} MB a minute; its own {first[2]:.1f} -> {last[2]:.1f}, "
          f"{own_grows:+.3f} MB a minute (bound {slope_max})")
    print(f"loop      {load.swaps} trainings and swaps, {load.kills} of them killed on the way; {len(load.answered_by)} versions answered; "
          f"{sum(' warn ' in line for line in log.splitlines())} warnings in the server's log")
    if options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        plot(options.plot, f"{options.minutes:g} minutes, {options.rate:g} requests/s: {load.swaps} swaps, {load.kills} kills, {len(bad)} failed",
             load, busy, began)
        print(f"plot      {options.plot}")
    print("\n".join(["", *wrong]) if wrong else "all as promised")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
