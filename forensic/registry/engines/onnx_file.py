"""What an ONNX file holds, read by ourselves and held against a short list before any engine sees it.

An ONNX file is a program. It may hold only what an enlarging network needs: one graph of the operators in
:data:`OPERATORS` from the standard set, with its numbers inside the file. Everything else that the format
knows is refused because it is not on the list: other operator sets (custom operators), control flow and
other subgraphs, functions, numbers in other files, sparse tensors, strings, metadata. Field numbers are
those of ``onnx.proto`` (ONNX 1.23, https://github.com/onnx/onnx).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from forensic.registry.engines.protobuf import Value, content, fields, integer, packed, text

#: Operators of the set ``ai.onnx``: each a pure function of its inputs, none with a state, a file or a subgraph.
OPERATORS = frozenset(
    {
        "Add", "Conv", "DepthToSpace", "DequantizeLinear", "LayerNormalization", "Mul", "QuantizeLinear", "Slice",
        "SpaceToDepth", "Split", "Transpose",
    }
)  # fmt: skip
OPSET = 21
INPUT, OUTPUT = "luma", "enlarged"
#: On processors without VNNI the kernel adds two products of u8 and s8 into 16 bits, which saturate:
#: 2 * 255 * 64 = 32640 still fits. So within this range every x86 kernel computes the same integers.
LARGEST_INT8 = 64

_TYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8"}
_MODEL = {1: "ir_version", 2: "producer_name", 3: "producer_version", 7: "graph", 8: "opset_import"}
_GRAPH = {1: "node", 2: "name", 5: "initializer", 11: "input", 12: "output"}
_NODE = {1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute"}
_ATTRIBUTE = {1: "name", 2: "f", 3: "i", 8: "ints", 20: "type"}
_TENSOR = {1: "dims", 2: "data_type", 8: "name", 9: "raw_data"}
_OPSET = {1: "domain", 2: "version"}
_VALUE = {1: "name", 2: "type"}
#: Padding would put zeros where the recording has no pixels; steps and gaps would shift or thin what is looked at.
_CONVOLUTION = {"pads": 0, "strides": 1, "dilations": 1}
_ONCE = {"data_type", "f", "i", "name", "op_type", "raw_data", "type"}  # of two, a parser may take either


class Refused(ValueError):
    """The file is ONNX and holds something that is not on the list."""


@dataclass(frozen=True)
class Node:
    """One operator: the names of what it reads and makes, and its integer attributes."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class OnnxFile:
    """Operators and constant arrays of a file that passed."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]

    @property
    def precision(self) -> str:
        """``int8`` if an array of weights is of 8-bit integers, else ``float32``."""
        weights = [array for array in self.constants.values() if array.ndim > 1]
        return "int8" if any(array.dtype == np.int8 for array in weights) else "float32"

    @property
    def parameters(self) -> int:
        """Numbers in weights and biases of the convolutions."""
        stored = {node.outputs[0]: node.inputs[0] for node in self.nodes if node.operator == "DequantizeLinear"}
        names = {stored.get(name, name) for node in self.nodes if node.operator == "Conv" for name in node.inputs[1:]}
        return sum(self.constants[name].size for name in names if name in self.constants)

    def block(self, operator: str) -> int:
        """Product of the block sizes of all nodes of ``operator``: SpaceToDepth or DepthToSpace."""
        return prod(node.attributes.get("blocksize", (0,))[0] for node in self.nodes if node.operator == operator)


def read(data: bytes) -> OnnxFile:
    """Read a file. Raises :class:`Refused`, and :class:`WireError` for what is not ONNX at all."""
    graph, sets = None, []
    for name, value in _known(data, _MODEL, "model"):
        if name == "graph":
            if graph is not None:
                raise Refused("it has two graphs")
            graph = content(value)
        elif name == "opset_import":
            sets.append(content(value))
    if graph is None or len(sets) != 1:
        raise Refused("it has no graph, or not one operator set")
    found = _message(sets[0], _OPSET, "operator set")
    if any(text(name) not in ("", "ai.onnx") for name in found.get("domain", [])):
        raise Refused("its operators are not those of the standard set (ai.onnx)")
    if [integer(version) for version in found.get("version", [])] != [OPSET]:
        raise Refused(f"its operator set is not version {OPSET}")
    return _graph(graph)


def _graph(data: bytes) -> OnnxFile:
    parts = _message(data, _GRAPH, "graph")
    nodes = tuple(_node(content(value)) for value in parts.get("node", []))
    constants = dict(_tensor(content(value)) for value in parts.get("initializer", []))
    if len(constants) != len(parts.get("initializer", [])):
        raise Refused("two constants have one name")
    for end, name in (("input", INPUT), ("output", OUTPUT)):
        names = [_message(content(value), _VALUE, end).get("name") for value in parts.get(end, [])]
        if names != [[name.encode()]]:
            raise Refused(f"it must have one {end}, {name!r}")
    return OnnxFile(nodes, constants)


def _node(data: bytes) -> Node:
    parts = _message(data, _NODE, "node")
    operator = text(parts.get("op_type", [b""])[0])
    if operator not in OPERATORS:
        raise Refused(f"operator {operator!r} is not allowed")
    given = [_attribute(content(value)) for value in parts.get("attribute", [])]
    attributes = dict(given)
    if len(attributes) != len(given):
        raise Refused(f"a node ({operator}) says an attribute twice")
    for name, only in _CONVOLUTION.items():
        if operator == "Conv" and any(value != only for value in attributes.get(name, ())):
            raise Refused(f"a convolution has {name} other than {only}")
    inputs, outputs = (tuple(text(name) for name in parts.get(end, [])) for end in ("input", "output"))
    return Node(operator, inputs, outputs, attributes)


def _attribute(data: bytes) -> tuple[str, tuple[int, ...]]:
    parts = _message(data, _ATTRIBUTE, "attribute")
    values = [number for key in ("i", "ints") for value in parts.get(key, []) for number in packed(value)]
    return text(parts.get("name", [b""])[0]), tuple(values)


def _tensor(data: bytes) -> tuple[str, np.ndarray]:
    parts = _message(data, _TENSOR, "constant")
    name = text(parts.get("name", [b""])[0])
    kind = integer(parts.get("data_type", [0])[0])
    if kind not in _TYPES:
        raise Refused(f"constant {name!r} is of a type that is not allowed ({kind})")
    shape = tuple(number for value in parts.get("dims", []) for number in packed(value))
    raw, dtype = content(parts.get("raw_data", [b""])[0]), np.dtype(_TYPES[kind])
    if any(side < 1 for side in shape) or len(raw) != prod(shape) * dtype.itemsize:
        raise Refused(f"constant {name!r} has {len(raw)} bytes, which are not its {shape} numbers")
    array = np.frombuffer(raw, dtype).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise Refused(f"constant {name!r} holds a number that is not finite")
    if dtype == np.uint8 and array.ndim > 1:
        raise Refused(f"constant {name!r} is of unsigned weights")
    if dtype == np.int8 and (array.max() > LARGEST_INT8 or array.min() < -LARGEST_INT8):
        raise Refused(
            f"constant {name!r} exceeds {LARGEST_INT8}: on processors without VNNI sums would saturate, "
            "and pixels depend on the processor"
        )
    return name, array


def _known(data: bytes, known: Mapping[int, str], what: str) -> list[tuple[str, Value]]:
    found = []
    for number, value in fields(data):
        if number not in known:
            raise Refused(f"a {what} has field {number}, which is not allowed")
        found.append((known[number], value))
    return found


def _message(data: bytes, known: Mapping[int, str], what: str) -> dict[str, list[Value]]:
    parts: dict[str, list[Value]] = {}
    for name, value in _known(data, known, what):
        parts.setdefault(name, []).append(value)
    for name in _ONCE & parts.keys():
        if len(parts[name]) > 1:
            raise Refused(f"a {what} says its {name} twice")
    return parts
