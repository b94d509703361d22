"""[serve] origins: pages of the sites that it lists may ask for predictions from a browser; the headers are those that Chromium sends."""
import http.client
import json
import urllib.parse

import pytest

from conftest import Server, small_project, wait_for

SITE = "https://app.example.com"
ROW = json.dumps({"a": 0.5, "c": "red"})
V2 = json.dumps({"inputs": [{"name": "a", "datatype": "FP64", "shape": [1], "data": [0.5]}, {"name": "c", "datatype": "BYTES", "shape": [1], "data": ["red"]}]})
CALLS = [("/predict/small", ROW), ("/invocations/small", json.dumps({"dataframe_records": [json.loads(ROW)]})), ("/v2/models/small/infer", V2)]
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
           "Accept": "*/*", "Referer": SITE + "/", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty",
           "Accept-Encoding": "gzip, deflate, br", "Accept-Language": "en-US,en;q=0.9"}


def serve(folder, origins):
    small_project(folder, more=f"[serve]\norigins = {json.dumps(origins)}\n")
    return Server(folder).start().wait_ready()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = serve(tmp_path_factory.mktemp("origins"), [SITE, "http://localhost:3000"])
    yield made
    made.stop()


def ask(server, method, path, headers, body=None):
    address = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    connection.request(method, path, body=body, headers={**BROWSER, **headers})
    answer = connection.getresponse()
    text = answer.read()
    found = {}
    for name, value in answer.getheaders():
        assert name.lower() not in found, f"{name} twice"
        found[name.lower()] = value
    connection.close()
    return answer.status, found, text


def preflight(server, path, origin, method="POST", headers="content-type"):
    return ask(server, "OPTIONS", path, {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers})


@pytest.mark.parametrize("path, body", CALLS)
@pytest.mark.parametrize("origin", [SITE, "http://localhost:3000"])
def test_a_listed_page_calls(server, path, body, origin):
    status, headers, _ = preflight(server, path, origin, headers="authorization,content-type")
    assert status == 204
    assert headers["access-control-allow-origin"] == origin
    assert headers["access-control-allow-methods"] == "POST"
    assert headers["access-control-allow-headers"] == "authorization,content-type"
    assert int(headers["access-control-max-age"]) == 600
    assert {each.strip() for each in headers["vary"].split(",")} == {"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"}
    status, headers, text = ask(server, "POST", path, {"Origin": origin, "Content-Type": "application/json"}, body)
    assert status == 200, text
    assert headers["access-control-allow-origin"] == origin and headers["vary"] == "Origin"
    assert "X-Request-Id" in headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in headers


def test_errors_are_for_the_page_too(server):
    for path, body, want in (("/predict/small", "{", 400), ("/predict/nobody", ROW, 404), ("/v2/models/small/infer", "{}", 400)):
        status, headers, _ = ask(server, "POST", path, {"Origin": SITE, "Content-Type": "application/json"}, body)
        assert status == want and headers["access-control-allow-origin"] == SITE, path
    status, headers, _ = ask(server, "GET", "/v2/models/small", {"Origin": SITE})
    assert status == 200 and headers["access-control-allow-origin"] == SITE


@pytest.mark.parametrize("origin", ["https://evil.org", "http://app.example.com", "https://app.example.com:8443", "https://app.example.com.evil.org", "null"])
def test_others_stay_refused(server, origin):
    status, headers, text = preflight(server, "/predict/small", origin)
    assert status == 403 and json.loads(text)["error"]["reason"] == "net.foreign_origin"
    assert "access-control-allow-origin" not in headers and headers["vary"] == "Origin"
    status, headers, text = ask(server, "POST", "/predict/small", {"Origin": origin, "Content-Type": "application/json"}, ROW)
    assert status == 403 and "access-control-allow-origin" not in headers and headers["vary"] == "Origin"


def test_the_rest_of_the_api_is_for_no_page(server):
    for path in ("/api/v1/gc", "/api/v1/train", "/labels/small", "/v2/repository/models/small/unload"):
        status, headers, _ = preflight(server, path, SITE)
        assert "access-control-allow-origin" not in headers, path
        status, headers, _ = ask(server, "POST", path, {"Origin": SITE, "Content-Type": "application/json"}, "{}")
        assert status == 403 and "access-control-allow-origin" not in headers, path
    for path in ("/api/v1/status", "/metrics", "/"):
        _, headers, _ = ask(server, "GET", path, {"Origin": SITE})
        assert "access-control-allow-origin" not in headers, path


def test_without_a_browser_nothing_changes(server):
    answer = server.post("/predict/small", json.loads(ROW))
    assert answer.status == 200 and answer.headers["Vary"] == "Origin" and answer.headers["Access-Control-Allow-Origin"] is None


def test_any_page_and_none(tmp_path, servers):
    (tmp_path / "any").mkdir()
    (tmp_path / "none").mkdir()
    everybody = serve(tmp_path / "any", ["*"])
    try:
        status, headers, _ = preflight(everybody, "/predict/small", "https://evil.org")
        assert status == 204 and headers["access-control-allow-origin"] == "*" and "Origin" not in headers["vary"].split(", ")
        status, headers, _ = ask(everybody, "POST", "/predict/small", {"Origin": "null", "Content-Type": "application/json"}, ROW)
        assert status == 200 and headers["access-control-allow-origin"] == "*"
        assert ask(everybody, "POST", "/api/v1/gc", {"Origin": "https://evil.org"}, "{}")[0] == 403
    finally:
        everybody.stop()
    small_project(tmp_path / "none")
    nobody = Server(tmp_path / "none").start().wait_ready()
    try:
        status, headers, _ = preflight(nobody, "/predict/small", SITE)
        assert status == 403 and "vary" not in headers and "access-control-allow-origin" not in headers
        status, headers, _ = ask(nobody, "POST", "/predict/small", {"Origin": SITE}, ROW)
        assert status == 403 and "vary" not in headers
    finally:
        nobody.stop()


def test_a_bad_origin_is_refused_in_the_file(tmp_path, servers):
    small_project(tmp_path, more='[serve]\norigins = ["https://app.example.com/"]\n')
    server = servers().start(wait=False)
    wait_for("its end", server.gone)
    assert server.process.returncode != 0 and "serve.origins" in server.log() and "https://app.example.com" in server.log()
