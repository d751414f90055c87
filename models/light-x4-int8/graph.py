"""light-x4 as an ONNX graph of a dozen operators, in float32: the same function, written for quantisation.

What is constant is folded: the zero sum of the first layer's filters, the unit of 32 grey levels, scale and
offset of every layer normalisation (into the convolution after it, which is unpadded, so this is exact), the
gain of every block, and cubic enlargement as one 3 x 3 convolution on the folded grid. The network's answer to
an empty plane is taken from the bias of that cubic convolution, which stays in float32. Channels lie last
between the first layer and the last, as normalisation and the integer kernels want them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from forensic.registry.architectures.luma_residual.network import cubic_kernels
from forensic.registry.architectures.nafnet.network import NafNet
from forensic.registry.engines.onnx_file import INPUT, OPSET, OUTPUT

GREY_LEVELS = 32.0  # the network's own unit
NORMALISING_EPSILON = 1e-6
CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
#: Nodes that stay in float32: the first layer, cubic enlargement, their sum.
KEPT_FLOAT = ("head", "cubic", "sum")
CUBIC_BIAS = "cubic.bias"


@dataclass
class Graph:
    """Nodes and constants as they are added."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def add(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """Add a node, named after its first output, which is returned."""
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        """Add an array; returns its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def convolution(self, inputs: str, name: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """An unpadded convolution with its own constants."""
        return self.add(
            "Conv", [inputs, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)], [name]
        )


def folded_cubic(scale: int, fold: int) -> np.ndarray:
    """Cubic enlargement as weights [(scale*fold)**2, fold**2, 3, 3] on a grid of ``fold`` x ``fold`` pixels."""
    kernels, side = cubic_kernels(scale).numpy(), scale * fold
    reach = kernels.shape[-1] // 2
    weights = np.zeros((side, side, fold * fold, 3, 3), np.float32)
    for y, x in np.ndindex(fold, fold):  # pixel of the place
        for down, right in np.ndindex(kernels.shape[-2:]):
            (place_y, pixel_y), (place_x, pixel_x) = (
                divmod(own + step - reach, fold) for own, step in ((y, down), (x, right))
            )
            for row, column in np.ndindex(scale, scale):
                weights[y * scale + row, x * scale + column, pixel_y * fold + pixel_x, place_y + 1, place_x + 1] += (
                    kernels[row * scale + column, 0, down, right]
                )
    return weights.reshape(side * side, fold * fold, 3, 3)


def build(network: NafNet, bias: np.ndarray | None = None) -> onnx.ModelProto:
    """The graph of a network of fused blocks. ``bias``, grey levels, is that of the cubic convolution (0 if None)."""
    weights = {name: value.numpy().astype(np.float64) for name, value in network.state_dict().items()}
    graph, fold, enlarged = Graph(), network.fold, network.scale * network.fold
    width, blocks = weights["head.weight"].shape[0], len(network.blocks)
    head = weights["head.weight"]
    zero_sum = (head - head.mean(axis=(1, 2, 3), keepdims=True)) / GREY_LEVELS
    folded = graph.add("SpaceToDepth", [INPUT], ["folded"], blocksize=fold)
    stream = graph.convolution(folded, "head", zero_sum, weights["head.bias"])
    stream = graph.add("Transpose", [stream], ["stream"], perm=CHANNELS_LAST)
    graph.constant("ones", np.ones(width))
    graph.constant("zeros", np.zeros(width))
    graph.constant("first", [1, 1], np.int64)
    graph.constant("last", [-1, -1], np.int64)
    graph.constant("sides", [1, 2], np.int64)
    for number in range(blocks):
        stream = _block(graph, f"blocks.{number}", weights, stream)
    stream = graph.add("Transpose", [stream], ["final"], perm=CHANNELS_FIRST)
    tail = graph.convolution(stream, "tail", weights["tail.weight"] * GREY_LEVELS, weights["tail.bias"] * GREY_LEVELS)
    graph.constant("cubic.first", [blocks + 1] * 2, np.int64)
    graph.constant("cubic.last", [-blocks - 1] * 2, np.int64)
    graph.constant("cubic.sides", [2, 3], np.int64)
    core = graph.add("Slice", [folded, "cubic.first", "cubic.last", "cubic.sides"], ["core"])
    bias = np.zeros(enlarged**2, np.float32) if bias is None else bias
    graph.constant("cubic.weight", folded_cubic(network.scale, fold))
    graph.constant(CUBIC_BIAS, bias)
    cubic = graph.add("Conv", [core, "cubic.weight", CUBIC_BIAS], ["cubic"])
    graph.add("DepthToSpace", [graph.add("Add", [tail, cubic], ["sum"])], [OUTPUT], blocksize=enlarged)
    return packed(graph.nodes, graph.constants)


def _block(graph: Graph, name: str, weights: dict[str, np.ndarray], stream: str) -> str:
    """One fused block: normalise, widen, gate, mix, add to the middle of what came in."""
    scale, offset = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
    widen, gain = weights[f"{name}.widen.weight"], weights[f"{name}.gain"].ravel()
    bias = weights[f"{name}.widen.bias"] + (widen * offset[:, None, None]).sum(axis=(1, 2, 3))
    step = graph.add(
        "LayerNormalization", [stream, "ones", "zeros"], [f"{name}.norm"], axis=-1, epsilon=NORMALISING_EPSILON
    )
    step = graph.add("Transpose", [step], [f"{name}.planes"], perm=CHANNELS_FIRST)
    step = graph.convolution(step, f"{name}.widen", widen * scale[:, None, None], bias)
    graph.add("Split", [step], [f"{name}.left", f"{name}.right"], axis=1, num_outputs=2)
    step = graph.add("Mul", [f"{name}.left", f"{name}.right"], [f"{name}.gate"])
    mix, mix_bias = weights[f"{name}.mix.weight"] * gain[:, None, None, None], weights[f"{name}.mix.bias"] * gain
    step = graph.add("Transpose", [graph.convolution(step, f"{name}.mix", mix, mix_bias)], [f"{name}.step"],
                     perm=CHANNELS_LAST)  # fmt: skip
    middle = graph.add("Slice", [stream, "first", "last", "sides"], [f"{name}.middle"])
    return graph.add("Add", [middle, step], [f"{name}.sum"])


def packed(nodes: Any, constants: Any) -> onnx.ModelProto:
    """A model with nothing in it but ``nodes`` and ``constants`` (raw, in the file), one plane in and one out."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, f"{name}_height", f"{name}_width"])
        for name in (INPUT, OUTPUT)
    ]
    constants = [numpy_helper.from_array(numpy_helper.to_array(each), each.name) for each in constants]
    graph = helper.make_graph(list(nodes), "nafnet", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
