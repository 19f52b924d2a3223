#!/usr/bin/env python3
"""Makes crates/extractor/tests/golden/weights/: one small file of every layout that the weight readers know, with the
values that PyTorch or numpy itself gives for it in expected.json.

Needs the PyPI packages torch, numpy, onnx and safetensors. The files are checked in; run this again only to add a case.

usage: scripts/golden_weights.py [OUTPUT_FOLDER]
"""
import collections
import io
import json
import pathlib
import pickle
import struct
import sys
import zipfile

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "crates/extractor/tests/golden/weights")
out.mkdir(parents=True, exist_ok=True)
expected = {}


def ramp(*shape, start=0.0):
    """Values that f16 and bf16 hold exactly, none of them equal."""
    count = int(np.prod(shape))
    return (torch.arange(count, dtype=torch.float32) / 4 - count / 8 + start).reshape(shape)


def state_dict():
    base = ramp(6, 4)
    shared = ramp(8, start=10)
    return collections.OrderedDict(
        [
            ("plain.weight", ramp(4, 3, 3, 3)),
            ("half", ramp(3, 5).half()),
            ("brain", ramp(3, 5).bfloat16()),
            ("double", ramp(2, 2).double()),
            ("counter", torch.tensor(7, dtype=torch.int64)),
            ("bytes", torch.tensor([0, 1, 255], dtype=torch.uint8)),
            ("small", torch.tensor([-3, 2, 1], dtype=torch.int8)),
            ("flags", torch.tensor([True, False, True])),
            ("empty", torch.zeros(0, 3)),
            ("transposed", base.t()),
            ("strided", base[::2, 1:3]),
            ("permuted", ramp(2, 3, 4).permute(2, 0, 1)),
            ("channels_last", ramp(2, 3, 2, 2).to(memory_format=torch.channels_last)),
            ("expanded", ramp(1, 3).expand(4, 3)),
            ("shared.first", shared[:5]),
            ("shared.last", shared[3:]),
            ("parameter", torch.nn.Parameter(ramp(5))),
        ]
    )


def values(state):
    found = {}
    for key, value in state.items():
        array = value.detach().double().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, dtype=np.float64)
        found[key] = {"shape": list(array.shape), "data": array.ravel().tolist()}
    return found


def write(name, data, state):
    (out / name).write_bytes(data)
    expected[name] = values(state)


def saved(thing, **kwargs):
    buffer = io.BytesIO()
    torch.save(thing, buffer, **kwargs)
    return buffer.getvalue()


def rezipped(data, rename, replace=lambda name, content: content):
    """The same zip archive, uncompressed, with other names or contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(rename(name)), replace(name, source.read(name)))
    return buffer.getvalue()


state = state_dict()
plain = {key: value.detach().contiguous() for key, value in state.items() if key != "empty"}

# PyTorch's own layouts.
write("zip.pth", saved(state), state)
write("legacy.pth", saved(state, _use_new_zipfile_serialization=False), state)
write("zip_other_folder.pth", rezipped(saved(state), lambda name: "a/b c/" + name.split("/", 1)[1]), state)
for protocol in (3, 4, 5):
    write(f"zip_protocol{protocol}.pth", saved(state, pickle_protocol=protocol), state)

# A zip file from a big-endian machine: swap every element of the f32 storages.
floats = collections.OrderedDict([("a", ramp(2, 3)), ("b", ramp(4, start=1))])


def to_big_endian(name, content):
    if name.endswith("byteorder"):
        return b"big"
    if "/data/" in name:
        return struct.pack(f">{len(content) // 4}f", *struct.unpack(f"<{len(content) // 4}f", content))
    return content


write("zip_big_endian.pth", rezipped(saved(floats), lambda name: name, to_big_endian), floats)

# Python's pickle of a state dict: every storage is a torch.save stream of its own.
for protocol in (2, 3, 4, 5):
    write(f"plain_protocol{protocol}.pkl", pickle.dumps(state, protocol=protocol), state)

# Wrappers and prefixes.
inner = collections.OrderedDict([("conv.weight", ramp(2, 1, 3, 3)), ("conv.bias", ramp(2))])
prefixed = collections.OrderedDict(("module." + key, value) for key, value in inner.items())
optimizer = {"state": {0: {"momentum": ramp(3)}}, "param_groups": [{"lr": 0.1}]}
write("wrapped_state_dict.pth", saved({"epoch": 3, "best": np.float64(0.5), "state_dict": prefixed, "optimizer": optimizer}), inner)
write("wrapped_model.pth", saved({"optimizer": optimizer, "model": inner}, _use_new_zipfile_serialization=False), inner)
nested = {"Net_0": {"Conv_0": {"kernel": ramp(3, 3, 1, 2).numpy(), "bias": ramp(2).numpy()}}}
write(
    "nested.pkl",
    pickle.dumps(nested, protocol=3),
    {"Net_0.Conv_0.kernel": nested["Net_0"]["Conv_0"]["kernel"], "Net_0.Conv_0.bias": nested["Net_0"]["Conv_0"]["bias"]},
)

# Numpy arrays.
arrays = {
    "c": ramp(2, 3, 4).numpy(),
    "fortran": np.asfortranarray(ramp(3, 4).numpy()),
    "f16": ramp(5).numpy().astype("<f2"),
    "f64": ramp(5).numpy().astype("<f8"),
    "big_f4": ramp(5).numpy().astype(">f4"),
    "i64": np.arange(4),
    "scalar": np.array(2.5, dtype=np.float32),
    "flags": np.array([True, False]),
}
for protocol in (2, 3, 4, 5):
    data = pickle.dumps(arrays, protocol=protocol)
    write(f"numpy_protocol{protocol}.pkl", data, arrays)
    # The module was renamed in numpy 2; files of both are around.
    old, new = (b"numpy.core.", b"numpy._core.") if b"numpy._core." not in data else (b"numpy._core.", b"numpy.core.")
    if protocol < 4:
        write(f"numpy_renamed_protocol{protocol}.pkl", data.replace(old, new), arrays)

# safetensors.
save_file({key: value.clone() for key, value in plain.items()}, str(out / "all.safetensors"), metadata={"format": "pt"})
expected["all.safetensors"] = values(plain)

# ONNX.
onnx_raw = {"conv.weight": ramp(2, 3, 1, 1), "conv.bias": ramp(2)}
onnx_typed = {"float": ramp(2, 2), "double": ramp(3).double(), "half": ramp(4).half(), "brain": ramp(4).bfloat16()}


def model(initializers):
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])], initializers)
    return helper.make_model(graph)


shape_constant = numpy_helper.from_array(np.array([1, -1]), "shape")
raw = [numpy_helper.from_array(value.numpy(), key) for key, value in onnx_raw.items()]
write("raw.onnx", model([*raw, shape_constant]).SerializeToString(), onnx_raw)
codes = {torch.float32: TensorProto.FLOAT, torch.float64: TensorProto.DOUBLE, torch.float16: TensorProto.FLOAT16,
         torch.bfloat16: TensorProto.BFLOAT16}
typed = [
    helper.make_tensor(key, codes[value.dtype], list(value.shape), value.double().numpy().ravel().tolist())
    for key, value in onnx_typed.items()
]
write("typed.onnx", model(typed).SerializeToString(), onnx_typed)
external = TensorProto(name="elsewhere", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
external.external_data.add(key="location", value="weights.bin")
(out / "external.onnx").write_bytes(model([external]).SerializeToString())

# Files that must be refused, and a word that the refusal must contain.
refused = {"external.onnx": "elsewhere"}


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def refuse(name, data, word):
    (out / name).write_bytes(data)
    refused[name] = word


import builtins  # noqa: E402
import os  # noqa: E402

refuse("hostile_system.pkl", pickle.dumps({"w": Call(os.system, "true")}, protocol=4), os.system.__module__ + ".system")
refuse("hostile_eval.pkl", pickle.dumps({"w": Call(builtins.eval, "1")}, protocol=2), "__builtin__.eval")
refuse("hostile_zip.pth", saved({"w": Call(builtins.exec, "1")}), "builtin")
refuse("hostile_legacy.pth", saved({"w": Call(os.system, "true")}, _use_new_zipfile_serialization=False), ".system")
refuse("whole_model.pth", saved(torch.nn.Linear(2, 2)), "torch.nn.modules.linear.Linear")
refuse("structured.pkl", pickle.dumps({"w": np.zeros(2, dtype=[("x", "f4")])}), "V4")
refuse("objects.pkl", pickle.dumps({"w": np.array([None, {}], dtype=object)}), "O8")
refuse("compressed.pth", b"", "compressed")
with zipfile.ZipFile(out / "compressed.pth", "w", zipfile.ZIP_DEFLATED) as target:
    with zipfile.ZipFile(io.BytesIO(saved(floats))) as source:
        for name in source.namelist():
            target.writestr(name, source.read(name))

(out / "expected.json").write_text(json.dumps({"files": expected, "refused": refused}, separators=(",", ":")) + "\n")
print(f"{len(expected)} files, {sum(path.stat().st_size for path in out.iterdir())} bytes in {out}")
