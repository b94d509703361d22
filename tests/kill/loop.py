"""One small loop through the whole product, the same every time, that survives the death of any process in it.

It asks like a careful client: what got no answer is asked again (where asking twice would mean something else, it looks first), and a
server that died is started again. What it ends with, `outcome`, is compared between a run that was left alone and one that was killed."""
import contextlib
import hashlib
import http.client
import io
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
import zipfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAMS = TOP / os.environ.get("MILLRACE_BUILD", "build/release") / "bin"
JUMP = "100d"  # further than any grace, retention or history that the loop's project has
STARTS_MAX = 6
SAID_OF_A_DEATH = {"job_taken_away", "job_failed", "job_end_refused", "blob_restored_from_trash", "queue_torn_end_cut", "claim_failed"}
LATE = 4  # predictions after the last roll

PROJECT = """[project]
name = "loop"
[source.data]
uri = "file:data.csv"
key = "id"
[source.extra]
uri = "upload"
[model]
target = "data.y"
trainer = {{ name = "boosted-trees", rounds = {rounds}, early_stopping = 0, threads = 1 }}
[gates]
"auc" = ">= 0.6"
[retrain]
when = ["new_labels >= 30"]
[release]
probation = {{ time = "1s", requests = 0 }}
[batch.scores]
in = "data.csv"
out = "scores-{{version}}.csv"
[profile.default]
seal = "file:master.key"
"""
RETENTION = '[retention]\nmodels = 1\npredictions = "30d"\n'


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Broken(Exception):
    """Something that is not as it is in a run that was left alone."""


class Asked:
    def __init__(self, status, body):
        self.status, self.body = status, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        return self.json["error"]["reason"] if self.status >= 400 else ""


class Loop:
    def __init__(self, folder, fault="", mark=None, programs=PROGRAMS, beside=False, armed_from=""):
        """`beside`: the jobs are done by a worker in a process of its own. `armed_from`: processes that start in that step or later have
        the fault, those before have none."""
        self.folder = pathlib.Path(folder)
        self.data_dir = self.folder / ".millrace"
        self.programs = pathlib.Path(programs)
        self.fault = fault
        self.armed_from = armed_from
        self.env = {**os.environ, "MILLRACE_FAULT": "" if armed_from else fault, "MILLRACE_MASTER_KEY": str(self.folder / "master.key")}
        self.mark = pathlib.Path(mark) if mark else None
        self.process = None
        self.worker = None
        self.beside = beside
        self.port = free_port() if beside else 0  # a worker looks for its server where it was
        self.url = ""
        self.step = ""
        self.died_in = ""       # the step in which the point was reached
        self.server_died = False
        self.recovery = None    # seconds from the kill until the server was ready again, or the job's or command's next attempt done
        self.predicted = []     # ids that were acknowledged, in order
        self.early_bytes = {}   # of a version that is let go later

    # ---- processes

    def say_died(self):
        if self.mark and not self.died_in and self.mark.exists():
            self.died_in = self.step

    def recovered(self):
        if self.died_in and self.recovery is None:
            self.recovery = time.time() - self.mark.stat().st_mtime

    def log(self):
        path = self.folder / "up.out"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def gone(self):
        return self.process.poll() is not None

    def start(self):
        for _ in range(STARTS_MAX):
            if self.try_start():
                return
        raise Broken(f"the server died {STARTS_MAX} times in a row\n{self.log()}")

    def try_start(self):
        address = self.data_dir / "address"
        address.unlink(missing_ok=True)
        with open(self.folder / "up.out", "ab") as output:
            self.process = subprocess.Popen([self.programs / "millrace", "up", "--listen", f"127.0.0.1:{self.port}",
                                             *(["--no-worker"] if self.beside else [])], cwd=self.folder, stdout=output, stderr=subprocess.STDOUT,
                                            env=self.env)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self.say_died()
            if self.gone():
                if self.process.returncode == -signal.SIGKILL:
                    self.server_died = True
                    return False
                raise Broken(f"the server did not start (exit {self.process.returncode})\n{self.log()}")
            with contextlib.suppress(OSError):
                self.tend_worker()
                self.url = address.read_text().strip()
                if self.url and self.once("GET", "/readyz").status == 200:
                    if self.server_died:
                        self.recovered()
                    self.server_died = False
                    return True
            time.sleep(0.01)
        raise Broken(f"the server was not ready after 60 s\n{self.log()}")

    def tend_worker(self):
        if not self.beside or not (self.data_dir / "address").exists() or (self.worker and self.worker.poll() is None):
            return
        self.say_died()
        with open(self.folder / "worker.out", "ab") as output:
            self.worker = subprocess.Popen([self.programs / "millrace", "worker", "--server", f"http://127.0.0.1:{self.port}", "--server-data",
                                            self.data_dir, "--name", "beside"], cwd=self.folder, stdout=output, stderr=subprocess.STDOUT, env=self.env)

    def end_worker(self):
        if self.worker and self.worker.poll() is None:
            self.worker.send_signal(signal.SIGTERM)
            self.worker.wait(60)

    def revive(self, why):
        """After a request that got no answer: the server is dead, or about to be."""
        deadline = time.monotonic() + 10
        while not self.gone():
            if time.monotonic() > deadline:
                raise Broken(f"no answer from a server that lives: {why}\n{self.log()}")
            time.sleep(0.01)
        self.say_died()
        if self.process.returncode != -signal.SIGKILL:
            raise Broken(f"the server ended by itself (exit {self.process.returncode})\n{self.log()}")
        self.server_died = True
        self.start()

    def stop(self):
        if self.gone():
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.end()
            raise Broken(f"the server did not stop in 60 s\n{self.log()}") from None
        self.say_died()
        self.server_died = self.process.returncode == -signal.SIGKILL
        if not self.server_died and self.process.returncode != 0:
            raise Broken(f"the server stopped with exit {self.process.returncode}\n{self.log()}")

    def end(self):
        for process in (self.worker, self.process):
            if process and process.poll() is None:
                process.kill()
                process.wait(10)

    def command(self, *arguments):
        """A command of its own process; again when it was killed."""
        killed = False
        for _ in range(STARTS_MAX):
            done = subprocess.run([self.programs / "millrace", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=120, env=self.env)
            self.say_died()
            if done.returncode != -signal.SIGKILL:
                if killed:
                    self.recovered()
                return done
            killed = True
        raise Broken(f"millrace {arguments} died {STARTS_MAX} times in a row")

    # ---- requests

    def once(self, method, path, body=None):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Asked(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            return Asked(error.code, error.read())
        except http.client.HTTPException as error:  # URLError is an OSError already
            raise OSError(str(error)) from error

    def ask(self, method, path, body=None, expect=(200, 202), before_again=None):
        """`before_again`: looks, after a request without an answer, whether it was done all the same."""
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = self.once(method, path, body)
            except OSError as error:
                self.revive(error)
                if before_again and before_again():
                    return None
                continue
            if answer.status == 503 and time.monotonic() < deadline:  # not ready yet: after a start
                time.sleep(0.02)
                continue
            if answer.status not in expect:
                raise Broken(f"{method} {path}: {answer.status} {answer.body[:600]}")
            return answer

    def get(self, path):
        return self.ask("GET", path).json

    def until(self, what, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            self.tend_worker()
            self.say_died()
            if self.gone():
                self.revive("it died while it was waited for")
            if time.monotonic() > deadline:
                raise Broken(f"waited {seconds} s for {what}\nstatus: {self.get('/api/v1/status')}\n{self.log()}")
            time.sleep(0.03)

    # ---- what is looked at

    def versions(self):
        return [v for v in self.get("/api/v1/models/loop")["versions"] if v["number"] > 0]

    def model(self):
        found = self.get("/api/v1/status")["models"]
        return found[0] if found else {"loaded": None, "current": None, "live_rows": 0}

    def serves(self, number):
        def look():
            model = self.model()
            return model["loaded"] == number and model["current"] == number
        self.until(f"version {number} to answer", look)

    def dataset(self, name):
        return [v for v in self.get("/api/v1/datasets")["versions"] if v["dataset"] == name]

    def idle(self):
        """No job waits or runs."""
        def over():
            self.get("/api/v1/status")  # a server that died is started again
            return self.rows("SELECT COUNT(*) FROM flow_jobs WHERE state IN ('queued', 'running')") == [(0,)]
        self.until("all jobs to be over", over)

    def job(self, job):
        def over():
            state = self.get(f"/api/v1/jobs/{job}")
            return state if state["state"] not in ("queued", "running") else None
        state = self.until("job " + job, over)
        if state["state"] != "done":
            raise Broken(f"job {job}: {state}")
        return json.loads(state["result"])

    def segments(self):
        return sorted(p.name for p in (self.data_dir / "log").glob("*.mpl"))

    # ---- the steps

    def write_data(self, rows):
        rng = random.Random(11)
        lines = ["id,x0,x1,plan,y"]
        for n in range(rows):
            x0, x1, plan = rng.gauss(0, 1), rng.gauss(0, 1), rng.choice(["gold", "tin"])
            lines.append(f"{n},{x0:.6f},{x1:.6f},{plan},{'yes' if x0 + (plan == 'gold') + rng.gauss(0, 0.7) > 0.5 else 'no'}")
        temporary = self.folder / "data.csv.new"
        temporary.write_text("\n".join(lines) + "\n")
        os.utime(temporary, (1_700_000_000 + rows, 1_700_000_000 + rows))
        temporary.rename(self.folder / "data.csv")

    def predict(self, count, first_key):
        rng = random.Random(first_key)
        rows = [{"id": first_key + n, "x0": round(rng.gauss(0, 1), 4), "x1": round(rng.gauss(0, 1), 4), "plan": rng.choice(["gold", "tin"])}
                for n in range(count)]
        answer = self.ask("POST", "/predict/loop", rows).json
        ids = [one["id"] for one in answer["predictions"]]
        self.predicted += ids
        return ids

    def label(self, labels):
        self.ask("POST", "/labels/loop", labels)

    def run(self):
        """Every step, then the outcome."""
        for step in (self.first_version, self.predictions_and_labels, self.back_and_forth, self.whole_table, self.batch_of_the_project, self.copied, self.uploads, self.roll, self.changed_file,
                     self.stopped_at_work, self.damage, self.long_after):
            self.step = step.__name__
            if self.step == self.armed_from:
                self.env["MILLRACE_FAULT"] = self.fault
            step()
        self.step = "outcome"
        return self.outcome()

    def first_version(self):
        master = self.folder / "master.key"
        master.write_text("7" * 64 + "\n")
        master.chmod(0o600)
        self.write_data(300)
        (self.folder / "millrace.toml").write_text(PROJECT.format(rounds=20))
        self.start()
        self.serves(1)
        self.early_bytes[1] = self.model_bytes(self.get("/api/v1/models/loop/versions/1")["artifact"])

    def predictions_and_labels(self):
        ids = [one for first in (1000, 1100, 1200) for one in self.predict(12, first)]
        self.label([{"prediction": one, "value": "yes" if n % 3 else "no"} for n, one in enumerate(ids[:20])])
        self.label([{"key": str(1200 + n), "value": "no" if n % 3 else "yes"} for n in range(10)])
        self.serves(2)
        self.until("the labels to be joined", lambda: self.model()["live_rows"] + self.model()["labels_joined"] >= 30)
        self.idle()

    def back_and_forth(self):
        # Asked twice it would go forth again: a client that got no answer looks first.
        self.ask("POST", "/api/v1/models/loop/rollback", {"reason": "a test"}, before_again=lambda: self.model()["current"] == 1)
        self.serves(1)
        self.predict(3, 2000)
        self.ask("POST", "/api/v1/models/loop/promote", {"version": 2, "reason": "a test"})
        self.serves(2)
        self.predict(3, 2100)  # on probation

    def whole_table(self):
        """A version's answers for a dataset version; the same bytes whatever died on the way."""
        job = self.ask("POST", "/api/v1/models/loop/versions/2/batch", {"dataset": "data", "version": 1, "format": "csv"}).json["job"]
        made = self.job(job)
        self.batch = {"rows": made["rows"], "data": made["data"], "digest": made["output"]["digest"]}

    def batch_of_the_project(self):
        """The same by [batch.scores], which reads a file and puts its answers into one: once, with the same bytes."""
        runs = lambda: self.get("/api/v1/batches")["batches"][0]["runs"]
        self.ask("POST", "/api/v1/batches/scores/run", {}, before_again=runs)
        self.until("the answers of [batch.scores]", lambda: runs()[0]["state"] == "done")
        self.batch["runs"] = [(run["state"], run["model"], run["result"]["output"]["digest"]) for run in runs()]
        self.batch["files"] = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.folder.glob("scores-*")}

    def copied(self):
        """Backups beside the running server, the second lets the first go; what is restored of it is whole."""
        for _ in range(2):
            done = self.command("backup", "safe", "--keep", "1")
            if done.returncode != 0:
                raise Broken(f"backup: exit {done.returncode}\n{done.stdout}{done.stderr}")
        done = self.command("restore", "safe", "--data-dir", "copy")
        if done.returncode != 0 and "holds something" not in done.stderr:  # killed when it was there already
            raise Broken(f"restore: exit {done.returncode}\n{done.stdout}{done.stderr}")
        done = self.command("doctor", "--data-dir", "copy")
        if done.returncode != 0 or "nothing to mend" not in done.stdout:
            raise Broken(f"doctor of the restored folder: exit {done.returncode}\n{done.stdout}{done.stderr}")
        shutil.rmtree(self.folder / "copy")

    def uploads(self):
        for n in range(2):
            text = "id,amount\n" + "".join(f"{n * 10 + i},{i * 1.5 + n}\n" for i in range(8))
            answer = self.ask("POST", "/api/v1/datasets/extra/upload?name=part.csv", text.encode())
            self.job(answer.json["job"])

    def roll(self):
        self.predict(4, 3000)
        self.rolled()
        rows = self.query("loop.predictions", "SELECT prediction_id, key FROM data")
        ids = [row[0] for row in rows]
        if len(ids) != len(set(ids)):
            raise Broken("a prediction is twice in the rolled log")
        if lost := set(self.predicted) - set(ids):
            raise Broken(f"{len(lost)} acknowledged predictions are not in the log")
        for one in self.predicted[:2]:
            if self.get(f"/api/v1/predictions/{one}")["label"] is None:
                raise Broken(f"prediction {one} lost its label")

    def rolled(self):
        while True:
            answer = self.ask("POST", "/api/v1/ingest", {"source": "loop.predictions"}, expect=(202, 409))
            if answer.status == 202:
                self.job(answer.json["job"])
            elif answer.reason == "loop.nothing_to_roll":
                break
        self.until("the segments to go", lambda: not self.segments())

    def query(self, dataset, sql):
        number = max(v["number"] for v in self.dataset(dataset))
        answer = self.ask("POST", f"/api/v1/datasets/{dataset}/versions/{number}/query", {"sql": sql, "rows_max": 10_000})
        return self.job(answer.json["job"])["rows"]

    def changed_file(self):
        self.write_data(360)
        self.until("data@2", lambda: any(v["number"] == 2 for v in self.dataset("data")))
        self.idle()

    def stopped_at_work(self):
        """A changed project file starts a training; the server is stopped in good order while it runs."""
        text = PROJECT.format(rounds=2000) + RETENTION
        (self.folder / "millrace.toml").write_text(text)
        self.ask("POST", "/api/v1/project", {"text": text})
        self.until("the training", lambda: any(re.match("train .*%", line) for line in self.get("/api/v1/status")["running"])
                   or len(self.versions()) == 3)
        self.stop()
        self.start()
        self.serves(3)
        self.until("version 1 to be let go", lambda: not [v for v in self.versions() if v["number"] == 1][0]["bytes_kept"])
        self.idle()
        rebuilt = self.ask("POST", "/api/v1/models/loop/versions/2/rebuild")
        if not self.job(rebuilt.json["job"])["identical"]:
            raise Broken("a rebuild of version 2 has other bytes")
        self.stop()
        self.look_at_jobs()

    def damage(self):
        """A blob is damaged while the server is down; doctor sets it aside, and reading the file again brings it back."""
        part = max(self.rows("SELECT digest FROM data_parts WHERE dataset = 'data' AND first_version = 2"))[0]
        path = self.data_dir / "blobs" / "objects" / part[:2] / part
        content = bytearray(path.read_bytes())
        content[-1] ^= 0xFF
        path.write_bytes(content)
        done = self.command("doctor")
        if done.returncode != 1 or "part of data@2" not in done.stdout:
            raise Broken(f"doctor did not find the damage: exit {done.returncode}\n{done.stdout}{done.stderr}")

    def long_after(self):
        """A folder of an older version, and everything in it is old: a migration, retention lets rows go, a collection removes what nobody
        needs."""
        self.end_worker()
        with contextlib.closing(sqlite3.connect(self.data_dir / "meta.db")) as db:  # as it was before the last migration of `loop`
            db.executescript("DROP TABLE loop_questions; DROP TABLE loop_chores; DELETE FROM meta_migrations WHERE module = 'loop' AND number = 3;")
        self.env["MILLRACE_CLOCK_OFFSET"] = JUMP
        self.start()
        self.until("the rows to be let go", lambda: max((v["number"], v["rows"]) for v in self.dataset("loop.predictions"))[1] == 0)
        job = self.ask("POST", "/api/v1/ingest", {"source": "data"}).json["job"]
        self.job(job)
        for one in self.predict(LATE, 4000):
            self.get(f"/api/v1/predictions/{one}")
        self.idle()
        self.ask("POST", "/api/v1/gc", {})
        again = self.ask("POST", "/api/v1/gc", {}).json  # a collection that was killed may have left something
        if again["uploads"] or [line for line in again["kept"] if line["why"].startswith("written")]:
            raise Broken(f"a collection of old blobs left some that nobody needs: {again}")

    # ---- the outcome

    def rows(self, sql):
        with contextlib.closing(sqlite3.connect(f"file:{self.data_dir / 'meta.db'}?mode=ro", uri=True)) as db:
            return db.execute(sql).fetchall()

    def look_at_jobs(self):
        """While the server is down, before old jobs are forgotten."""
        left = self.rows("SELECT kind, state, worker FROM flow_jobs WHERE state <> 'done'")
        if left:
            raise Broken(f"jobs that are not done: {left}")
        left = self.rows("SELECT run_key, state, outcome FROM flow_pipeline_runs WHERE state <> 'done'")
        if left:
            raise Broken(f"runs that are not done: {left}")
        self.job_recovery()

    def job_recovery(self):
        """Of a job that was killed: until its next attempt was done."""
        if not self.mark or not self.mark.exists() or self.recovery is not None:
            return
        killed = self.mark.stat().st_mtime
        ahead = [0, 100 * 86400]
        ends = [at / 1e6 - shift - killed for (at,) in self.rows(
            "SELECT d.at FROM flow_job_events d WHERE d.what = 'done' AND EXISTS (SELECT 1 FROM flow_job_events r WHERE r.job = d.job AND r.what "
            "IN ('retry', 'lost'))") for shift in ahead]
        ends = [one for one in ends if 0 < one < 600]
        if ends:
            self.recovery = min(ends)

    def model_bytes(self, artifact):
        """Of the files in an archive, without the manifest: it holds times and the run's id."""
        with zipfile.ZipFile(io.BytesIO(self.ask("GET", "/api/v1/blobs/" + artifact).body)) as archive:
            return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in sorted(archive.namelist()) if "manifest" not in name}

    def metrics(self):
        """Of each run, by its place in time: every point of every curve that does not measure the machine."""
        found = {}
        for run, name, step, bits in self.rows("SELECT r.created_us, m.name, m.step, m.bits FROM track_metrics m JOIN track_runs r ON r.id = m.run "
                                               "ORDER BY r.created_us, m.name, m.step"):
            if not re.search("memory|per_s|latency|_ms|seconds", name):
                found.setdefault((run, name), []).append((step, bits))
        place = {run: n for n, run in enumerate(sorted({run for run, _ in found}), 1)}
        return [[place[run], name, len(points), hashlib.sha256(str(points).encode()).hexdigest()[:16]] for (run, name), points in found.items()]

    def complaints(self):
        """What the server's log warns of besides the death itself."""
        text = (self.data_dir / "millrace.log").read_text(errors="replace")
        return sorted({m[1] for m in re.finditer(r"^\S+ (?:warn|error) +(\w+)", text, re.M)} - SAID_OF_A_DEATH)

    def outcome(self):
        versions = []
        for version in sorted(self.versions(), key=lambda v: v["number"]):
            whole = self.get(f"/api/v1/models/loop/versions/{version['number']}")
            metrics = {k: v for k, v in whole["metrics"].items() if not re.search("latency|_ms|seconds", k)}
            versions.append({"number": whole["number"], "verdict": whole["verdict"], "metrics": metrics, "kept": whole["bytes_kept"],
                             "compared": whole["compared_digest"],
                             "bytes": self.model_bytes(whole["artifact"]) if whole["bytes_kept"] else self.early_bytes.get(whole["number"])})
        data = sorted((v["dataset"], v["number"], v["rows"], v["state"], v["source_digest"] if v["dataset"] != "loop.predictions" else "")
                      for v in self.get("/api/v1/datasets")["versions"] if v["dataset"] != "loop.predictions")
        self.end_worker()
        self.stop()
        self.job_recovery()
        left = self.rows("SELECT kind, state FROM flow_jobs WHERE state <> 'done'")
        if left:
            raise Broken(f"jobs that are not done at the end: {left}")
        place = {one: n for n, one in enumerate(self.predicted)}
        labels = self.rows("SELECT prediction, label_key, value FROM label_labels ORDER BY seq")
        currents = self.rows("SELECT alias, version FROM registry_aliases a WHERE seq = (SELECT MAX(seq) FROM registry_aliases b "
                             "WHERE b.alias = a.alias AND b.model = a.model) ORDER BY alias")
        done = self.command("doctor")
        if done.returncode != 0 or "nothing to mend" not in done.stdout:
            raise Broken(f"doctor: exit {done.returncode}\n{done.stdout}{done.stderr}")
        found = int(re.search(r"(\d+) predictions", done.stdout)[1])
        if found < LATE:
            raise Broken(f"doctor finds {found} predictions in the log, {LATE} were acknowledged since it was rolled")
        blobs = self.data_dir / "blobs"
        if plain := [path.name for path in blobs.glob("objects/*/*") if path.read_bytes()[12] != 1]:
            raise Broken(f"blobs that are not sealed: {plain}")
        return {
            "data": data,
            "parts": sorted(self.rows("SELECT dataset, first_version, digest FROM data_parts WHERE dataset <> 'loop.predictions'")),
            "models": versions,
            "batch": self.batch,
            "aliases": currents,
            "moves": self.rows("SELECT alias, version FROM registry_aliases ORDER BY seq"),
            "labels": [(place.get(p) if p else None, k, v) for p, k, v in labels],
            "runs": self.rows("SELECT kind, state FROM track_runs ORDER BY created_us"),
            "metrics": self.metrics(),
            "complaints": self.complaints(),
            "project files": self.rows("SELECT COUNT(*) FROM loop_projects")[0][0],
            "blobs": sum(1 for _ in blobs.glob("objects/*/*")),
            "left over": sorted(str(p.relative_to(self.data_dir)) for d in ("blobs/tmp", "blobs/trash", "blobs/quarantine", "scratch*")
                                for p in self.data_dir.glob(d + "/*")),
        }
