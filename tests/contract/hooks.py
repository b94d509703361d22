"""What counts as an error of the server's; loaded by schemathesis (run.py)."""
import json

import schemathesis


@schemathesis.check
def no_server_error(ctx, response, case):
    if response.status_code < 500:
        return
    if response.status_code == 503 and "retry-after" in {name.lower() for name in response.headers}:
        return
    try:
        reason = json.loads(response.content)["error"]["reason"]
    except (ValueError, KeyError, TypeError):
        reason = ""
    if response.status_code == 501 and (reason.endswith(".not_available") or reason == "net.unknown_method"):
        return
    raise AssertionError(f"{response.status_code} {reason}: {response.content[:300]!r}")
