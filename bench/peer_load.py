"""The side of `./dev bench peers` that runs in the root: makes the model, and sends the load.

    peer_load.py make MODEL                        trains it; prints a row as JSON
    peer_load.py load URL BODY CONNECTIONS SECONDS  prints [requests a second, p50 ms, p99 ms, answers that are not 2xx]"""
import json
import pathlib
import random
import sys

from common import FEATURES, TOP, TREES, wrk

if sys.argv[1] == "make":
    sys.path.insert(0, str(TOP / "tests"))
    import xgboost_models
    xgboost_models.train(pathlib.Path(sys.argv[2]), FEATURES, TREES, 6, count=20_000)
    rng = random.Random(7)
    print(json.dumps([round(rng.gauss(0, 1), 6) for _ in range(FEATURES)]))
else:
    url, body, connections, seconds = sys.argv[2], pathlib.Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
    script = body.with_suffix(".lua")
    script.write_text(f"wrk.method='POST'\nwrk.body='{body.read_text()}'\nwrk.headers['Content-Type']='application/json'\n")
    print(json.dumps(wrk(url, connections, script, seconds)))
