"""What people on the way can do, who have no key: both verifiers find all of it."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from forensic.case.verification.bundleform import zipform
from tests.bundle_vectors.agreement import both_accept, both_refuse, script
from tests.case.bundling import (
    Disclosure,
    predicate_of,
)


def test_files_are_changed_cut_and_left_out(bag: Path) -> None:
    draw = random.Random(7)
    for number, path in enumerate(sorted(p for p in bag.rglob("*") if p.is_file())):
        before = path.read_bytes()
        changed = bytearray(before)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        path.chmod(0o644)
        path.write_bytes(changed)
        both_refuse(bag, path)
        if number % 3 == 1:
            path.write_bytes(before[: draw.randrange(len(before))])
            both_refuse(bag, path)
        elif number % 3 == 2:
            path.unlink()
            both_refuse(bag, path)
        path.write_bytes(before)
    both_accept(bag)


def test_bytes_of_the_archive_are_changed(disclosure: Disclosure, tmp_path: Path) -> None:
    draw, honest, path = random.Random(8), disclosure.archive.read_bytes(), tmp_path / "x.zip"
    directory = len(honest) - honest.rindex(b"PK\3\4")
    for number in range(60):
        changed = bytearray(honest)
        at = draw.randrange(len(changed)) if number % 2 else len(changed) - draw.randrange(1, directory)
        changed[at] ^= 1 << draw.randrange(8)
        if number % 10 == 3:
            del changed[at:]
        elif number % 10 == 7:
            changed[at:at] = draw.randbytes(draw.randrange(1, 30))
        path.write_bytes(changed)
        both_refuse(path, at)
    both_accept(disclosure.archive)


def test_files_are_added_linked_and_renamed(bag: Path, tmp_path: Path) -> None:
    run = next((bag / "data" / "runs").iterdir())
    for name in (
        "data/evil.mkv", "notes.txt", "data/.hidden", "data/ledger/more", "fetch.txt", "data/runs/R-evil/output.mkv",
        "data/con.txt", "data/Ä", "data/ledger/CHECKPOINT", f"data/runs/{run.name}/more.txt",
    ):  # fmt: skip
        (bag / name).parent.mkdir(exist_ok=True)
        (bag / name).write_bytes(b"planted")
        both_refuse(bag, name)
        (bag / name).unlink()
        if not any((bag / name).parent.iterdir()):
            both_refuse(bag, "empty folder")
            (bag / name).parent.rmdir()
    for target in (run / "output.mkv", run / "stills", bag / "data", bag / "bundle.json"):
        elsewhere = tmp_path / "elsewhere"
        target.rename(elsewhere)
        target.symlink_to(elsewhere, target_is_directory=elsewhere.is_dir())
        both_refuse(bag, target)
        target.unlink()
        elsewhere.rename(target)
    (bag / "data" / "ledger" / "checkpoint").rename(bag / "data" / "ledger" / "checkpoint2")
    both_refuse(bag)


def test_archives_that_can_be_read_in_two_ways(disclosure: Disclosure, tmp_path: Path) -> None:
    honest, path = disclosure.archive.read_bytes(), tmp_path / "x.zip"
    name = f"{predicate_of(disclosure.folder)['name']}/VERIFY.md".encode()
    place = honest.rindex(name) - zipform.CENTRAL.size
    for field, value in (
        (16, 1),
        (20, 1),
        (24, 1),
        (42, 1),
        (10, 8),
        (8, 1),
        (8, 8),
        (38, 0xA1FF << 16),
        (12, 1),
        (32, 1),
    ):
        changed = bytearray(honest)
        struct.pack_into("<I" if field in (16, 20, 24, 38, 42) else "<H", changed, place + field, value)
        path.write_bytes(changed)
        both_refuse(path, field)
    folder = name.partition(b"/")[0]
    for data in (
        b"MZ" + honest, honest + b"PK", honest[:-1] + b"\1", honest[:-22], b"", b"PK\3\4", honest[-22:],
        honest.replace(name, b"../" + name[3:]), honest.replace(name, name[:-1] + b"\0"),
        honest.replace(folder + b"/", b"another-name" + folder[12:] + b"/"),
    ):  # fmt: skip
        path.write_bytes(data)
        both_refuse(path, data[:30])


@pytest.mark.parametrize("wide_from", [zipform.MARK_32, 5, 600])
def test_archives_of_the_strict_form_with_zip64_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wide_from: int
) -> None:
    monkeypatch.setattr(zipform, "WIDE_FROM", wide_from)
    monkeypatch.setattr(script, "WIDE_FROM", wide_from)
    files = {"b/a": b"", "b/data/x": bytes(700), "b/data/y.bin": bytes(range(256)), "b/z": b"last"}
    entries, data = [], b""
    for name, content in files.items():
        entries.append(zipform.Entry(name, len(content), script.zlib.crc32(content), len(data)))
        data += zipform.local_header(entries[-1]) + content
    data += zipform.directory(entries)
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    assert {f"b/{name}" for name in script.Bag(path).files} == set(files)
    for place in range(0, len(data), 3 if wide_from == 5 else 17):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        with pytest.raises(Exception):  # noqa: B017 (whatever it is: main() makes it a failure)
            script.Bag(path)
