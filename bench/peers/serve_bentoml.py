"""BentoML: serve_bentoml.py MODEL PORT FOLDER"""
import os
import pathlib
import sys

import bentoml

from trees import Trees


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Service:
    def __init__(self):
        self.trees = Trees()

    @bentoml.api
    def predict(self, row: list[float]) -> float:
        return float(self.trees([row])[0])


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent
    os.environ.update(PEER_MODEL=sys.argv[1], PYTHONPATH=str(here), BENTOML_HOME=sys.argv[3], BENTOML_DO_NOT_TRACK="True")
    os.chdir(sys.argv[3])
    os.execv(pathlib.Path(sys.executable).parent / "bentoml", ["bentoml", "serve", "serve_bentoml:Service", "--host", "127.0.0.1", "--port", sys.argv[2], "--working-dir", str(here)])
