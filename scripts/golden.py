#!/usr/bin/env python3
"""Makes the golden files of the zoo: what PyTorch computes at every node of every architecture.

    pip install torch==2.11.0 torchvision==0.26.0 numpy safetensors
    python scripts/golden.py              # all architectures, some minutes on two cores
    python scripts/golden.py resnet18     # some of them

The reference is torchvision's model, in evaluation mode, on one image of the architecture's native size (LeNet-5, which
torchvision does not have, is written out below). Neither trained weights nor a real image are needed: both come from the
rule of `uniform`, which the Rust side has too (`--weights random:0`).

tests/golden/zoo/NAME.safetensors
---------------------------------
Metadata, one key `golden`, JSON:

    architecture    name
    input           [C, H, W]
    nodes           [[name, shape], ...]  one per row of the tensor `nodes`, in execution order, `x` first
    modules         [[path, shape], ...]  one per row of the tensor `modules`; composite modules, in the order they return
    parameters      [[key, shape], ...]   one per row of the tensor `parameters`; the state dict without the counters
                                          `num_batches_tracked`, in its own order
    parameter_count number of learnable scalars
    multiply_adds   multiply-adds of convolutions and linear layers for the input
    published       null, or {"num_params", "gflops", "top1", "top5"} from torchvision's metadata of its first ImageNet
                    weights (`gflops` are 10^9 multiply-adds there; accuracies in percent)
    versions        {"torch", "torchvision"}

Shapes are without the batch dimension. Tensors, all f32:

    nodes, modules  rows x 21: mean, standard deviation (of the population), minimum, maximum, largest magnitude, and 16
                    samples; sample j is element floor(elements * (2 j + 1) / 32) of the value in row-major order.
                    Statistics are computed in f64.
    parameters      rows x 4: sample j is element floor(elements * (2 j + 1) / 8) of the parameter.

Names are those of torchvision's `get_graph_node_names`, but traced into the composites that it takes for leaves
(Conv2dNormActivation), whose paths are then among the modules. A value is recorded when it is computed: later in-place
operations (`out += identity`, `relu(inplace=True)`), which change what torchvision's feature extraction returns for their
inputs, do not matter.
"""

import argparse
import json
import math
from pathlib import Path

import numpy
import torch
import torchvision
from safetensors.numpy import save_file
from torch import fx, nn
from torch.nn import functional
from torchvision.models.feature_extraction import NodePathTracer, get_graph_node_names

SEED = 0
STEP = 0x9E3779B97F4A7C15
MASK = 2**64 - 1
TORCHVISION = """
    alexnet
    vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn
    resnet18 resnet34 resnet50 resnet101 resnet152
    resnext50_32x4d resnext101_32x8d wide_resnet50_2 wide_resnet101_2
    squeezenet1_0 squeezenet1_1
    mobilenet_v2
    densenet121 densenet161 densenet169 densenet201
""".split()


class LeNet5(nn.Module):
    """LeNet-5 as it is commonly built today; input 1 x 32 x 32."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.conv3 = nn.Conv2d(16, 120, 5)
        self.fc1 = nn.Linear(120, 84)
        self.fc2 = nn.Linear(84, 10)

    def forward(self, x):
        x = functional.avg_pool2d(torch.tanh(self.conv1(x)), 2)
        x = functional.avg_pool2d(torch.tanh(self.conv2(x)), 2)
        x = torch.tanh(self.conv3(x))
        x = torch.flatten(x, 1)
        x = torch.tanh(self.fc1(x))
        return self.fc2(x)


def uniform(key, count):
    """`count` numbers in [0, 1), f64, that depend on the key and the seed alone.

    The FNV-1a hash of the key, mixed with the seed, starts a splitmix64 sequence; the upper 24 bits of each of its numbers
    are kept.
    """
    state = 0xCBF29CE484222325
    for byte in key.encode():
        state = (state ^ byte) * 0x100000001B3 & MASK
    state ^= SEED * STEP & MASK
    numbers = numpy.empty(count)
    piece = 1 << 20
    for start in range(0, count, piece):
        stop = min(start + piece, count)
        z = numpy.arange(start + 1, stop + 1, dtype=numpy.uint64)  # wraps around, as it should
        z *= numpy.uint64(STEP)
        z += numpy.uint64(state)
        z ^= z >> numpy.uint64(30)
        z *= numpy.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> numpy.uint64(27)
        z *= numpy.uint64(0x94D049BB133111EB)
        z ^= z >> numpy.uint64(31)
        numbers[start:stop] = (z >> numpy.uint64(40)) / 2.0**24
    return numbers


def parameter(module, key, shape):
    """The value of a parameter or running statistic, f32.

    Weights keep the second moment of the activations about constant through a convolution and its rectifier (He et al.,
    arXiv:1502.01852); normalisations are near, but not at, the identity.
    """
    u = uniform(key, math.prod(shape))
    kind = key.rsplit(".")[-1]
    if isinstance(module, nn.BatchNorm2d):
        # A scale below 1 keeps deep residual networks from growing, so that an error of a shift is seen in every layer.
        values = {"weight": 0.5 + 0.5 * u, "running_var": 0.75 + 0.5 * u}.get(kind, (2 * u - 1) * 0.2)
    elif isinstance(module, (nn.Conv2d, nn.Linear)):
        values = (2 * u - 1) * (math.sqrt(6 / math.prod(shape[1:])) if kind == "weight" else 0.1)
    else:
        raise TypeError(f"no rule for {key} of a {type(module).__name__}")
    return torch.from_numpy(values.astype(numpy.float32).reshape(shape))


def fill(model):
    """Gives every parameter its value by the rule; returns {key: tensor} in the order of the state dict."""
    state = {}
    for key, old in model.state_dict().items():
        if not key.endswith(".num_batches_tracked"):
            state[key] = parameter(model.get_submodule(key.rsplit(".", 1)[0]), key, tuple(old.shape))
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(key.endswith(".num_batches_tracked") for key in missing)
    return state


def samples(values, count):
    elements = len(values)
    return [float(values[elements * (2 * j + 1) // (2 * count)]) for j in range(count)]


def summary(value):
    """Shape without the batch dimension, and the 21 numbers of a row."""
    assert value.shape[0] == 1 and torch.isfinite(value).all()
    flat = value.detach().reshape(-1).double()
    low, high = flat.min().item(), flat.max().item()
    statistics = [flat.mean().item(), flat.std(correction=0).item(), low, high, max(abs(low), abs(high))]
    return list(value.shape[1:]), statistics + samples(flat, 16)


class Recorder(fx.Interpreter):
    """Runs a traced model and summarises every value as soon as it is there."""

    def __init__(self, traced, names):
        super().__init__(traced)
        self.names = names
        self.rows = {}

    def run_node(self, node):
        value = super().run_node(node)
        if node.op != "output":
            self.rows[self.names[node]] = summary(value)
        return value


def trace(model):
    """The model as a graph that goes down to PyTorch's own modules and functions, and the name of each of its nodes."""
    tracer = NodePathTracer(autowrap_modules=(math,), leaf_modules=[])
    traced = fx.GraphModule(model, tracer.trace(model))
    return traced, dict(tracer.node_to_qualname)


def run_traced(model, image):
    """{node name: summary}, in execution order."""
    traced, names = trace(model)
    recorder = Recorder(traced, names)
    recorder.run(image)
    return recorder.rows


def run_modules(model, image):
    """What each module returns when it is first called, and the multiply-adds of its convolutions and linear layers."""
    rows, multiply_adds = {}, 0

    def hook(path):
        def record(module, inputs, output):
            nonlocal multiply_adds
            rows.setdefault(path, summary(output))
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                multiply_adds += output.numel() * math.prod(module.weight.shape[1:])

        return record

    for path, module in model.named_modules():
        if path:
            module.register_forward_hook(hook(path))
    model(image)
    return rows, multiply_adds


def table(rows, width):
    return numpy.array(list(rows), dtype=numpy.float32).reshape(-1, width)


def golden(name):
    """Metadata and tensors of one architecture."""
    size = [1, 32, 32] if name == "lenet5" else [3, 224, 224]
    model = LeNet5() if name == "lenet5" else torchvision.models.get_model(name)
    listed = get_graph_node_names(model)[1]
    model.eval()
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    state = fill(model)
    image = torch.from_numpy((uniform("input", math.prod(size)) * 2 - 1) * 2).float().reshape(1, *size)

    nodes = run_traced(model, image)
    modules, multiply_adds = run_modules(model, image)

    # A model traced and the same model called must agree, and no name of torchvision's may be left out.
    for path, row in modules.items():
        assert path not in nodes or nodes[path] == row, f"{name}: {path} differs between two runs"
    modules = {path: row for path, row in modules.items() if path not in nodes}
    for path in listed:
        assert path in nodes or path in modules, f"{name}: {path} is neither a node nor a module"

    published = None
    if name != "lenet5":
        meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
        accuracy = meta["_metrics"]["ImageNet-1K"]
        published = {
            "num_params": meta["num_params"],
            "gflops": meta["_ops"],
            "top1": accuracy["acc@1"],
            "top5": accuracy["acc@5"],
        }
    metadata = {
        "architecture": name,
        "input": size,
        "nodes": [[node, shape] for node, (shape, _) in nodes.items()],
        "modules": [[path, shape] for path, (shape, _) in modules.items()],
        "parameters": [[key, list(value.shape)] for key, value in state.items()],
        "parameter_count": sum(value.numel() for value in model.parameters()),
        "multiply_adds": multiply_adds,
        "published": published,
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
    }
    tensors = {
        "nodes": table((row for _, row in nodes.values()), 21),
        "modules": table((row for _, row in modules.values()), 21),
        "parameters": table((samples(value.reshape(-1), 4) for value in state.values()), 4),
    }
    return metadata, tensors


def main():
    parser = argparse.ArgumentParser(description="Makes the golden files of the zoo.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="architectures (default: all)")
    default = Path(__file__).resolve().parent.parent / "tests" / "golden" / "zoo"
    parser.add_argument("--out", type=Path, default=default, help="folder to write to (default: tests/golden/zoo)")
    arguments = parser.parse_args()
    known = ["lenet5", *TORCHVISION]
    for name in arguments.names:
        if name not in known:
            parser.error(f"no architecture {name}; there are {', '.join(known)}")

    torch.set_num_threads(2)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or known:
        with torch.no_grad():
            metadata, tensors = golden(name)
        # One key, because the file format does not keep several in order, and the files should be reproducible.
        text = json.dumps(metadata, separators=(",", ":"))
        save_file(tensors, arguments.out / f"{name}.safetensors", {"golden": text})
        largest = tensors["nodes"][:, 4]
        print(f"{name}: {len(largest)} nodes, largest magnitudes {largest.min():.3g} to {largest.max():.3g}", flush=True)


if __name__ == "__main__":
    main()
