"""What the programs of this folder share: the servers of the scenario tests, one client that asks at a steady rate, and figures of it."""
import array
import http.client
import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scenario"))
from conftest import MILLRACE, TOP, Server, small_project, wait_for  # noqa: E402, F401


class Asked:
    """What became of many requests: `due` (by the monotonic clock) and `ms` of each, from then until its answer was read: what a user waits,
    also behind a slow one before it. `bad`: what was wrong with each that failed."""

    def __init__(self):
        self.due, self.ms, self.bad = array.array("d"), array.array("d"), []

    def __len__(self):
        return len(self.ms)


class Traffic:
    """Predictions at a steady rate over a few connections that stay open. Open loop: each request has its moment, and a late answer does not
    put off the ones after it but on its own connection, where their waiting counts as theirs. Failed: anything but 200, also no answer."""

    def __init__(self, url, model, rate, connections, body_of, on_answer=None):
        self.host = url.removeprefix("http://")
        self.path, self.rate, self.body_of, self.on_answer = f"/predict/{model}", rate, body_of, on_answer
        self.asked, self.lock, self.stopped = Asked(), threading.Lock(), threading.Event()
        self.began = time.monotonic() + 0.1
        self.threads = [threading.Thread(target=self._run, args=(n, connections), daemon=True) for n in range(connections)]
        for thread in self.threads:
            thread.start()

    def _run(self, first, step):
        connection, number = None, first
        while not self.stopped.is_set():
            due = self.began + number / self.rate
            pause = due - time.monotonic()
            if pause > 0 and self.stopped.wait(pause):
                return
            body, status, what = self.body_of(number), 0, ""
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self.host, timeout=30)
                connection.request("POST", self.path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                status = answer.status
                if status != 200:
                    what = f"{status} {text[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                what, connection = f"{type(error).__name__}: {error}", None
            with self.lock:
                self.asked.due.append(due)
                self.asked.ms.append((time.monotonic() - due) * 1000)
                if status != 200:
                    self.asked.bad.append(what)
            if status == 200 and self.on_answer:
                self.on_answer(number, json.loads(text))
            number += step

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(60)
        return self.asked


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")
