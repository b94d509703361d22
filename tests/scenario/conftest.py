"""The product as a user has it: the real binary, real files, HTTP. Each test gets a folder and servers of its own."""
import csv
import gzip
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = TOP / os.environ.get("MILLRACE_BUILD", "build/release")
MILLRACE = BUILD / "bin" / "millrace"
SHARED = pathlib.Path(os.environ.get("MILLRACE_SHARED") or TOP.parent / "shared")
DATA = SHARED / "data"

# The suite under the sanitizers: MILLRACE_BUILD=build/asan (./dev test asan_scenario). Whatever process writes a report, server, command
# or job, the test in which it did fails. Leaks are looked for in the server and the commands; jobs load XGBoost, Arrow and DuckDB,
# which keep things for ever: theirs are told apart by the program's name in the name of the report.
SANITIZED = "asan" in BUILD.name
REPORTS = pathlib.Path(tempfile.mkdtemp(prefix="millrace-reports-")) if SANITIZED else None
if SANITIZED:
    where = f"log_path={REPORTS}/report:log_exe_name=1"
    # Set, not left to who set them before: tests side by side are processes that inherit one another's.
    os.environ["ASAN_OPTIONS"] = f"{where}:detect_leaks=1:abort_on_error=0:exitcode=99:detect_stack_use_after_return=0"
    os.environ["UBSAN_OPTIONS"] = f"{where}:print_stacktrace=1:exitcode=99"
    os.environ["LSAN_OPTIONS"] = "exitcode=0"  # a leak changes no exit status that a test looks at; its report is found


def sanitizer_reports():
    """Texts of the reports since the last call; those of leaks in jobs are passed over."""
    found = []
    for file in sorted(REPORTS.iterdir()) if REPORTS else []:
        text = file.read_text(errors="replace")
        file.unlink()
        if not (file.name.startswith("report.millrace-job") and "LeakSanitizer" in text and "AddressSanitizer:" not in text.split("SUMMARY")[0]):
            found.append(f"{file.name}\n{text[:6000]}")
    return found


@pytest.fixture(autouse=True)
def no_reports():
    yield
    found = sanitizer_reports()
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def wait_for(what, condition, seconds=120.0):
    """Looks again until `condition()` is true; what it answered. Fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s for {what}")
        time.sleep(0.05)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """One `millrace up` in a project folder."""
    context = None  # of TLS, for requests to a server that speaks it

    def __init__(self, folder, *arguments, env=None, listen="127.0.0.1:0", data_dir=None, command="up"):
        self.folder = pathlib.Path(folder)
        self.data_dir = pathlib.Path(data_dir) if data_dir else self.folder / ".millrace"
        self.listen = listen
        self.command = command
        self.arguments = [str(a) for a in arguments]
        self.env = env or {}
        self.process = None

    def start(self, wait=True):
        address = self.data_dir / "address"
        address.unlink(missing_ok=True)
        self.output = open(self.folder / "up.out", "ab")
        self.process = subprocess.Popen(
            [MILLRACE, self.command, *self.arguments, "--listen", self.listen], cwd=self.folder,
            stdout=self.output, stderr=subprocess.STDOUT, env={**os.environ, **self.env})
        if wait:
            wait_for("the server's address", lambda: self.gone() or (address.exists() and address.read_text().strip()))
            assert not self.gone(), self.log()
            self.url = address.read_text().strip()
            wait_for("/healthz", lambda: self.reachable())
        return self

    def reachable(self):
        try:
            return self.get("/healthz").status == 200
        except OSError:
            return False

    def gone(self):
        return self.process.poll() is not None

    def log(self):
        return (self.folder / "up.out").read_text(errors="replace")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self):
        if self.process and not self.gone():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def request(self, method, path, body=None, headers=None, timeout=60):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method,
                                         headers={"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self.context) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, body if body is not None else {}, **more)

    def model(self, name):
        answer = self.get(f"/api/v1/models/{name}")
        return answer.json if answer.status == 200 else {"versions": [], "aliases": []}

    def wait_ready(self, seconds=120):
        def ready():
            assert not self.gone(), self.log()
            return self.get("/readyz").status == 200
        wait_for("/readyz\n" + self.log(), ready, seconds)
        return self

    def wait_versions(self, name, count, seconds=120):
        return wait_for(f"{count} versions of {name}\n{self.log()}",
                        lambda: [v for v in self.model(name)["versions"] if v["number"] > 0][:] if
                        len([v for v in self.model(name)["versions"] if v["number"] > 0]) >= count else None, seconds)

    def cli(self, *arguments, expect=0):
        done = subprocess.run([MILLRACE, *[str(a) for a in arguments]], cwd=self.folder, capture_output=True, text=True, timeout=300,
                              env={**os.environ, **self.env})
        assert expect is None or done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


def read_csv(name):
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def small_project(folder, name="small", trainer='{ name = "boosted-trees", rounds = 20 }', more="", rows=400):
    """A table that is learned in a second, and its project file: inputs `a` (a number) and `c` (a word), target `y`."""
    rng = random.Random(7)
    table = [[rng.random(), rng.choice(["red", "green", "blue"])] for _ in range(rows)]
    write_csv(folder / "data.csv", [["a", "c", "y"]] + [[a, c, int(a + rng.gauss(0, 0.1) > 0.5)] for a, c in table])
    (folder / "millrace.toml").write_text(f'[project]\nname = "{name}"\n[source.data]\nuri = "file:data.csv"\n[model]\ntarget = "data.y"\n'
                                          f'trainer = {trainer}\n[gates]\n"auc" = ">= 0.6"\n{more}')


@pytest.fixture
def data():
    if not DATA.is_dir():
        pytest.skip("the public data sets are not beside the checkout (MILLRACE_SHARED)")
    return DATA


@pytest.fixture
def servers(tmp_path):
    """servers(folder, *arguments) makes one; all are stopped at the end."""
    made = []

    def make(*arguments, folder=None, **more):
        made.append(Server(tmp_path if folder is None else folder, *arguments, **more))
        return made[-1]

    yield make
    for server in made:
        server.stop()
    shutil.rmtree(tmp_path, ignore_errors=True)
