"""A laboratory's ONNX file: operators on the list alone, no subgraph, function, chance or other file; sizes as they
vary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from forensic.errors import BadInput
from forensic.registry.engines.onnx_file import Refused
from forensic.registry.engines.protobuf import WireError
from forensic.registry.external import onnx_program
from forensic.registry.external.engine import make_engine
from forensic.registry.external.material import PROGRAM
from tests.external.networks import onnx_network

GOOD = onnx_network()


def _custom_set(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def _custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].domain = "com.example"


def _unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "RandomNormalLike"
    del model.graph.node[1].attribute[:]


def _branch(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([helper.make_node("Identity", ["a"], ["z"])], "inner", [], [])
    model.graph.node[1].attribute.append(helper.make_attribute("body", inner))


def _loop(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "If"


def _other_file(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    tensor.ClearField("raw_data")


def _other_file_in_a_constant(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="k", data_type=1, data_location=TensorProto.EXTERNAL)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["k"], value=tensor))


def _function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("com.example", "F", ["x"], ["y"], [], []))


def _training(model: onnx.ModelProto) -> None:
    model.training_info.add()


def _sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def _texts(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"x"]))


def _old_set(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 8


def _two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, "r", "c"]))


@pytest.mark.parametrize(
    "change",
    [_custom_set, _custom_operator, _unknown_operator, _branch, _loop, _other_file, _other_file_in_a_constant,
     _function, _training, _sparse, _texts, _old_set, _two_inputs],
)  # fmt: skip
def test_what_is_not_on_the_list_is_refused_before_the_engine_sees_it(change) -> None:
    with pytest.raises(BadInput) as caught:
        make_engine("onnxruntime", {PROGRAM: onnx_network(change=change)}, "the model")
    assert caught.value.code == "model.program-refused", caught.value


def _fixed_sides(model: onnx.ModelProto) -> None:
    for side, place in ((64, 2), (64, 3)):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_value = side


def _one_plane(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Resize", ["picture", "", "scales"], ["larger"], mode="linear"))


def _same_sides_gone(model: onnx.ModelProto) -> None:
    del model.graph.node[0].attribute[:]
    del model.graph.node[2].attribute[:]
    del model.graph.node[4:]
    model.graph.node[3].output[0] = "larger"


@pytest.mark.parametrize("change", [_fixed_sides, _one_plane, _same_sides_gone])
def test_what_does_not_enlarge_pictures_of_any_size_is_refused(change) -> None:
    with pytest.raises(BadInput) as caught:
        make_engine("onnxruntime", {PROGRAM: onnx_network(change=change)}, "the model")
    assert caught.value.code == "model.external-kind", caught.value


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_scale_and_parameters_are_found_by_trying(scale: int) -> None:
    engine = make_engine("onnxruntime", {PROGRAM: onnx_network(scale=scale)}, "the model")
    assert (engine.scale, engine.alignment, engine.noise) == (scale, 1, False)
    assert engine.parameters == 4 * 3 * 9 + 3 * scale * scale * 4 * 9 + 4


def _even_sides(model: onnx.ModelProto) -> None:
    """Folds two by two pixels first: sides must be even."""
    model.graph.node.insert(0, helper.make_node("SpaceToDepth", ["picture"], ["folded"], blocksize=2))
    model.graph.node.insert(1, helper.make_node("DepthToSpace", ["folded"], ["again"], blocksize=2))
    for node in list(model.graph.node)[2:]:
        node.input[0] = "again" if node.input[0] == "picture" else node.input[0]


def test_sides_that_must_be_multiples_of_something_are_found() -> None:
    engine = make_engine("onnxruntime", {PROGRAM: onnx_network(change=_even_sides)}, "the model")
    assert (engine.scale, engine.alignment) == (2, 2)


def _made(operator: str, size: list[int], *, in_node: bool = False) -> Callable[[onnx.ModelProto], None]:
    """What ``operator`` makes of a size in the file is added to the result, without effect on it but for memory."""

    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        if in_node:
            graph.node.insert(0, helper.make_node("Constant", [], ["size"], value_ints=size))
        else:
            graph.initializer.append(helper.make_tensor("size", TensorProto.INT64, [len(size)], size))
        graph.initializer.append(helper.make_tensor("nought", TensorProto.FLOAT, [1] * len(size), [0.0]))
        inputs = ["size"] if operator == "ConstantOfShape" else ["nought", "size"]
        graph.node.insert(1, helper.make_node(operator, inputs, ["many"]))
        graph.node.insert(2, helper.make_node("ReduceSum", ["many"], ["none"], keepdims=0))
        graph.node[-1].output[0] = "before"
        graph.node.append(helper.make_node("Add", ["before", "none"], ["larger"]))

    return change


@pytest.mark.parametrize("in_node", [False, True])
@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand", "Tile"])
def test_an_operator_that_makes_a_tensor_without_end_is_refused_before_the_engine_sees_it(operator, in_node) -> None:
    with pytest.raises(Refused, match=operator):
        onnx_program.read(onnx_network(change=_made(operator, [1 << 20, 1 << 20], in_node=in_node)))
    small = onnx_network(change=_made(operator, [4, 8], in_node=in_node))
    assert make_engine("onnxruntime", {PROGRAM: small}, "the model").scale == 2


def test_a_constant_that_says_it_is_larger_than_its_bytes_is_refused() -> None:
    def swollen(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims[0] = 1 << 40

    def many_sides(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims.extend([1] * 1000)

    for change, word in ((swollen, "says that it holds"), (many_sides, "sides")):
        with pytest.raises(Refused, match=word):
            onnx_program.read(onnx_network(change=change))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        onnx_program.read(data)
    except (Refused, WireError):
        pass
    else:
        raise AssertionError("accepted")


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(place: int, value: int) -> None:
    changed = GOOD[:place] + bytes([value]) + GOOD[place + 1 :]
    with contextlib.suppress(Refused, WireError):
        onnx_program.read(changed)
