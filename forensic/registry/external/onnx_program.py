"""What a laboratory's ONNX file may hold: a longer list than for models of this program, and still a list.

The file is read by ourselves and held against it before ONNX Runtime sees a byte. Allowed are one graph of the
operators in :data:`OPERATORS` from the standard set, each a function of its inputs alone, with numbers inside the file.
Everything else is refused because it is not on the list: other operator sets (custom operators), control flow and other
subgraphs, functions, operators that draw random numbers, numbers in other files, sparse tensors, strings as data,
training information. A constant holds no more numbers than there are bytes for; where a size of something is made
(``ConstantOfShape``, ``Expand``, ``Tile``) from a constant, that is bounded. Sizes that are computed from others are
not: what a network needs in memory is found by trying it, and not before. Field numbers are those of ``onnx.proto``
(ONNX 1.23, https://github.com/onnx/onnx).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from forensic.registry.engines.onnx_file import Refused
from forensic.registry.engines.protobuf import Value, content, fields, integer, packed, text

OPERATORS = frozenset(
    {
        # arithmetic, element by element
        "Abs", "Add", "Ceil", "Clip", "Cos", "Div", "Erf", "Exp", "Floor", "Log", "Max", "Mean", "Min", "Mod", "Mul",
        "Neg", "Pow", "Reciprocal", "Round", "Sign", "Sin", "Sqrt", "Sub", "Sum",
        # activations
        "Celu", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "LogSoftmax", "Mish", "PRelu", "Relu", "Selu",
        "Sigmoid", "Softmax", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu",
        # layers
        "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Einsum", "Gemm", "GlobalAveragePool",
        "GlobalMaxPool", "GridSample", "GroupNormalization", "InstanceNormalization", "LayerNormalization",
        "LpNormalization", "MatMul", "MaxPool", "Resize", "RMSNormalization", "Upsample",
        # sums and extremes along axes
        "CumSum", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
        "ReduceSumSquare",
        # places
        "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "Pad",
        "Reshape", "ScatterElements", "ScatterND", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose",
        "Trilu", "Unsqueeze",
        # numbers that shapes are computed with
        "And", "Cast", "CastLike", "Constant", "ConstantOfShape", "Equal", "Greater", "GreaterOrEqual", "Less",
        "LessOrEqual", "Not", "Or", "Range", "Shape", "Size", "Where",
    }
)  # fmt: skip
OPSETS = range(9, 25)
#: Operators that make something of a size which an input says, and the number of that input.
_SIZED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
#: Numbers that such an operator may make of a size that stands in the file (of ``Tile``: how often it repeats).
MOST_MADE = 1 << 26
_MOST_AXES = 16
_INT64 = 7
_STANDARD = ("", "ai.onnx")
_MODEL = {
    1: "ir_version", 2: "producer_name", 3: "producer_version", 4: "domain", 5: "model_version", 6: "doc_string",
    7: "graph", 8: "opset_import", 14: "metadata_props",
}  # fmt: skip
_GRAPH = {
    1: "node", 2: "name", 5: "initializer", 10: "doc_string", 11: "input", 12: "output", 13: "value_info",
    16: "metadata_props",
}  # fmt: skip
_NODE = {
    1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute", 6: "doc_string", 7: "domain", 8: "overload",
    9: "metadata_props",
}  # fmt: skip
#: No graph (6, 11), sparse tensor (22, 23), type (14, 15) or reference to an attribute of a function (21).
_ATTRIBUTE = {
    1: "name", 2: "f", 3: "i", 4: "s", 5: "t", 7: "floats", 8: "ints", 9: "strings", 10: "tensors", 13: "doc_string",
    20: "type",
}  # fmt: skip
#: No segment (3), strings (6) or numbers in another file (13).
_TENSOR = {
    1: "dims", 2: "data_type", 4: "float_data", 5: "int32_data", 7: "int64_data", 8: "name", 9: "raw_data",
    10: "double_data", 11: "uint64_data", 12: "doc_string", 14: "data_location", 16: "metadata_props",
}  # fmt: skip
_OPSET = {1: "domain", 2: "version"}
_VALUE = {1: "name", 2: "type", 3: "doc_string", 4: "metadata_props"}
#: float, integers of 8 to 64 bits, bool, half, double, bfloat16.
_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16}
_ONCE = {"data_type", "data_location", "domain", "graph", "name", "op_type", "raw_data", "type", "version"}


@dataclass(frozen=True)
class OnnxProgram:
    """A file that passed: names of its one input and one output, and how many numbers its constants hold."""

    given: str
    made: str
    parameters: int


def read(data: bytes) -> OnnxProgram:
    """Read a file. Raises :class:`Refused`, and ``WireError`` for what is not ONNX at all."""
    model = _message(data, _MODEL, "model")
    if "graph" not in model:
        raise Refused("it has no graph")
    sets = [_message(content(value), _OPSET, "operator set") for value in model.get("opset_import", [])]
    if len(sets) != 1 or any(text(name) not in _STANDARD for name in sets[0].get("domain", [])):
        raise Refused("its operators are not those of the standard set (ai.onnx) alone")
    version = integer(sets[0].get("version", [0])[0])
    if version not in OPSETS:
        raise Refused(f"its operator set is version {version}, not one of {OPSETS[0]} to {OPSETS[-1]}")
    graph = _message(content(model["graph"][0]), _GRAPH, "graph")
    nodes = [_checked_node(content(node)) for node in graph.get("node", [])]
    constants, sizes = {}, dict[str, tuple[int, ...]]()
    for value in graph.get("initializer", []):
        name, count, listed = _constant(content(value))
        constants[name] = count
        if listed is not None:
            sizes[name] = listed
    for node in nodes:
        if node.operator == "Constant" and node.size is not None and node.outputs:
            sizes[node.outputs[0]] = node.size
    for node in nodes:
        place = _SIZED.get(node.operator)
        size = sizes.get(node.inputs[place], ()) if place is not None and place < len(node.inputs) else ()
        if prod(max(side, 1) for side in size) > MOST_MADE:
            raise Refused(f"operator {node.operator} makes more than {MOST_MADE} numbers, of a size in the file")
    ends = {}
    for end in ("input", "output"):
        names = [text(_message(content(value), _VALUE, end).get("name", [b""])[0]) for value in graph.get(end, [])]
        names = [name for name in names if name not in constants]  # older files list constants as inputs too
        if len(names) != 1:
            raise Refused(f"it must have one {end} and has {len(names)}")
        ends[end] = names[0]
    return OnnxProgram(ends["input"], ends["output"], sum(constants.values()))


@dataclass(frozen=True)
class _Node:
    operator: str
    inputs: list[str]
    outputs: list[str]
    size: tuple[int, ...] | None  # of a Constant: its numbers, where they can be a size


def _checked_node(data: bytes) -> _Node:
    node = _message(data, _NODE, "node")
    operator = text(node.get("op_type", [b""])[0])
    size: tuple[int, ...] | None = None
    if any(text(name) not in _STANDARD for name in node.get("domain", [])):
        raise Refused(f"operator {operator[:100]!r} is not of the standard set")
    if operator not in OPERATORS:
        raise Refused(f"operator {operator[:100]!r} is not allowed")
    for value in node.get("attribute", []):
        attribute = _message(content(value), _ATTRIBUTE, f"setting of {operator}")
        for tensor in (*attribute.get("t", []), *attribute.get("tensors", [])):
            _, _, listed = _constant(content(tensor))
            size = listed if listed is not None else size
        whole = [number for one in (*attribute.get("ints", []), *attribute.get("i", [])) for number in packed(one)]
        if operator == "Constant" and 0 < len(whole) <= _MOST_AXES:  # value_ints, value_int
            size = tuple(whole)
    inputs, outputs = ([text(name) for name in node.get(end, [])] for end in ("input", "output"))
    return _Node(operator, inputs, outputs, size)


def _constant(data: bytes) -> tuple[str, int, tuple[int, ...] | None]:
    """Name of a constant, how many numbers it holds, and which they are if they can be the sides of something."""
    parts = _message(data, _TENSOR, "constant")
    name = text(parts.get("name", [b""])[0])
    kind = integer(parts.get("data_type", [0])[0])
    if kind not in _TYPES:
        raise Refused(f"constant {name[:100]!r} is of a type that is not allowed ({kind})")
    if any(integer(place) != 0 for place in parts.get("data_location", [])):
        raise Refused(f"constant {name[:100]!r} lies in another file")
    shape = tuple(number for value in parts.get("dims", []) for number in packed(value))
    if len(shape) > _MOST_AXES:
        raise Refused(f"constant {name[:100]!r} has {len(shape)} sides")
    if any(side < 0 for side in shape):
        raise Refused(f"constant {name[:100]!r} has a negative side")
    count = prod(shape)
    if count > len(data):
        raise Refused(f"constant {name[:100]!r} says that it holds {count} numbers, in {len(data)} bytes")
    return name, count, _listed(parts) if kind == _INT64 and count <= _MOST_AXES else None


def _listed(parts: Mapping[str, list[Value]]) -> tuple[int, ...]:
    """The numbers of a constant of integers of 64 bits."""
    raw = content(parts["raw_data"][0]) if "raw_data" in parts else b""
    found = struct.unpack(f"<{len(raw) // 8}q", raw[: len(raw) // 8 * 8])
    return (*found, *(number for value in parts.get("int64_data", []) for number in packed(value)))


def _message(data: bytes, known: Mapping[int, str], what: str) -> dict[str, list[Value]]:
    parts: dict[str, list[Value]] = {}
    for number, value in fields(data):
        if number not in known:
            raise Refused(f"a {what} has field {number}, which is not allowed")
        parts.setdefault(known[number], []).append(value)
    for name in _ONCE & parts.keys():
        if len(parts[name]) > 1:
            raise Refused(f"a {what} says its {name} twice")
    return parts
