"""`doctor --chaos`: the kill matrix at random, by the program itself, on a scratch copy."""
import re

from conftest import small_project


def test_chaos_beside_a_running_server_loses_nothing_and_leaves_nothing(servers, tmp_path):
    small_project(tmp_path, more='[profile.default]\nseal = "file:master.key"\n')
    (tmp_path / "master.key").write_text("5e" * 32)
    (tmp_path / "master.key").chmod(0o600)
    server = servers().start().wait_ready()
    before = server.model("small")
    done = server.cli("doctor", "--chaos", "16s", "--seed", "5")
    killed = int(re.search(r"(\d+) kills at \d+ points", done.stdout)[1])
    assert killed >= 1 and "nothing lost" in done.stdout, done.stdout + done.stderr
    assert re.search(r"[\d,]+ requests answered, 0 refused", done.stdout), done.stdout
    assert not list(tmp_path.glob("millrace-chaos-*")) and (tmp_path / "master.key").exists()
    assert server.model("small") == before, "the folder's own server saw nothing of it"


def test_chaos_wants_a_model(servers, tmp_path):
    small_project(tmp_path, rows=80)  # too few for its gate
    server = servers().start()
    server.wait_versions("small", 1)
    done = server.cli("doctor", "--chaos", "5s", expect=None)
    assert done.returncode != 0 and "chaos.no_model" in done.stderr, done.stderr
    assert not list(tmp_path.glob("millrace-chaos-*")), "there is nothing to look at"
    for wrong, reason in [("0s", "cli.bad_option"), ("often", "base.bad_duration")]:
        assert reason in server.cli("doctor", "--chaos", wrong, expect=None).stderr
