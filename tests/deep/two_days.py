#!/usr/bin/env python3
"""Two days in five minutes: the calendar 600 times faster, leases and pauses as long as ever (src/app/test_time.hpp), nobody gives a command.

Two servers side by side in Europe/Lisbon, from Saturday noon until Monday noon around the night in which the clock changes: in one the hour
from 01:00 is skipped (spring), in the other it comes twice (autumn). Both retrain "daily 01:30" on what was labelled meanwhile. Afterwards:
no prediction failed, exactly one training for each night and that at the right moment, each found its data and its labels, every answer that
was given is in the log, and `doctor` finds nothing. Exit 1 otherwise.

    two_days.py [--speed N] [--days N] [--rate REQUESTS_PER_SECOND] [--keep]"""
import argparse
import datetime
import json
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
import zoneinfo

from world import Server, Traffic, percentile, small_project

UTC = datetime.timezone.utc
LISBON = zoneinfo.ZoneInfo("Europe/Lisbon")
SCHEDULE = "daily 01:30"
LATE = datetime.timedelta(minutes=60)  # of the calendar: six seconds at 600 times its pace, and the server looks every second


def last_sunday(year, month):
    day = datetime.date(year, month, 31)
    return day - datetime.timedelta(days=(day.weekday() + 1) % 7)


class World:
    def __init__(self, folder, season, change, speed, days, rate):
        self.folder, self.season, self.rate, self.speed = folder, season, rate, speed
        folder.mkdir()
        small_project(folder, rows=300, more=f'[retrain]\nschedule = "{SCHEDULE}"\n[retention]\nmodels = 2\n')
        project = folder / "millrace.toml"
        project.write_text(project.read_text().replace('name = "small"', 'name = "small"\ntimezone = "Europe/Lisbon"'))
        self.begin = datetime.datetime.combine(change - datetime.timedelta(days=1), datetime.time(12), LISBON).astimezone(UTC)
        self.end = self.begin + datetime.timedelta(days=days)
        self.nights = [change + datetime.timedelta(days=n) for n in range(days)]
        self.ids, self.labels, self.troubles = [], [], []

    def due(self, night):
        """The moment that the schedule means: the first 01:30 of that night, or the first minute after a gap that has swallowed it."""
        at = datetime.datetime.combine(night, datetime.time(1, 30), LISBON)  # fold 0: the first of two
        while at.astimezone(UTC).astimezone(LISBON).replace(tzinfo=None) != at.replace(tzinfo=None):
            at += datetime.timedelta(minutes=1)
        return at.astimezone(UTC)

    def calendar(self):
        real = datetime.datetime.now(UTC)
        return self.begin + (real - self.since) * self.speed

    def start(self):
        self.since = datetime.datetime.now(UTC)
        ahead = int((self.begin - self.since) / datetime.timedelta(microseconds=1))
        self.env = {"MILLRACE_CLOCK_OFFSET": f"{ahead}us", "MILLRACE_CALENDAR_SPEED": str(self.speed),
                    "MILLRACE_CALENDAR_SINCE": self.since.isoformat()}
        self.server = Server(self.folder, env=self.env).start().wait_ready()

    def body(self, number):
        rng = random.Random(number)
        return json.dumps({"a": rng.random(), "c": rng.choice(["red", "green", "blue"])})

    def heard(self, number, answer):
        self.ids.append(answer["id"])
        if number % 2 == 0:
            with self.lock:
                self.labels.append((answer["id"], int(random.Random(number).random() > 0.5)))

    def run(self):
        self.lock = threading.Lock()
        traffic = Traffic(self.server.url, "small", self.rate, 2, self.body, self.heard)
        told = 0
        while self.calendar() < self.end:
            time.sleep(1)
            with self.lock:
                batch, self.labels = self.labels, []
            if batch:
                rows = [{"prediction": id, "value": value} for id, value in batch]
                answer = self.server.post("/labels/small", rows)
                if answer.status >= 300:
                    self.troubles.append(f"labels: {answer.status} {answer.body[:300]}")
                told += len(batch)
        self.asked = traffic.stop()
        self.told = told
        self.look()

    def expect(self, holds, what):
        if not holds:
            self.troubles.append(what)

    def look(self):
        bad = self.asked.bad
        self.expect(not bad, f"{len(bad)} predictions failed, the first: {bad[:1]}")
        runs = self.server.get("/api/v1/runs?limit=100").json["runs"]
        by_schedule = sorted((datetime.datetime.fromisoformat(r["created"]), r) for r in runs if r["cause"].startswith("schedule"))
        wanted = [self.due(night) for night in self.nights]
        self.expect(len(runs) == len(by_schedule) + 1, f"runs that nobody expects: {[(r['created'], r['cause']) for r in runs]}")
        self.expect(len(by_schedule) == len(wanted), f"{len(by_schedule)} runs by schedule, expected {len(wanted)}: {[str(at) for at, _ in by_schedule]}")
        for (at, run), due in zip(by_schedule, wanted):
            self.expect(datetime.timedelta(0) <= at - due < LATE, f"the run at {at} was due at {due}")
            self.expect(run["state"] == "finished", f"run {run['id']} at {at}: {run['state']} {run.get('failure')}")
        versions = [v for v in self.server.model("small")["versions"] if v["number"] > 0]
        self.expect(len(versions) == len(runs), f"{len(versions)} versions of {len(runs)} runs")
        sample = random.Random(3).sample(self.ids, min(40, len(self.ids)))
        for id in sample:
            answer = self.server.get(f"/api/v1/predictions/{id}")
            self.expect(answer.status == 200, f"prediction {id} was answered, but: {answer.status} {answer.body[:200]}")
        doctor = self.server.cli("doctor", expect=None)
        self.expect(doctor.returncode == 0, f"doctor: {doctor.stdout}{doctor.stderr}")
        self.server.stop()
        log = (self.folder / ".millrace" / "millrace.log").read_text(errors="replace")
        warned = [line for line in log.splitlines() if " warn " in line or " error " in line]
        self.warned = warned
        offsets = " ".join(f"{at.astimezone(LISBON):%a %d %b %H:%M %Z}" for at, _ in by_schedule)
        print(f"{self.season}: {len(self.asked)} predictions, {len(bad)} failed, p50 {percentile(self.asked.ms, .5):.1f} ms, p99 "
              f"{percentile(self.asked.ms, .99):.1f} ms; {self.told} labels; {len(runs)} trainings, by schedule {offsets}; "
              f"{len(versions)} versions; {len(sample)} answers found in the log; {len(warned)} warnings in the server's log")
        for line in warned[:5]:
            print("  " + line[:300])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--speed", type=int, default=600)
    options.add_argument("--days", type=int, default=2)
    options.add_argument("--rate", type=float, default=20)
    options.add_argument("--keep", action="store_true", help="leave the folders")
    options = options.parse_args()
    top = pathlib.Path(tempfile.mkdtemp(prefix="millrace-days-"))
    year = datetime.date.today().year + 1
    worlds = [World(top / season, season, last_sunday(year, month), options.speed, options.days, options.rate)
              for season, month in (("spring", 3), ("autumn", 10))]
    began = time.monotonic()
    try:
        def one(world):
            try:
                world.start()
                world.run()
            except BaseException:  # also pytest's own: it would end this thread in silence
                world.troubles.append(traceback.format_exc())
        threads = [threading.Thread(target=one, args=(world,)) for world in worlds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for world in worlds:
            if getattr(world, "server", None):
                world.server.stop()
        if not options.keep:
            shutil.rmtree(top, ignore_errors=True)
    wrong = [f"{world.season}: {trouble}" for world in worlds for trouble in world.troubles]
    print(f"{options.days} days at {options.speed} times the pace: {time.monotonic() - began:.0f} s, {len(wrong)} wrong")
    print("\n".join(wrong), end="\n" if wrong else "")
    if options.keep:
        print(f"left in {top}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
