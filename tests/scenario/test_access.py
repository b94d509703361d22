"""Who may call: a local caller without a token, nobody else without one; a web page of another site never."""
import http.client
import json
import stat

import pytest

from conftest import TOP, Server, small_project

OPERATIONS = [(method.upper(), path) for path, item in json.loads((TOP / "docs" / "api" / "openapi.json").read_text())["paths"].items() for method in item]
OPEN = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}
OTHERS = [("GET", "/"), ("GET", "/metrics"), ("POST", "/predict/small"), ("POST", "/labels/small")]
GUARDED = sorted(set((m, p) for m, p in OPERATIONS + OTHERS if p not in OPEN))


def filled(path):
    for name, value in {"dataset": "data", "version": "1", "run": "x", "model": "small", "job": "x", "prediction": "x", "digest": "0" * 64}.items():
        path = path.replace("{" + name + "}", value)
    return path


# Errors of the Open Inference Protocol have no `reason`; the rights are the same.
V2 = [("GET", "/v2"), ("GET", "/v2/models/small"), ("GET", "/v2/models/small/config"), ("POST", "/v2/models/small/infer"),
      ("POST", "/v2/models/small/versions/1/infer"), ("POST", "/v2/repository/models/small/load"), ("GET", "/v2/logging")]


def ask(server, method, path, **headers):
    """One request whose Host is ours to choose; status and `reason`."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rsplit(":", 1)[1]), timeout=60)
    connection.putrequest(method, filled(path), skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.putheader("Content-Length", "0")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    try:
        return answer.status, json.loads(body).get("error", {}).get("reason", "")
    except (ValueError, AttributeError):
        return answer.status, ""


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    small_project(folder, more='[profile.lan]\nhosts = ["mill.lan"]\n')
    made = Server(folder, "--profile", "lan").start().wait_ready()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public")
    small_project(folder)
    made = Server(folder, listen="0.0.0.0:0").start()
    yield made
    made.stop()


def token_of(server):
    return (server.data_dir / "token").read_text().strip()


def test_it_listens_on_this_machine_only(local):
    assert local.url.startswith("http://127.0.0.1:"), local.url


def test_the_token_file_is_for_its_owner(local, public):
    for server in (local, public):
        assert stat.S_IMODE((server.data_dir / "token").stat().st_mode) == 0o600
        assert len(token_of(server)) >= 32
    assert token_of(local) != token_of(public)
    for server in (local, public):
        assert token_of(server) not in server.log() + (server.data_dir / "millrace.log").read_text()


@pytest.mark.parametrize("method, path", GUARDED)
def test_locally_only_local_names_and_no_foreign_page(local, method, path):
    assert ask(local, method, path, Host="evil.example") == (403, "net.foreign_host"), "another name for this machine"
    assert ask(local, method, path, Host="localhost.evil.example:7070") == (403, "net.foreign_host")
    if method != "GET":
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "http://localhost:3000"}):
            assert ask(local, method, path, **headers) == (403, "net.foreign_origin"), headers
    assert ask(local, method, path, Authorization="Bearer mr_00000000000000000000000000000000")[0] == 401, "a wrong token is worse than none"


def test_locally_what_is_known_may_call(local):
    for headers in ({"Host": "localhost:7070"}, {"Host": "[::1]:7070"}, {"Host": "mill.lan"}, {"Host": "MILL.LAN:80"},
                    {"Host": "mill.lan", "Origin": "https://mill.lan"},
                    {"Host": "evil.example", "Origin": "https://evil.example", "Authorization": "Bearer " + token_of(local)}):
        assert ask(local, "GET", "/api/v1/status", **headers)[0] == 200, headers
        status, reason = ask(local, "POST", "/predict/small", **headers)
        assert (status, reason) == (400, "model.bad_json"), (headers, status, reason)


def test_nothing_refused_changed_anything(local):
    assert len(local.get("/api/v1/runs").json["runs"]) == 1
    assert not local.gone(), "nobody's shutdown was taken"


@pytest.mark.parametrize("method, path", GUARDED)
def test_beyond_this_machine_every_request_needs_the_token(public, method, path):
    assert ask(public, method, path) == (401, "net.token_needed")
    assert ask(public, method, path, Authorization="Bearer " + token_of(public)[:-1] + "x") == (401, "net.bad_token")
    assert ask(public, method, path, Authorization="Basic " + token_of(public)) == (401, "net.bad_token")


@pytest.mark.parametrize("method, path", V2)
def test_v2_has_the_same_rights(local, public, method, path):
    assert ask(local, method, path, Host="evil.example")[0] == 403
    if method != "GET":
        assert ask(local, method, path, Origin="https://evil.example")[0] == 403
    assert ask(public, method, path)[0] == 401
    assert ask(public, method, path, Authorization="Bearer " + token_of(public))[0] not in (401, 403)
    assert ask(local, method, path)[0] in (200, 400, 409, 501)


def test_beyond_this_machine_health_is_open(public):
    for path in sorted(OPEN):
        assert ask(public, "GET", path, Host="any.example")[0] in (200, 503), path
    assert ask(public, "GET", "/api/v1/status", Host="any.example", Authorization="Bearer " + token_of(public))[0] == 200


def test_commands_bring_the_token(public):
    assert "small" in public.cli("status").stdout
    wrong = Server(public.folder, env={"MILLRACE_TOKEN": "mr_00000000000000000000000000000000"}).cli("status", expect=1)
    assert "net.bad_token" in wrong.stderr


def test_a_token_that_others_can_read_is_refused(servers, tmp_path):
    small_project(tmp_path)
    server = servers().start()
    server.stop()
    (server.data_dir / "token").chmod(0o644)
    done = server.cli("up", "--listen", "127.0.0.1:0", expect=1)
    assert "net.token_exposed" in done.stderr and "chmod 600" in done.stderr


def test_another_loopback_address_is_local_too(servers, tmp_path):
    small_project(tmp_path)
    server = servers(listen="127.0.0.2:0").start()
    assert server.url.startswith("http://127.0.0.2:")
    assert server.get("/api/v1/status").status == 200
    assert "small" in server.cli("status").stdout
