"""Named tokens: each opens what its rights say and nothing else, over HTTP and gRPC, until it is revoked, and then nothing at once."""
import concurrent.futures
import hashlib
import http.client
import json
import os
import subprocess
import sys
import threading
import urllib.parse

import pytest

from conftest import TOP, Server, small_project, wait_for

OPERATIONS = [(method.upper(), path) for path, item in json.loads((TOP / "docs" / "api" / "openapi.json").read_text())["paths"].items() for method in item]
PREDICT = [("POST", "/predict/{model}"), ("POST", "/predict/small/versions/1"), ("POST", "/invocations"), ("POST", "/invocations/small"),
           ("GET", "/v2"), ("GET", "/v2/models/small"), ("GET", "/v2/models/small/config"), ("GET", "/v2/models/small/ready"),
           ("GET", "/v2/models/small/stats"), ("GET", "/v2/models/stats"), ("POST", "/v2/models/small/infer"),
           ("POST", "/v2/models/small/versions/1/infer"), ("POST", "/v2/repository/index")]
ADMIN = [("GET", "/"), ("POST", "/v2/repository/models/small/load"), ("POST", "/v2/repository/models/small/unload"),
         ("GET", "/v2/logging"), ("POST", "/v2/logging"), ("POST", "/v2/trace/setting")]
METRICS = [("GET", "/metrics")]
OPEN = [("GET", path) for path in ("/healthz", "/readyz", "/readyz/small", "/v2/health/live", "/v2/health/ready", "/ping", "/version")]
RIGHTS = {"web": {"predict"}, "grafana": {"metrics"}, "ops": {"admin"}, "edge": {"predictor"}, "both": {"predict", "metrics"}}


def needed(method, path):
    if (method, path) in METRICS:
        return {"metrics", "admin"}
    if "/{predictor}/" in path or path.startswith("/api/v1/artifacts/"):
        return {"predictor"}
    return {"predict"} if (method, path) in PREDICT else {"admin"}


def filled(path):
    for name, value in {"dataset": "data", "version": "1", "run": "x", "model": "small", "job": "x", "prediction": "x", "token": "nobody"}.items():
        path = path.replace("{" + name + "}", value)
    return path


class Caller:
    """One connection that stays open."""

    def __init__(self, server, token):
        self.connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rsplit(":", 1)[1]), timeout=120)
        self.token = token

    def ask(self, method, path, body=b""):
        self.connection.request(method, filled(path), body, {"Authorization": "Bearer " + self.token, "Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, text.decode(errors="replace")


def reason(text):
    try:
        error = json.loads(text)["error"]
        return error["reason"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        return ""


def add(server, name, *rights):
    """The token, by the command."""
    made = json.loads(server.cli("tokens", "add", name, *[word for right in rights for word in ("--right", right)], "--json").stdout)
    assert made["name"] == name and sorted(made["rights"]) == sorted(rights)
    return made["token"]


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rights")
    small_project(folder, more='[profile.default]\ngrpc = "0.0.0.0:0"\n')
    made = Server(folder, listen="0.0.0.0:0").start().wait_ready()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def tokens(public):
    return {name: add(public, name, *sorted(rights)) for name, rights in RIGHTS.items()}


@pytest.mark.parametrize("method, path", sorted(set(OPERATIONS + PREDICT + ADMIN + METRICS)))
def test_a_route_opens_to_the_right_that_it_needs(public, tokens, method, path):
    for name, rights in RIGHTS.items():
        if rights & needed(method, path) and path.endswith("shutdown"):
            continue
        status, text = Caller(public, tokens[name]).ask(method, path)
        if rights & needed(method, path):
            assert status not in (401, 403), (name, text)
            continue
        assert status == 403, (name, status, text)
        for word in [f"'{right}'" for right in needed(method, path) - {"admin"}] + [name, *rights]:
            assert word in text, (word, text)
        if not path.startswith(("/v2", "/invocations")):
            assert reason(text) == "net.right_needed"
        assert tokens[name] not in text


@pytest.mark.parametrize("method, path", OPEN)
def test_health_asks_nobody_for_rights(public, tokens, method, path):
    for token in [*tokens.values(), "mr_" + "0" * 64]:
        assert Caller(public, token).ask(method, path)[0] == 200


def test_it_predicts_and_scrapes(public, tokens):
    row = json.dumps({"a": 0.9, "c": "red"})
    status, text = Caller(public, tokens["web"]).ask("POST", "/predict/small", row)
    assert status == 200 and "prediction" in text, text
    status, text = Caller(public, tokens["grafana"]).ask("GET", "/metrics")
    assert status == 200 and "millrace_serve_rows" in text


def test_a_revoked_token_opens_nothing_at_once(public):
    row = json.dumps({"a": 0.9, "c": "red"})
    token = add(public, "short", "predict")
    caller, other = Caller(public, token), Caller(public, add(public, "stays", "predict"))
    assert caller.ask("POST", "/predict/small", row)[0] == 200
    assert "short" in public.cli("tokens", "revoke", "short").stdout
    status, text = caller.ask("POST", "/predict/small", row)
    assert (status, reason(text)) == (401, "net.bad_token"), "on the connection that it had opened, too"
    assert caller.ask("GET", "/healthz")[0] == 200
    assert other.ask("POST", "/predict/small", row)[0] == 200, "the others go on"
    again = public.cli("tokens", "revoke", "short", expect=1)
    assert "access.no_token" in again.stderr
    anew = add(public, "short", "predict")
    assert anew != token and Caller(public, anew).ask("POST", "/predict/small", row)[0] == 200
    assert caller.ask("POST", "/predict/small", row)[0] == 401, "the name is new, the token is not"


def test_what_is_listed_and_kept_is_not_the_token(public, tokens):
    shown = public.cli("tokens", "list").stdout
    listed = json.loads(public.cli("tokens", "list", "--json").stdout)["tokens"]
    for name, rights in RIGHTS.items():
        mine = [one for one in listed if one["name"] == name]
        assert len(mine) == 1 and set(mine[0]["rights"]) == rights and mine[0]["made_by"] and mine[0]["made"]
        assert name in shown and tokens[name] not in shown + json.dumps(listed)
    kept = b"".join(file.read_bytes() for file in public.data_dir.rglob("*") if file.is_file())
    for token in tokens.values():
        assert token.encode() not in kept
    assert hashlib.sha256(tokens["web"].encode()).hexdigest().encode() in kept


def test_wrong_words_are_told(public, tokens):
    assert "net.bad_right" in public.cli("tokens", "add", "x", "--right", "metric", expect=1).stderr
    assert "did you mean 'metrics'" in public.cli("tokens", "add", "x", "--right", "metric", expect=1).stderr
    assert "access.bad_name" in public.cli("tokens", "add", "a b", "--right", "predict", expect=1).stderr
    assert "access.name_taken" in public.cli("tokens", "add", "web", "--right", "predict", expect=1).stderr
    assert "did you mean 'grafana'" in public.cli("tokens", "revoke", "grafan", expect=1).stderr
    assert public.cli("tokens", "add", "x", expect=64).stderr


def test_a_token_without_admin_makes_no_tokens(public, tokens):
    for name in ("web", "grafana", "edge"):
        done = Server(public.folder, env={"MILLRACE_TOKEN": tokens[name]}).cli("tokens", "add", "mine", "--right", "admin", expect=1)
        assert "net.right_needed" in done.stderr


def test_many_at_once_disturb_no_one(public, tokens):
    row, failed, stop = json.dumps({"a": 0.9, "c": "red"}), [], threading.Event()
    asked = [0]

    def predict():
        caller = Caller(public, tokens["web"])
        while not stop.is_set():
            status, text = caller.ask("POST", "/predict/small", row)
            asked[0] += 1
            if status != 200:
                failed.append((status, text))

    def make_and_revoke(number):
        ops = Caller(public, tokens["ops"])
        status, text = ops.ask("POST", "/api/v1/tokens", json.dumps({"name": f"many-{number}", "rights": ["predict"]}))
        assert status == 201, text
        mine = Caller(public, json.loads(text)["token"])
        first = mine.ask("POST", "/predict/small", row)[0]
        gone = ops.ask("POST", f"/api/v1/tokens/many-{number}/revoke", "{}")[0]
        return first, gone, mine.ask("POST", "/predict/small", row)[0]

    asking = [threading.Thread(target=predict) for _ in range(2)]
    for thread in asking:
        thread.start()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(make_and_revoke, range(40)))
    stop.set()
    for thread in asking:
        thread.join()
    assert ends == [(200, 200, 401)] * 40
    assert not failed and asked[0] > 0


def test_locally_a_token_is_held_to_what_it_may(servers, tmp_path):
    small_project(tmp_path)
    server = servers().start().wait_ready()
    token = add(server, "web", "predict")
    row = json.dumps({"a": 0.9, "c": "red"})
    assert server.get("/api/v1/status").status == 200, "without one nothing changed"
    caller = Caller(server, token)
    assert caller.ask("POST", "/predict/small", row)[0] == 200
    assert reason(caller.ask("GET", "/api/v1/status")[1]) == "net.right_needed"
    server.kill()
    server.start().wait_ready()
    caller = Caller(server, token)
    assert caller.ask("POST", "/predict/small", row)[0] == 200, "it outlives the process"
    server.cli("tokens", "revoke", "web")
    server.kill()
    server.start().wait_ready()
    assert Caller(server, token).ask("POST", "/predict/small", row)[0] == 401, "and so does its end"


def grpc_status(port, method, token, message=b""):
    """Status and text of one call without a client's packages: HTTP/2 by curl, the message in gRPC's frame."""
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    words = ["-H", f"authorization: Bearer {token}"] if token else []
    done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "--max-time", "60", "-o", "/dev/null", "-D", "-", "-H", "content-type: application/grpc",
                           "-H", "te: trailers", *words, "--data-binary", "@-", f"http://127.0.0.1:{port}/inference.GRPCInferenceService/{method}"],
                          input=frame, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    fields = dict(line.lower().split(": ", 1) for line in done.stdout.decode().splitlines() if ": " in line)
    return int(fields["grpc-status"]), urllib.parse.unquote(fields.get("grpc-message", ""))


def test_grpc_has_the_same_rights_whatever_the_client(public, tokens):
    port = (public.data_dir / "grpc_address").read_text().strip().rsplit(":", 1)[1]
    denied, unknown = 7, 16  # PERMISSION_DENIED, UNAUTHENTICATED
    small = b"\x0a\x05small"  # field 1: the model's name
    calls = {"predict": [("ServerMetadata", b""), ("ModelMetadata", small), ("ModelReady", small), ("ModelConfig", small), ("ModelInfer", small),
                         ("ModelStatistics", b""), ("RepositoryIndex", b"")],
             "admin": [("TraceSetting", b""), ("LogSettings", b""), ("RepositoryModelLoad", b"\x12\x05small"), ("RepositoryModelUnload", b"\x12\x05small")]}
    for right, of_right in calls.items():
        for method, message in of_right:
            for name, rights in RIGHTS.items():
                code, text = grpc_status(port, method, tokens[name], message)
                if right in rights:
                    assert code not in (denied, unknown), (method, name, code, text)
                else:
                    assert code == denied and f"'{right}'" in text and name in text, (method, name, code, text)
            for nobody in ("mr_" + "0" * 64, ""):
                assert grpc_status(port, method, nobody, message)[0] == unknown, method
    assert grpc_status(port, "ServerMetadata", tokens["web"])[0] == 0
    assert grpc_status(port, "ServerLive", "")[0] == 0, "the health checks are open"
    token = add(public, "by-curl", "predict")
    assert grpc_status(port, "ServerMetadata", token)[0] == 0
    public.cli("tokens", "revoke", "by-curl")
    assert grpc_status(port, "ServerMetadata", token)[0] == unknown


def test_grpc_has_the_same_rights(public, tokens):
    if os.path.isdir("/python/tritonclient/grpc") and os.path.isdir("/python/grpc"):
        sys.path.append("/python")
    else:
        pytest.importorskip("tritonclient.grpc", reason="tritonclient is fetched by: ./dev test scenario")
    import grpc
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    port = (public.data_dir / "grpc_address").read_text().strip().rsplit(":", 1)[1]
    client = triton.InferenceServerClient("127.0.0.1:" + port)
    calls = {"predict": [lambda h: client.get_server_metadata(headers=h), lambda h: client.get_model_metadata("small", headers=h),
                         lambda h: client.get_inference_statistics(headers=h), lambda h: client.get_model_repository_index(headers=h)],
             "admin": [lambda h: client.get_trace_settings(headers=h), lambda h: client.load_model("small", headers=h)]}

    def status(call, token):
        try:
            call({"authorization": "Bearer " + token})
            return None
        except InferenceServerException as error:
            return error.status(), error.message()

    for right, of_right in calls.items():
        for call in of_right:
            for name, rights in RIGHTS.items():
                answered = status(call, tokens[name])
                if right in rights:
                    assert answered is None or answered[0] not in ("StatusCode.PERMISSION_DENIED", "StatusCode.UNAUTHENTICATED"), answered
                else:
                    assert answered[0] == "StatusCode.PERMISSION_DENIED" and f"'{right}'" in answered[1] and name in answered[1], answered
            assert status(call, "mr_" + "0" * 64)[0] == "StatusCode.UNAUTHENTICATED"
    token = add(public, "over-grpc", "predict")
    assert status(calls["predict"][0], token) is None
    public.cli("tokens", "revoke", "over-grpc")
    assert status(calls["predict"][0], token)[0] == "StatusCode.UNAUTHENTICATED", "on the same channel"
    assert client.is_server_live()
