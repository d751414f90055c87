"""A Flax file is read as data: what it asks for beyond plain arrays is refused, and never done."""

from __future__ import annotations

import os
import pickle
import pickletools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput, ForensicError
from forensic.registry.packs.flaxfile import flax_tensors

from .flax_file import flax_file


def _tree() -> dict[str, Any]:
    kernel = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    return {"Net_0": {"Conv_0": {"kernel": kernel, "bias": np.zeros(5, np.float32)}}}


def test_arrays_come_out_by_name_and_kernels_in_torch_s_order() -> None:
    found = flax_tensors(flax_file(_tree()))
    assert set(found) == {"Net_0.Conv_0.weight", "Net_0.Conv_0.bias"}
    weight = found["Net_0.Conv_0.weight"]
    assert weight.shape == (5, 4, 2, 3) and weight.dtype == np.float32 and weight.flags["C_CONTIGUOUS"]
    assert np.array_equal(weight.transpose(2, 3, 1, 0), _tree()["Net_0"]["Conv_0"]["kernel"])


class _Evil:
    """Does something when it is unpickled."""

    def __init__(self, what: Callable[..., Any], *arguments: Any) -> None:
        self.what, self.arguments = what, arguments

    def __reduce__(self) -> Any:
        return self.what, self.arguments


def test_the_planted_code_is_real(tmp_path: Path) -> None:
    data = flax_file({**_tree(), "x": _Evil(os.system, f"touch {tmp_path / 'done'}")})
    with pytest.raises(BadInput):
        flax_tensors(data)
    assert not (tmp_path / "done").exists()
    pickle.loads(data)  # noqa: S301 - what others would do
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize(
    "evil",
    [
        lambda mark: _Evil(os.system, f"touch {mark}"),
        lambda mark: _Evil(subprocess.check_call, ["touch", str(mark)]),
        lambda mark: _Evil(eval, f"open({str(mark)!r}, 'w')"),
        lambda mark: _Evil(exec, f"open({str(mark)!r}, 'w')"),
        lambda mark: _Evil(open, str(mark), "w"),
        lambda mark: _Evil(np.load, str(mark), None, True),
        lambda mark: _Evil(np.save, str(mark), np.zeros(1)),
        lambda mark: _Evil(np.zeros, 3),
    ],
)
@pytest.mark.parametrize("where", ["alone", "beside", "in an array's place"])
def test_what_would_do_something_is_refused_and_does_nothing(
    tmp_path: Path, evil: Callable[[Path], Any], where: str
) -> None:
    mark = tmp_path / "done"
    tree = {"alone": evil(mark), "beside": {**_tree(), "x": evil(mark)},
            "in an array's place": {"Net_0": {"kernel": evil(mark)}}}[where]  # fmt: skip
    with pytest.raises(BadInput) as refused:
        flax_tensors(flax_file(tree))
    assert refused.value.code == "model.pack-unsafe"
    assert not mark.exists()


@pytest.mark.parametrize(
    "tree",
    [
        [np.zeros(3, np.float32)], np.zeros(3, np.float32), {"x": [np.zeros(3, np.float32)]}, {1: np.zeros(3)},
        {"x": "text"}, {"x": 1}, {"x": None}, {"a.b": np.zeros(3, np.float32)}, {"x": np.float32(3)},
        {"x": np.array(["text"])}, {"x": np.array([object()])}, {"x": np.zeros(3, np.int64)},
        {"x": np.zeros(3, ">f4")}, {"x": np.zeros(3, "f4, i4")}, {"x": np.ma.zeros(3)}, {"x": set()},
        {"x": np.zeros((0, 3), np.float32)}, {"x": np.asfortranarray(np.zeros((3, 4), np.float32))}, {}, {"x": {}},
    ],
)  # fmt: skip
def test_what_is_no_dictionary_of_plain_arrays_is_refused(tree: Any) -> None:
    with pytest.raises(BadInput) as refused:
        flax_tensors(flax_file(tree))
    assert refused.value.code in ("model.pack-unsafe", "model.pack-weights")


def _with(old: bytes, new: bytes) -> bytes:
    data = flax_file({"x": np.arange(4, dtype=np.float32)})
    assert data.count(old) == 1
    return data.replace(old, new)


@pytest.mark.parametrize(
    "data",
    [
        _with(b"cnumpy\nndarray", b"cnumpy\nmatrix"),
        _with(b"numpy.core.multiarray\n_reconstruct", b"numpy.core.multiarray\nscalar"),
        _with(b"cnumpy\ndtype", b"cbuiltins\neval"),
        _with(b"K\x04\x85", b"K\x05\x85"),  # more numbers than there are
        _with(b"K\x04\x85", b"J\xff\xff\xff\xff\x85"),  # a negative length
        _with(b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00>"),
        flax_file({"x": np.zeros(4, np.float32)}) + b"more",
        flax_file({"x": np.zeros(4, np.float32)})[:-1],
        b"", b"\x80\x03.", b"not a pickle", b"\x80\x04" + flax_file(_tree())[2:-1] + b"\x94.",
    ],
)  # fmt: skip
def test_a_file_that_was_tampered_with_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        flax_tensors(data)


def test_a_state_given_twice_and_dictionaries_in_each_other_are_refused() -> None:
    data = flax_file({"x": np.zeros(4, np.float32)})
    twice = [(one.name, at) for one, _, at in pickletools.genops(data)]
    at = next(at for name, at in twice if name == "BUILD")
    with pytest.raises(BadInput):
        flax_tensors(data[:at] + b"b" + data[at:])
    loop: dict[str, Any] = {}
    loop["x"] = loop
    with pytest.raises(BadInput):
        flax_tensors(pickle.dumps(loop, protocol=3))
    deep: dict[str, Any] = {"x": np.zeros(1, np.float32)}
    for _ in range(50):
        deep = {"x": deep}
    with pytest.raises(BadInput):
        flax_tensors(flax_file(deep))


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ForensicError):
        flax_tensors(b"\x80\x03" + data)


def test_a_single_number_is_an_array_of_no_dimensions() -> None:
    assert flax_tensors(flax_file({"x": np.zeros((), np.float32)}))["x"].shape == ()


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@given(st.data())
def test_one_byte_changed_gives_arrays_or_a_refusal(data: st.DataObject) -> None:
    whole = bytearray(flax_file(_tree()))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = flax_tensors(bytes(whole))
    except ForensicError:
        return
    assert all(isinstance(value, np.ndarray) for value in found.values())


def test_shared_dictionaries_that_would_unfold_to_billions_of_arrays() -> None:
    tree: Any = {"x": np.zeros(1, np.float32)}
    for _ in range(12):
        tree = {str(number): tree for number in range(10)}
    with pytest.raises(BadInput, match="in another place"):
        flax_tensors(flax_file(tree))
