#!/usr/bin/env python3
"""./dev bench [name...]: measures the release build and writes bench/RESULTS.md, a section for each part; parts that were not asked for
keep what they had. Figures of one part are from one run on one machine and belong together: look at the ratios. Nothing else should
run meanwhile."""
import os
import pathlib
import platform
import re
import sys
import tempfile
import time

import backup
import batching
import build
import change
import predict
import releases
import serving
import start
import trees
from common import TOP, make_project

RESULTS = TOP / "bench" / "RESULTS.md"
PARTS = {"start": "Start and rest", "predict": "Predict", "serving": "Serving", "releases": "Releases", "batching": "Batching", "trees": "Trees", "change": "Change", "backup": "Backup", "build": "Build"}


def measure(part):
    if part == "build":
        return build.measure()
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as name:
        folder = pathlib.Path(name)
        if part == "trees":
            return trees.measure(folder)
        if part == "batching":
            return batching.measure(folder)
        body = make_project(folder)
        return {"start": lambda: start.measure(folder), "predict": lambda: predict.measure(folder, body),
                "serving": lambda: serving.measure(folder, body), "releases": lambda: releases.measure(folder), "change": lambda: change.measure(folder, body),
                "backup": lambda: backup.measure(folder)}[part]()


def sections(text):
    """{title: text} of a results page."""
    return {m.group(1): m.group(2).strip() for m in re.finditer(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.M | re.S)}


def main():
    asked = [a for a in sys.argv[1:] if not a.startswith("-")] or list(PARTS)
    if unknown := [a for a in asked if a not in PARTS]:
        sys.exit(f"bench: no part '{unknown[0]}'; there are: {', '.join(PARTS)}")
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    known = sections(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in asked:
        head = f"`./dev bench {part}` on {time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, {cpu}.\n\n"
        known[PARTS[part]] = head + "\n".join(measure(part))
        print(f"## {PARTS[part]}\n\n{known[PARTS[part]]}\n", flush=True)
    if "--dry-run" not in sys.argv:
        write(known)


def write(known):
    """The page, of {title: text}."""
    text = "# Results\n\nEach part is one run; the machine is shared, so the ratios say more than the figures.\n\n"
    titles = [*PARTS.values(), *(title for title in known if title not in PARTS.values())]  # others are written by hand
    text += "\n\n".join(f"## {title}\n\n{known[title]}" for title in titles if title in known) + "\n"
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
