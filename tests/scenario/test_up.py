"""`up`: started twice, started where something is in the way, ended in each way."""
import http.client
import os
import re
import signal
import subprocess
import time

from conftest import MILLRACE, Server, small_project, wait_for

# The rule is never met; that it is waited for says that the rules were looked at.
RULE = '[retrain]\nwhen = ["new_rows >= 1000000"]\n'
UPLOADS = '[source.more]\nuri = "upload"\n'
LONG = '{ name = "boosted-trees", rounds = 2500, depth = 3, early_stopping = 0, threads = 1 }'


def numbers(server, model="small"):
    return [v["number"] for v in server.model(model)["versions"]]


def runs(server):
    return server.get("/api/v1/runs").json["runs"]


def looked(server):
    wait_for("the rules to be looked at", lambda: "new_rows" in server.get("/api/v1/status").json["models"][0]["next_retrain"])


def interrupt(server):
    server.process.send_signal(signal.SIGINT)


class SlowUpload:
    """A request that is in flight until finish() sends its second half."""

    def __init__(self, server, text):
        host, port = server.url.removeprefix("http://").rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self.text = text.encode()
        self.connection.putrequest("POST", "/api/v1/datasets/more/upload?name=more.csv")
        self.connection.putheader("Content-Length", str(len(self.text)))
        self.connection.endheaders()
        self.connection.send(self.text[:100])

    def finish(self):
        self.connection.send(self.text[100:])
        return self.connection.getresponse()


def slow_upload(server):
    upload = SlowUpload(server, "a,c,y\n" + "0.5,red,1\n" * 50)
    wait_for("the upload to have begun", lambda: "millrace_net_" in server.get("/metrics").body.decode())
    return upload


def test_twice_with_nothing_changed_trains_nothing(servers, tmp_path):
    small_project(tmp_path, more=RULE)
    server = servers().start().wait_ready()
    looked(server)
    before = numbers(server), [r["id"] for r in runs(server)], server.get("/api/v1/datasets").body, server.get("/api/v1/project").body
    server.stop()
    server.start().wait_ready()
    looked(server)
    assert before == (numbers(server), [r["id"] for r in runs(server)], server.get("/api/v1/datasets").body, server.get("/api/v1/project").body)
    assert "changed" not in server.log()


def test_a_changed_file_says_what_it_causes(servers, tmp_path):
    small_project(tmp_path, more=RULE)
    server = servers().start().wait_ready()
    server.stop()
    project = tmp_path / "millrace.toml"
    project.write_text(project.read_text().replace(">= 0.6", ">= 0.7"))
    server.start().wait_ready()
    assert re.search(r'changed +gates\.auc: .*0\.6.* -> .*0\.7.* causes: gates only', server.log()), server.log()
    looked(server)
    assert len(runs(server)) == 1, "gates alone train nothing"


def test_a_taken_port_says_by_whom(servers, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        small_project(folder)
    first = servers(folder=one).start()
    port = first.url.rsplit(":", 1)[1]
    done = Server(two).cli("up", "--listen", f"127.0.0.1:{port}", expect=1)
    assert "net.port_taken" in done.stderr and f"pid {first.process.pid}" in done.stderr and "millrace" in done.stderr, done.stderr
    assert "--listen" in done.stderr, "what to do"
    assert not (two / ".millrace" / "address").exists()


def test_a_taken_folder_says_by_whom(servers, tmp_path):
    small_project(tmp_path)
    first = servers().start()
    done = first.cli("up", "--listen", "127.0.0.1:0", expect=1)
    assert "meta.folder_locked" in done.stderr and str(first.process.pid) in done.stderr, done.stderr
    assert "millrace down" in done.stderr and "--data-dir" in done.stderr
    assert first.get("/healthz").status == 200 and (first.data_dir / "address").exists(), "the first one goes on, and is found"


def test_ephemeral_leaves_nothing(servers, tmp_path):
    small_project(tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    server = servers("--ephemeral", env={"TMPDIR": str(scratch)}).start(wait=False)
    folder = wait_for("a data folder", lambda: list(scratch.glob("millrace-*/address")))[0].parent
    server.url = wait_for("its address", lambda: (folder / "address").read_text().strip())
    server.wait_ready()
    assert str(folder) in server.log(), "it says where commands find it"
    assert "small:1" in server.cli("--server-data", folder, "status").stdout
    assert server.post("/predict/small", {"a": 0.9, "c": "red"}).status == 200
    server.stop()
    assert not list(scratch.iterdir()) and not (tmp_path / ".millrace").exists()
    # An error at the start leaves nothing either.
    done = Server(tmp_path, env={"TMPDIR": str(scratch)}).cli("up", "--ephemeral", "--listen", "256.0.0.1:1", expect=1)
    assert "256.0.0.1" in done.stderr
    assert not list(scratch.iterdir()) and not (tmp_path / ".millrace").exists()


def test_data_dir(servers, tmp_path):
    small_project(tmp_path)
    server = servers("--data-dir", "elsewhere/data", data_dir=tmp_path / "elsewhere" / "data").start().wait_ready()
    assert not (tmp_path / ".millrace").exists()
    assert "--server-data" in server.log(), "commands need to be told"
    assert "small:1" in server.cli("--server-data", "elsewhere/data", "status").stdout


def test_open_without_a_display(servers, tmp_path):
    small_project(tmp_path)
    server = servers("--open", env={"DISPLAY": "", "PATH": "/nowhere"}).start().wait_ready()
    assert re.search(r"open +http://", server.log()), "the address, for a person to open"


def test_the_first_interrupt_answers_what_is_in_flight(servers, tmp_path):
    small_project(tmp_path, more=UPLOADS)
    server = servers().start().wait_ready()
    upload = slow_upload(server)
    interrupt(server)
    wait_for("the words", lambda: "stopping" in server.log())
    wait_for("no new connections", lambda: not server.reachable())
    answer = upload.finish()
    assert answer.status == 202, answer.read()
    assert server.process.wait(20) == 0
    assert not (server.data_dir / "address").exists()


def test_the_second_interrupt_ends_at_once(servers, tmp_path):
    small_project(tmp_path, more=UPLOADS)
    server = servers().start().wait_ready()
    upload = slow_upload(server)
    interrupt(server)
    wait_for("the words", lambda: "stopping" in server.log())
    began = time.monotonic()
    interrupt(server)
    assert server.process.wait(5) == 130
    assert time.monotonic() - began < 2, "not the ten seconds of the first one"
    del upload
    server.start().wait_ready()
    assert numbers(server)[0] == 1


def test_an_interrupted_training_goes_on_at_the_next_start(servers, tmp_path):
    small_project(tmp_path, trainer=LONG)
    server = servers().start()

    def round_of():
        return [j for j in server.get("/api/v1/status").json["running"] if j.startswith("train ") and re.search(r" [1-9]\d* %", j)]
    wait_for("some rounds", round_of)
    run = runs(server)[0]["id"]
    interrupt(server)
    assert server.process.wait(20) == 0
    server.start().wait_ready()
    shown = server.get(f"/api/v1/runs/{run}").json
    assert shown["state"] == "finished" and numbers(server) == [1, 0] and len(runs(server)) == 1
    events = "\n".join(shown["events"])
    assert "train given_back" in events and "from its checkpoint" in events, events
    assert server.cli("runs", "show", run).stdout.count("\nevent ") < 16, "a long training's checkpoints still fit a screen"


def test_down(servers, tmp_path):
    small_project(tmp_path)
    server = servers().start()
    assert "stopped" in server.cli("down").stdout
    assert server.process.wait(20) == 0
    assert not (server.data_dir / "address").exists()
    gone = server.cli("down", expect=1)
    assert "client.no_server" in gone.stderr and "millrace up" in gone.stderr


def test_an_address_of_a_dead_server(servers, tmp_path):
    small_project(tmp_path)
    server = servers().start()
    server.kill()
    assert (server.data_dir / "address").exists()
    done = server.cli("status", expect=1)
    assert "client.unreachable" in done.stderr and "millrace up" in done.stderr, done.stderr
    server.start().wait_ready()
    assert "small:1" in server.cli("status").stdout


def test_a_person_in_a_terminal(servers, tmp_path):
    """Ctrl-C goes to every process of the terminal's group: the children must not die of it before they gave back."""
    small_project(tmp_path, trainer=LONG)
    server = servers()
    with open(tmp_path / "up.out", "ab") as output:
        server.process = subprocess.Popen([MILLRACE, "up", "--listen", "127.0.0.1:0"], cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT,
                                          process_group=0)
    server.url = wait_for("the address", lambda: (server.data_dir / "address").exists() and (server.data_dir / "address").read_text().strip())
    wait_for("a training", lambda: [r for r in runs(server) if r["state"] == "running"])
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.process.wait(20) == 0
    server.start().wait_ready()
    assert [r["state"] for r in runs(server)] == ["finished"]
