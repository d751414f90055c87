"""ONNX files: what is on the list is computed, alike whatever the workers; everything else is refused with a code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from forensic.case.environment import environment, platform_key
from forensic.errors import BadInput, ForensicError, PolicyRefused, UsageError
from forensic.registry.cards import load_card
from forensic.registry.engines import onnx_file, onnx_runtime
from forensic.registry.engines.protobuf import WireError
from forensic.registry.loading import LoadedModel, determinism_facts, load_model, require_engine

from .conftest import ModelMaker

SCALE = 2
Change = Callable[[onnx.ModelProto], None]


def program(*, integers: bool = True, seed: int = 1) -> onnx.ModelProto:
    """Folds 2 x 2 pixels, convolves (in 8-bit integers, or in float32), unfolds 4 x 4: enlarges twice."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-64, 65, (16, 4, 3, 3))
    constants: list[tuple[str, np.ndarray]]
    nodes = [helper.make_node("SpaceToDepth", ["luma"], ["folded"], blocksize=2)]
    if integers:
        constants = [
            ("unit", np.array(1.0, np.float32)), ("level", np.array(0, np.uint8)),
            ("weights", weights.astype(np.int8)), ("steps", np.full(16, 1e-3, np.float32)),
            ("nought", np.zeros(16, np.int8)),
        ]  # fmt: skip
        nodes += [
            helper.make_node("QuantizeLinear", ["folded", "unit", "level"], ["codes"]),
            helper.make_node("DequantizeLinear", ["codes", "unit", "level"], ["values"]),
            helper.make_node("DequantizeLinear", ["weights", "steps", "nought"], ["filters"], axis=0),
        ]
    else:
        constants = [("filters", (weights * 1e-3).astype(np.float32))]
    nodes += [
        helper.make_node("Conv", ["values" if integers else "folded", "filters"], ["correction"]),
        helper.make_node("DepthToSpace", ["correction"], ["enlarged"], blocksize=4),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("luma", "enlarged")]
    arrays = [numpy_helper.from_array(array, name) for name, array in constants]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], arrays)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return made


ORIGIN = f'[quantised_from]\nid = "tiny-x4"\nversion = "1.0.0"\nweights_sha256 = "{"0" * 64}"\n'


def make(models: ModelMaker, data: bytes, *, precision: str = "int8", **changes: Any) -> Path:
    """A model folder with an ONNX file; what the card says is true unless changed."""
    facts = {"file": "network.onnx", "scale": SCALE, "parameters": 16 * 4 * 9, "radius": 3, **changes}
    folder = models.make("tiny-onnx", data=data, **facts)
    (folder / "weights.safetensors").rename(folder / "network.onnx")
    card = (folder / "card.toml").read_text().replace('precision = "float32"', f'precision = "{precision}"')
    origin = ORIGIN if precision == "int8" else ""
    (folder / "card.toml").write_text(card.replace("[forward_model]", f"{origin}\n[forward_model]"))
    return folder


def load(models: ModelMaker) -> LoadedModel:
    return load_model(load_card("tiny-onnx", models.root))


def rejected(models: ModelMaker, data: bytes, **changes: Any) -> ForensicError:
    make(models, data, **changes)
    with pytest.raises(BadInput) as caught:
        load(models)
    assert caught.value.exit_code == 4 and "\n" not in caught.value.message
    return caught.value


def plane(height: int = 61, width: int = 83) -> np.ndarray:
    return np.random.default_rng(5).uniform(0, 255, (height, width)).astype(np.float32)


def test_an_honest_file_computes_what_it_says_in_integers_exactly(models: ModelMaker) -> None:
    make(models, program().SerializeToString())
    model = load(models)
    assert (model.scale, model.engine.alignment, model.engine.context, model.radius) == (2, 2, 2, 3)
    luma = np.rint(plane(40, 60))
    weights = numpy_helper.to_array(program().graph.initializer[2]).astype(np.int64)
    padded = np.pad(luma, 2, mode="edge").astype(np.int64)
    folded = padded.reshape(22, 2, 32, 2).transpose(1, 3, 0, 2).reshape(4, 22, 32)
    windows = np.lib.stride_tricks.sliding_window_view(folded, (3, 3), axis=(1, 2))
    sums = np.einsum("chwij,ocij->ohw", windows, weights)
    expected = sums.reshape(4, 4, 20, 30).transpose(2, 0, 3, 1).reshape(80, 120)
    assert np.abs(expected).max() > 32768  # more than 16 bits hold: nothing saturated on the way
    assert np.allclose(model.upscale_luma(luma), expected * 1e-3, rtol=1e-6, atol=1e-4)


def test_float32_in_onnx_is_computed_too(models: ModelMaker) -> None:
    make(models, program(integers=False).SerializeToString(), precision="float32")
    assert load(models).upscale_luma(plane()).shape == (122, 166)


def test_same_bytes_whatever_tiles_workers_and_sessions(models: ModelMaker) -> None:
    make(models, program().SerializeToString())
    first, second, luma = load(models), load(models), plane(120, 150)
    tiled = first.upscale_luma_tiled(luma, 48, 8).tobytes()
    assert second.upscale_luma_tiled(luma, 48, 8).tobytes() == tiled
    with ThreadPoolExecutor(3) as pool:
        assert first.upscale_luma_tiled(luma, 48, 8, pool).tobytes() == tiled
        assert set(pool.map(lambda _: first.upscale_luma_tiled(luma, 48, 8).tobytes(), range(6))) == {tiled}
    assert np.abs(np.frombuffer(tiled, np.float32) - first.upscale_luma(luma).ravel()).max() < 1e-3


@pytest.mark.parametrize("position", [0, 5, 100, -1])
def test_a_tampered_file_is_refused(models: ModelMaker, position: int) -> None:
    path = make(models, program().SerializeToString()) / "network.onnx"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(PolicyRefused, match=r"model\.digest-mismatch"):
        load(models)


def external(made: onnx.ModelProto) -> None:
    tensor = made.graph.initializer[2]
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def external_beside(made: onnx.ModelProto) -> None:
    made.graph.initializer[2].external_data.add(key="location", value="weights.bin")


def custom_operator(made: onnx.ModelProto) -> None:
    made.graph.node[0].domain = "com.attacker"


def custom_set(made: onnx.ModelProto) -> None:
    made.opset_import[0].domain = "com.microsoft"


def second_set(made: onnx.ModelProto) -> None:
    made.opset_import.append(helper.make_opsetid("com.attacker", 1))


def other_version(made: onnx.ModelProto) -> None:
    made.opset_import[0].version = 13


def condition(made: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [])
    made.graph.node.append(helper.make_node("If", ["luma"], ["x"], then_branch=branch, else_branch=branch))


def loop(made: onnx.ModelProto) -> None:
    made.graph.node.append(helper.make_node("Loop", ["", "", "luma"], ["x"], body=helper.make_graph([], "b", [], [])))


def hidden_subgraph(made: onnx.ModelProto) -> None:
    made.graph.node[-2].attribute.append(helper.make_attribute("body", helper.make_graph([], "b", [], [])))


def function(made: onnx.ModelProto) -> None:
    node = helper.make_node("Add", ["a", "a"], ["b"])
    made.functions.append(helper.make_function("", "Conv", ["a"], ["b"], [node], made.opset_import))


def randomness(made: onnx.ModelProto) -> None:
    made.graph.node.append(helper.make_node("RandomNormal", [], ["x"], shape=[1]))


def training(made: onnx.ModelProto) -> None:
    made.training_info.add()


def sparse(made: onnx.ModelProto) -> None:
    made.graph.sparse_initializer.add()


def metadata(made: onnx.ModelProto) -> None:
    helper.set_model_props(made, {"config": "value"})


def strings(made: onnx.ModelProto) -> None:
    made.graph.initializer.append(helper.make_tensor("text", TensorProto.STRING, [1], [b"x"]))


def word_attribute(made: onnx.ModelProto) -> None:
    made.graph.node[-1].attribute.append(helper.make_attribute("mode", "CRD"))


def more_outputs(made: onnx.ModelProto) -> None:
    made.graph.output.append(helper.make_tensor_value_info("correction", TensorProto.FLOAT, None))


def more_inputs(made: onnx.ModelProto) -> None:
    made.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.INT8, None))


def same_name_twice(made: onnx.ModelProto) -> None:
    made.graph.initializer.append(made.graph.initializer[2])


def convolution(name: str, values: list[int]) -> Change:
    def change(made: onnx.ModelProto) -> None:
        made.graph.node[-2].attribute.append(helper.make_attribute(name, values))

    change.__name__ = f"convolution_{name}"
    return change


def attribute_twice(made: onnx.ModelProto) -> None:
    made.graph.node[-1].attribute.append(helper.make_attribute("blocksize", 4))


def constant(index: int, array: np.ndarray) -> Change:
    def change(made: onnx.ModelProto) -> None:
        tensor = made.graph.initializer[index]
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    change.__name__ = f"constant_{index}_{array.dtype}_{array.flat[0]}"
    return change


CHANGES: list[Change] = [
    external, external_beside, custom_operator, custom_set, second_set, other_version, condition, loop,
    hidden_subgraph, function, randomness, training, sparse, metadata, strings, word_attribute, more_outputs,
    more_inputs, same_name_twice, attribute_twice,
    convolution("pads", [0, 0, 1, 0]), convolution("strides", [1, 2]), convolution("dilations", [2, 2]),
    constant(2, np.full((16, 4, 3, 3), 65, np.int8)), constant(2, np.full((16, 4, 3, 3), -65, np.int8)),
    constant(2, np.full((16, 4, 3, 3), 65, np.uint8)), constant(3, np.full(16, np.nan, np.float32)),
    constant(3, np.full(16, 1e-3, np.float64)),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_is_not_on_the_list_is_refused_before_the_engine_sees_it(
    models: ModelMaker, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = program()
    change(made)
    seen: list[object] = []
    monkeypatch.setattr(onnx_runtime, "session_options", lambda runtime: seen.append(runtime))
    assert rejected(models, made.SerializeToString()).code == "model.program-refused"
    assert not seen


def test_a_second_graph_or_a_field_said_twice_is_refused(models: ModelMaker) -> None:
    # A parser merges or takes the last; what was checked would not be what runs.
    data = program().SerializeToString()
    with pytest.raises(onnx_file.Refused, match="two graphs"):
        onnx_file.read(data + data)
    node = helper.make_node("Add", ["luma", "luma"], ["enlarged"]).SerializeToString()
    twice = node + b"\x22\x02If"  # op_type again
    graph = b"\x0a" + bytes([len(twice)]) + twice
    with pytest.raises(onnx_file.Refused, match="op_type twice"):
        onnx_file.read(b"\x3a" + bytes([len(graph)]) + graph + b"\x42\x04\x0a\x00\x10\x15")


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 40, b"PK\x03\x04", b"\x80\x02}q\x00.", b"\x3a\x7f"])
def test_what_is_not_onnx_at_all(models: ModelMaker, data: bytes) -> None:
    if data:
        assert rejected(models, data).code in {"model.weights-invalid", "model.program-refused"}
    with pytest.raises((WireError, onnx_file.Refused)):
        onnx_file.read(data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_or_says_what_onnx_says(data: st.DataObject) -> None:
    whole = program().SerializeToString()
    position, cut = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 8))
    damaged = whole[:position] + data.draw(st.binary(max_size=8)) + whole[position + cut :]
    try:
        found = onnx_file.read(damaged)
    except (WireError, onnx_file.Refused):
        return
    theirs = onnx.load_model_from_string(damaged)
    assert [node.operator for node in found.nodes] == [node.op_type for node in theirs.graph.node]
    assert not theirs.functions and {node.domain for node in theirs.graph.node} <= {""}
    for tensor in theirs.graph.initializer:
        assert np.array_equal(found.constants[tensor.name], numpy_helper.to_array(tensor))


@pytest.mark.parametrize(("integers", "said"), [(True, "float32"), (False, "int8")])
def test_a_file_of_another_precision_than_the_card_says(models: ModelMaker, integers: bool, said: str) -> None:
    error = rejected(models, program(integers=integers).SerializeToString(), precision=said)
    assert error.code == "model.precision-mismatch" and said in error.message


@pytest.mark.parametrize("change", [{"parameters": 575}, {"radius": 2}, {"radius": 17}, {"scale": 4}])
def test_a_card_that_is_untrue_of_the_file(models: ModelMaker, change: dict[str, int]) -> None:
    assert rejected(models, program().SerializeToString(), **change).code == "model.card-untrue"


def wrong_channels(made: onnx.ModelProto) -> None:
    made.graph.node[0].attribute[0].i = 4


def nothing_made(made: onnx.ModelProto) -> None:
    del made.graph.node[-1]


def unfolded_to_a_fraction(made: onnx.ModelProto) -> None:
    made.graph.node[-1].attribute[0].i = 1


@pytest.mark.parametrize("change", [wrong_channels, nothing_made, unfolded_to_a_fraction])
def test_a_program_of_allowed_operators_that_cannot_be_computed(models: ModelMaker, change: Change) -> None:
    made = program()
    change(made)
    assert rejected(models, made.SerializeToString()).code == "model.weights-invalid"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("network.onnx", "weights.safetensors"),  # int8 in a file of plain numbers
        ('precision = "int8"', 'precision = "float32"'),  # quantised from another, and yet not quantised
        ('precision = "int8"', 'precision = "int4"'),
        ("[quantised_from]", "[made_from]"),
        ("network.onnx", "network.onnx.exe"),
    ],
)
def test_a_card_whose_precision_and_file_do_not_go_together(models: ModelMaker, old: str, new: str) -> None:
    path = make(models, program().SerializeToString()) / "card.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(PolicyRefused, match=r"model\.card-invalid"):
        load(models)


def test_without_onnx_runtime_the_error_names_the_extra(models: ModelMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    make(models, program().SerializeToString())
    models.make()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    card = load_card("tiny-onnx", models.root)
    for attempt in (lambda: load_model(card), lambda: require_engine(card)):
        with pytest.raises(UsageError) as caught:
            attempt()
        assert caught.value.code == "model.engine-missing" and caught.value.exit_code == 2
        assert "int8" in caught.value.remedy and "tiny-onnx" in caught.value.message
    require_engine(load_card("tiny-x2", models.root))  # a float32 model does not need it


def test_integers_run_without_torch(models: ModelMaker) -> None:
    make(models, program().SerializeToString())
    source = (
        "import sys, numpy, pathlib; from forensic.registry.cards import load_card;"
        "from forensic.registry.loading import load_model;"
        f"m = load_model(load_card('tiny-onnx', pathlib.Path({str(models.root)!r})));"
        "m.upscale_luma(numpy.zeros((20, 20), numpy.float32));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0


def test_the_record_has_the_engine_its_version_its_thread_and_the_instruction_sets() -> None:
    import onnxruntime

    facts = determinism_facts(["onnxruntime"])["onnxruntime"]
    assert facts["onnxruntime"] == onnxruntime.__version__ and facts["provider"] == "CPUExecutionProvider"
    assert facts["intra_op_threads"] == facts["inter_op_threads"] == 1 and facts["instruction_sets"]
    now = environment(engines=("onnxruntime",))
    assert now["onnxruntime"] == facts and "torch" not in now
    assert platform_key(now)["onnxruntime"] == facts
    assert "onnxruntime" not in environment(engines=("torch",))


def test_a_session_has_one_thread_and_the_cpu_provider_alone(models: ModelMaker) -> None:
    make(models, program().SerializeToString())
    session = load(models).engine.session  # type: ignore[attr-defined]
    options = session.get_session_options()
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.use_deterministic_compute
