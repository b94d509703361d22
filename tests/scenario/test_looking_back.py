"""A look back at a moment shows what stood then, and nothing of what came later."""
import datetime

from conftest import small_project, wait_for


def stamp():
    """Now: the server's clock is ours."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def at(server, path, moment):
    return server.get(f"{path}?at={moment.replace('+', '%2B')}")


def test_what_stood_then(servers, tmp_path):
    small_project(tmp_path, more='[check.data]\na = { max = 1.5 }\n')
    before_all = datetime.datetime.now(datetime.timezone.utc).isoformat()
    server = servers().start().wait_ready()
    t1 = stamp()  # small:1 is current

    project = tmp_path / "millrace.toml"
    first_text = project.read_text()
    project.write_text(first_text.replace('">= 0.6"', '">= 0.999"'))  # a gate that nothing passes
    server.cli("apply")
    t2 = stamp()
    server.cli("train", expect=2)
    server.wait_versions("small", 2)
    t3 = stamp()  # small:2 was refused
    server.cli("promote", "small:2", "--reason", "the gate is wrong")
    t4 = stamp()  # small:2 is current, overridden
    server.cli("rollback", "small")
    t5 = stamp()
    rows = (tmp_path / "data.csv").read_text().splitlines()
    (tmp_path / "data.csv").write_text("\n".join(rows + ["9.5,red,1"]) + "\n")
    wait_for("data@2", lambda: len(server.get("/api/v1/datasets/data").json["versions"]) == 2)
    t6 = stamp()
    server.cli("data", "accept", "data@2", "--reason", "a new sensor")

    def model(moment):
        whole = at(server, "/api/v1/models/small", moment).json
        return (whole.get("current"), whole.get("previous"), [(v["number"], v["verdict"]) for v in whole["versions"] if v["number"] > 0], len(whole["aliases"]))

    assert model(t1) == model(t2) == (1, None, [(1, "passed")], 1)
    assert model(t3) == (1, None, [(2, "failed"), (1, "passed")], 1)
    assert model(t4) == (2, 1, [(2, "overridden"), (1, "passed")], 3)
    assert model(t5) == (1, 2, [(2, "overridden"), (1, "passed")], 5)

    def version(number, moment):
        answer = at(server, f"/api/v1/models/small/versions/{number}", moment)
        return (answer.json["verdict"], answer.json["aliases"], answer.json["override_by"] != "") if answer.status == 200 else answer.json["error"]["reason"]

    assert version(2, t2) == "registry.no_version"
    assert version(2, t3) == ("failed", [], False)
    assert version(2, t4) == ("overridden", ["current"], True)
    assert version(1, t3) == ("passed", ["current"], False) and version(1, t4) == ("passed", ["previous"], False)

    def data(moment):
        listed = [(v["number"], v["state"]) for v in at(server, "/api/v1/datasets/data", moment).json["versions"]]
        one = at(server, "/api/v1/datasets/data/versions/2", moment)
        return listed, one.json["state"] if one.status == 200 else one.json["error"]["reason"]

    assert data(t5) == ([(1, "ok")], "data.no_version")
    assert data(t6) == ([(2, "failed"), (1, "ok")], "failed")
    assert data(stamp()) == ([(2, "accepted"), (1, "ok")], "accepted")

    def status(moment):
        whole = at(server, "/api/v1/status", moment).json
        one = whole["models"][0]
        return one.get("current"), one.get("previous"), whole["project_file"]["number"], whole["project_file"]["text"], " ".join(one["notes"])

    assert status(t1) == (1, None, 1, first_text, "")
    assert status(t2) == (1, None, 2, project.read_text(), "")
    assert status(t3)[:3] == (1, None, 2) and "small:2 was refused" in status(t3)[4]
    assert status(t4)[:3] == (2, 1, 2) and "the gate is wrong" in status(t4)[4]
    assert "data@2" not in status(t5)[4] and "data@2 failed" in status(t6)[4]
    for moment, gate in ((t1, '0.6"'), (t2, '0.999"')):
        assert gate in at(server, "/api/v1/project", moment).body.decode()
    now, then = server.get("/api/v1/status").json, at(server, "/api/v1/status", t1).json
    assert now["at"] == "" and then["at"] and not then["ready"] and not then["running"] and not then["models"][0]["requests"]

    # The commands, in each form of a moment; also for people.
    assert "small:2   failed\n" in server.cli("models", "show", "small", "--at", t3).stdout
    assert "small:1   passed   current\n" in server.cli("models", "show", "small", "--at", t2).stdout, "the newest of then"
    assert "overridden   previous" in server.cli("models", "show", "small:2", "--at", "0s ago").stdout
    assert "data@1 " in server.cli("data", "show", "data", "--at", t5).stdout
    shown = server.cli("status", "--at", t4).stdout
    assert "small:2 was current" in shown and "previous small:1" in shown and "version 2 of the project file" in shown and '"auc" = ">= 0.999"' in shown
    assert "ready" not in shown
    assert "small:1 was current" in server.cli("status", "--at", "-0s").stdout
    assert server.cli("status", "--json", "--at", t1).stdout.count('"number":1')

    # And what can't be looked at.
    tomorrow = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).isoformat()
    for moment, reason in ((before_all, "api.before_project"), ("1000d ago", "api.before_project"), (tomorrow, "api.moment_to_come"), ("yesterday", "api.bad_moment"), ("", "api.bad_moment")):
        for path in ("/api/v1/status", "/api/v1/project", "/api/v1/models/small", "/api/v1/models/small/versions/1", "/api/v1/datasets", "/api/v1/datasets/data",
                     "/api/v1/datasets/data/versions/1"):
            answer = server.get(f"{path}?at={moment.replace('+', '%2B').replace(' ', '%20')}")
            assert answer.status == 400 and answer.json["error"]["reason"] == reason, (path, moment, answer.body)
    refused = server.cli("status", "--at", "2020-01-01", expect=1)
    assert "there was nothing yet" in refused.stderr
