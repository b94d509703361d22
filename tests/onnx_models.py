"""ONNX models that other people's programs write: scikit-learn through skl2onnx, networks by the onnx package, and those inside of packages."""
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPSET, IR = 17, 9  # what the oldest library that we serve with takes


def rows(count, features, seed=1):
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def save(model, path):
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def graph(path, nodes, inputs, outputs, weights=(), name="g"):
    made = helper.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(value, key) for key, value in weights])
    return save(helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=IR), path)


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def mlp(path, sizes=(64, 128, 10), seed=3, batch="N"):
    """A network with ReLU and a softmax at the end."""
    rng = np.random.default_rng(seed)
    nodes, weights, last = [], [], "x"
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        weights += [(f"w{i}", (rng.normal(size=(a, b)) / np.sqrt(a)).astype(np.float32)), (f"b{i}", rng.normal(size=b).astype(np.float32))]
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"g{i}"]))
        last = f"g{i}"
        if i < len(sizes) - 2:
            nodes.append(helper.make_node("Relu", [last], [f"r{i}"]))
            last = f"r{i}"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    return graph(path, nodes, [value("x", TensorProto.FLOAT, [batch, sizes[0]])], [value("probabilities", TensorProto.FLOAT, [batch, sizes[-1]])], weights)


KINDS = {"FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE, "FP16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16, "INT8": TensorProto.INT8,
         "INT16": TensorProto.INT16, "INT32": TensorProto.INT32, "INT64": TensorProto.INT64, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16,
         "UINT32": TensorProto.UINT32, "UINT64": TensorProto.UINT64, "BOOL": TensorProto.BOOL, "BYTES": TensorProto.STRING}


def every_type(path):
    """An input and an output of each datatype, of two free axes, handed on as they are."""
    nodes = [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in KINDS]
    return graph(path, nodes, [value(f"in_{name}", kind, ["N", "M"]) for name, kind in KINDS.items()],
                 [value(f"out_{name}", kind, ["N", "M"]) for name, kind in KINDS.items()])


def two_inputs(path):
    """(a + b) of [N, 3] and [3]; a sum that is one value; texts handed on."""
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("ReduceSum", ["sum"], ["total"], keepdims=0),
             helper.make_node("Identity", ["who"], ["name"])]
    return graph(path, nodes, [value("a", TensorProto.FLOAT, ["N", 3]), value("b", TensorProto.FLOAT, [3]), value("who", TensorProto.STRING, ["N"])],
                 [value("sum", TensorProto.FLOAT, ["N", 3]), value("total", TensorProto.FLOAT, []), value("name", TensorProto.STRING, ["N"])])


def pieces(path):
    """A sequence of tensors: the input cut where `cuts` say."""
    nodes = [helper.make_node("SplitToSequence", ["x", "cuts"], ["parts"], axis=0)]
    parts = helper.make_value_info("parts", helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None)))
    return graph(path, nodes, [value("x", TensorProto.FLOAT, ["N", 2]), value("cuts", TensorProto.INT64, ["K"])], [parts])


def forest(path, classes=("no", "maybe", "yes"), zipmap=True, features=6):
    """scikit-learn's forest with texts as classes; with ZipMap its probabilities are a sequence of maps."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier
    x = rows(400, features, seed=9)
    y = np.array(classes)[(x[:, 0] + x[:, 1] > 0).astype(int) + (x[:, 2] > 0.5).astype(int)]
    model = RandomForestClassifier(n_estimators=20, max_depth=6, random_state=1).fit(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = to_onnx(model, x[:1], target_opset={"": OPSET, "ai.onnx.ml": 3}, options={"zipmap": zipmap})
    path.write_bytes(made.SerializeToString())
    return path, model


def columns(path):
    """A pipeline over columns of numbers and texts: each is an input of its own."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    rng = np.random.default_rng(4)
    age, city = rng.normal(40, 10, 300).astype(np.float32), rng.choice(["Lima", "Oslo", "Rome"], 300)
    table = np.empty((300, 2), dtype=object)
    table[:, 0], table[:, 1] = age, city
    import narwhals  # noqa: F401  (scikit-learn's own)
    model = make_pipeline(ColumnTransformer([("n", StandardScaler(), [0]), ("t", OneHotEncoder(handle_unknown="ignore"), [1])]), LogisticRegression())
    model.fit(table, (age > 40) ^ (city == "Oslo"))
    made = convert_sklearn(model, initial_types=[("age", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1]))],
                           target_opset={"": OPSET, "ai.onnx.ml": 3}, options={"zipmap": False})
    path.write_bytes(made.SerializeToString())
    return path


def inside(package, name):
    """A file of an installed package, which is not imported."""
    import importlib.util
    for entry in map(pathlib.Path, __import__("sys").path):
        found = sorted((entry / package).rglob(name)) if (entry / package).is_dir() else []
        if found:
            return found[0]
    raise FileNotFoundError(f"{package}/{name}")


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def library():
    """ONNX Runtime's own library, as PyPI has it: another build than Debian's."""
    return sorted((pathlib.Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))[0]
