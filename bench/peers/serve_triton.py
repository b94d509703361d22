"""Triton with its Python backend, by PyTriton: serve_triton.py MODEL PORT FOLDER. PEER_BATCHING=1: its dynamic batcher."""
import os
import sys

import numpy
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from trees import Trees

trees = Trees(sys.argv[1])
batching = os.environ.get("PEER_BATCHING") == "1"


@batch
def infer(**inputs):
    return [trees(inputs["input-0"]).reshape(-1, 1)]


def infer_one(requests):
    return [{"output-0": trees(request["input-0"]).reshape(-1, 1)} for request in requests]


config = TritonConfig(http_address="127.0.0.1", http_port=int(sys.argv[2]), grpc_address="127.0.0.1", grpc_port=int(os.environ["PEER_PORT_2"]), metrics_port=int(os.environ["PEER_PORT_3"]))
with Triton(config=config) as triton:
    triton.bind(model_name="m", infer_func=infer if batching else infer_one, inputs=[Tensor(name="input-0", dtype=numpy.float32, shape=(-1,) if batching else (-1, -1))],
                outputs=[Tensor(name="output-0", dtype=numpy.float32, shape=(1,) if batching else (-1, 1))],
                config=ModelConfig(batching=batching, max_batch_size=64, batcher=DynamicBatcher(max_queue_delay_microseconds=100)))
    triton.serve()
