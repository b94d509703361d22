"""LitServe: serve_litserve.py MODEL PORT FOLDER"""
import sys

import litserve

from trees import Trees


class Api(litserve.LitAPI):
    def setup(self, device):
        self.trees = Trees(sys.argv[1])

    def decode_request(self, request):
        return [request["row"]]

    def predict(self, rows):
        return self.trees(rows)

    def encode_response(self, output):
        return {"prediction": float(output[0])}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
