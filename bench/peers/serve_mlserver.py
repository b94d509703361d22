"""MLServer with a runtime of our own in its process: serve_mlserver.py MODEL PORT FOLDER"""
import json
import os
import pathlib
import sys

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from trees import Trees


class Runtime(MLModel):
    async def load(self):
        self.trees = Trees()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("output-0", self.trees(rows))])


if __name__ == "__main__":
    model, port, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": int(os.environ["PEER_PORT_2"]), "metrics_port": int(os.environ["PEER_PORT_3"]), "parallel_workers": 0, "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps({"name": "m", "implementation": "serve_mlserver.Runtime"}))
    here = pathlib.Path(__file__).resolve().parent
    os.environ.update(PEER_MODEL=model, PYTHONPATH=str(here))
    os.execv(pathlib.Path(sys.executable).parent / "mlserver", ["mlserver", "start", str(folder)])
