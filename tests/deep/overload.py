#!/usr/bin/env python3
"""More than a server can take, for a moment: large requests over many connections at once, each answered whole or sent away at once with 503 and
Retry-After. As a program it is one burst, in a process of its own so that it does not slow down who measures beside it; it prints what became of
it as JSON: the ids of the predictions that were answered, how many requests were sent away, and what was wrong with others.

    overload.py URL MODEL SEED"""
import http.client
import json
import pathlib
import random
import subprocess
import sys
import threading
import time

CONNECTIONS, REQUESTS, ROWS = 16, 8, 300  # in a burst; each takes milliseconds to compute, so that they meet


def request_body(seed):
    draw = random.Random(seed)
    return "a,c\n" + "".join(f"{draw.random()},{draw.choice(['red', 'green', 'blue'])}\n" for _ in range(ROWS))


def ask(host, model, body, take):
    connection = http.client.HTTPConnection(host, timeout=60)
    for _ in range(REQUESTS):
        try:
            connection.request("POST", f"/predict/{model}", body, {"Content-Type": "text/csv"})
            answer = connection.getresponse()
            take(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException) as error:
            take(0, {}, f"{type(error).__name__}: {error}".encode())
            connection = http.client.HTTPConnection(host, timeout=60)
    connection.close()


def main(url, model, seed):
    ids, refused, bad, lock = [], 0, [], threading.Lock()

    def take(status, headers, body):
        nonlocal refused
        with lock:
            if status == 200:
                ids.extend(one["id"] for one in json.loads(body)["predictions"])
            elif status == 503 and int(headers.get("Retry-After") or 0) > 0 and b"serve.overloaded" in body:
                refused += 1
            else:
                bad.append(f"{status} {body[:200]!r}")
    host = url.removeprefix("http://")
    threads = [threading.Thread(target=ask, args=(host, model, request_body(f"{seed} {n}"), take)) for n in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"ids": ids, "refused": refused, "bad": bad}))


class Bursts:
    """Burst after burst beside the steady traffic: when each was, and what became of all of them."""

    def __init__(self, url, model):
        self.url, self.model = url, model
        self.spans, self.ids, self.bad, self.refused = [], [], [], 0

    def one(self):
        began = time.monotonic()
        done = subprocess.run([sys.executable, pathlib.Path(__file__), self.url, self.model, str(len(self.spans))], capture_output=True, text=True, timeout=300)
        self.spans.append((began, time.monotonic()))
        if done.returncode:
            self.bad.append(done.stderr[-1000:])
            return
        result = json.loads(done.stdout)
        self.ids += result["ids"]
        self.bad += result["bad"]
        self.refused += result["refused"]

    def until(self, end, every, stopped):
        while time.monotonic() < end - every and not stopped.wait(every):
            self.one()

    def beside(self, due, settle):
        """Whether a request that was due then met a burst, or the `settle` seconds after one."""
        return any(began <= due <= ended + settle for began, ended in self.spans)


def log_against_ledger(rows, ledger):
    """What is wrong with the log's (id, why), where `ledger` has the id of every prediction that was answered: each is there once, no other is."""
    seen, twice = set(), 0
    for one, _ in rows:
        twice += one in seen
        seen.add(one)
    promised = set(ledger)
    return [f"{count} {what}" for count, what in ((len(ledger) - len(promised), "ids were given out twice"), (twice, "lines are in the log twice"),
                                                  (len(promised - seen), "answered predictions are not in the log"),
                                                  (len(seen - promised), "lines in the log are of no answered prediction")) if count]


if __name__ == "__main__":
    main(*sys.argv[1:])
