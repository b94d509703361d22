"""XGBoost through its C library, as its own users call it: models to serve, and the answers that they must get, bit by bit."""
import array
import ctypes
import json
import random
import struct

VALUE = b'{"type":0,"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":true}'


class Library:
    def __init__(self):
        self.c = ctypes.CDLL("libxgboost.so.3")
        self.c.XGBGetLastError.restype = ctypes.c_char_p

    def __getattr__(self, name):
        function = getattr(self.c, name)

        def call(*arguments):
            if function(*arguments) != 0:
                raise RuntimeError(f"{name}: {self.c.XGBGetLastError().decode()}")
        return call


_library = None


def library():
    global _library
    _library = _library or Library()
    return _library


def interface(values, shape):
    return json.dumps({"data": [values.buffer_info()[0], True], "shape": shape, "typestr": "<f4", "version": 3}).encode()


class Matrix:
    def __init__(self, rows):
        self.values = array.array("f", [x for row in rows for x in row])
        self.handle = ctypes.c_void_p()
        library().XGDMatrixCreateFromDense(interface(self.values, [len(rows), len(rows[0])]), b'{"missing":NaN,"nthread":1}',
                                           ctypes.byref(self.handle))

    def info(self, name, values):
        kept = array.array("f", values)
        library().XGDMatrixSetInfoFromInterface(self.handle, name, interface(kept, [len(kept)]))

    def __del__(self):
        library().XGDMatrixFree(self.handle)


def rows(count, features, seed=1, missing=0.05):
    rng = random.Random(seed)
    return [[float("nan") if rng.random() < missing else struct.unpack("<f", struct.pack("<f", rng.gauss(0, 1)))[0]
             for _ in range(features)] for _ in range(count)]


def train(path, features=30, trees=100, depth=6, seed=1, objective="binary:logistic", classes=0, count=2000):
    """A model in `path` (.ubj or .json), grown on made-up rows."""
    rng = random.Random(seed)
    table = rows(count, features, seed)
    weights = [rng.gauss(0, 1) for _ in range(features)]
    scores = [sum(w * x for w, x in zip(weights, row) if x == x) + rng.gauss(0, 1) for row in table]
    if classes:
        labels = [float(min(classes - 1, max(0, int(s + classes / 2)))) for s in scores]
    elif objective.startswith("binary"):
        labels = [float(s > 0) for s in scores]
    else:
        labels = scores
    matrix = Matrix(table)
    matrix.info(b"label", labels)
    booster = ctypes.c_void_p()
    library().XGBoosterCreate((ctypes.c_void_p * 1)(matrix.handle), ctypes.c_ulong(1), ctypes.byref(booster))
    settings = {"objective": objective, "max_depth": depth, "nthread": 1, "seed": seed, "verbosity": 0, "tree_method": "hist",
                "min_child_weight": 0, **({"num_class": classes} if classes else {})}
    for name, value in settings.items():
        library().XGBoosterSetParam(booster, name.encode(), str(value).encode())
    for step in range(trees):
        library().XGBoosterUpdateOneIter(booster, step, matrix.handle)
    library().XGBoosterSaveModel(booster, str(path).encode())
    library().XGBoosterFree(booster)
    return path


def predict(path, table):
    """XGBoost's own prediction: a list of outputs for each row, as floats that are exactly its float32."""
    booster = ctypes.c_void_p()
    library().XGBoosterCreate(None, ctypes.c_ulong(0), ctypes.byref(booster))
    library().XGBoosterSetParam(booster, b"nthread", b"1")
    library().XGBoosterLoadModel(booster, str(path).encode())
    matrix = Matrix(table)
    shape, dimensions, result = ctypes.POINTER(ctypes.c_ulong)(), ctypes.c_ulong(), ctypes.POINTER(ctypes.c_float)()
    library().XGBoosterPredictFromDMatrix(booster, matrix.handle, VALUE, ctypes.byref(shape), ctypes.byref(dimensions),
                                          ctypes.byref(result))
    assert dimensions.value == 2 and shape[0] == len(table)
    out = [[result[i * shape[1] + k] for k in range(shape[1])] for i in range(len(table))]
    library().XGBoosterFree(booster)
    return out
