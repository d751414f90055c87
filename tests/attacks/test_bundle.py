"""Attacks on disclosure bundles: by people on the way without any key, and by an insider with the examiner's key."""

from __future__ import annotations

import json
import random
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from forensic.case.verification.bundle_links import ISSUED
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform import zipform
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.hashes import canonical_json
from forensic.ledger.entry import PAYLOAD_TYPE
from forensic.signing.dsse import sign_envelope
from forensic.signing.identity import load_identity
from tests.case.bundling import (
    Disclosure,
    disclose,
    entries_of,
    failures,
    keep_entries,
    line_of,
    predicate_of,
    prepare,
    reseal,
)
from tests.case.conftest import flip, forensic


@pytest.fixture(scope="module")
def disclosure(tmp_path_factory: pytest.TempPathFactory, real_clip: Path, footage: Path) -> Disclosure:
    folder = tmp_path_factory.mktemp("bundles")
    case = prepare(folder / "ws", real_clip, footage / "carphone_distorted.mp4")
    return disclose(case, case.run_id, folder)


@pytest.fixture
def bag(disclosure: Disclosure, tmp_path: Path) -> Path:
    """A private copy of the bundle's folder."""
    return disclosure.copy(tmp_path / "bundle")


@pytest.fixture
def root(disclosure: Disclosure) -> Path:
    """The workspace, for its key."""
    return disclosure.case.root


def run_of(bag: Path) -> Path:
    return next((bag / "data" / "runs").iterdir())


def exhibit_of(bag: Path) -> Path:
    return next((bag / "data" / "exhibits").iterdir())


def test_the_bundle_itself_is_sound(disclosure: Disclosure, bag: Path, root: Path) -> None:
    assert verify(disclosure.archive).verdict is verify(bag).verdict is Verdict.SIGNED
    reseal(bag, root)
    assert not failures(bag), "sealing anew without a change is no attack"


# Without a key


def test_file_in_the_bundle_is_changed(bag: Path, disclosure: Disclosure, tmp_path: Path) -> None:
    for path in sorted(p for p in bag.rglob("*") if p.is_file()):
        before = path.read_bytes()
        flip(path)
        assert failures(bag), path
        path.write_bytes(before)
    assert not failures(bag)
    data = bytearray(disclosure.archive.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "x.zip").write_bytes(data)
    assert "B1" in failures(tmp_path / "x.zip")


def test_file_is_added(bag: Path, root: Path) -> None:
    for name, number in (
        ("data/evil.mkv", "B3"), ("data/runs/R-evil/output.mkv", "B3"), ("notes.txt", "B2"), ("data/ledger/more", "B3"),
        ("data/.hidden", "B1"), (f"data/runs/{run_of(bag).name}/more.txt", "B3"), ("fetch.txt", "B2"),
        ("manifest-md5.txt", "B2"),
    ):  # fmt: skip
        path = bag / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"planted")
        assert number in failures(bag), name
        if name.startswith("data/") and number == "B3":
            signed = bag.with_name("signed")
            shutil.copytree(bag, signed)
            reseal(signed, root)  # even with the key
            assert failures(signed), name
            shutil.rmtree(signed)
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    assert not failures(bag)


def test_file_is_left_out(bag: Path, root: Path, tmp_path: Path) -> None:
    sealed: set[tuple[Path, str]] = set()
    for path in sorted(p for p in bag.rglob("*") if p.is_file()):
        name = path.relative_to(bag).as_posix()
        before = path.read_bytes()
        path.unlink()
        assert failures(bag), name
        kind = (path.parent, path.suffix)
        if name.startswith("data/") and kind not in sealed:
            sealed.add(kind)
            signed = tmp_path / "signed"
            shutil.copytree(bag, signed)
            for empty in (p for p in sorted(signed.rglob("*"), reverse=True) if p.is_dir() and not any(p.iterdir())):
                empty.rmdir()
            reseal(signed, root)
            assert failures(signed), f"{name}, sealed anew"
            shutil.rmtree(signed)
        path.write_bytes(before)


def test_original_is_exchanged_in_the_bundle(bag: Path, root: Path, real_clip: Path) -> None:
    (original,) = exhibit_of(bag).glob("original*")
    original.chmod(0o644)
    original.write_bytes(real_clip.read_bytes() + b"\0")
    assert {"B3", "B6", "B15"} <= set(failures(bag))
    reseal(bag, root)
    assert set(failures(bag)) == {"B15"}


def test_link_in_the_bag(bag: Path, disclosure: Disclosure, tmp_path: Path) -> None:
    target = run_of(bag) / "output.mkv"
    elsewhere = tmp_path / "elsewhere.mkv"
    target.rename(elsewhere)
    target.symlink_to(elsewhere)
    assert "link" in failures(bag)["B1"].detail
    target.unlink()
    elsewhere.rename(target)
    run_of(bag).rename(tmp_path / "run")
    (bag / "data" / "runs" / disclosure.case.run_id).symlink_to(tmp_path / "run", target_is_directory=True)
    assert "link" in failures(bag)["B1"].detail


def central_place(data: bytes, name: str) -> int:
    """Where a file's line in the directory begins."""
    at = data.rindex(name.encode())
    return at - zipform.CENTRAL.size


def test_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(10):
            archive.writestr(f"bundle/data/{number}", bytes(20_000_000))
    assert path.stat().st_size < 300_000
    assert "compressed" in failures(path)["B1"].detail
    # Many names for one place: what overlaps is as good as compressed.
    body = zipform.local_header(zipform.Entry("b/0", 1000, zlib.crc32(bytes(1000)), 0)) + bytes(1000)
    entries = [zipform.Entry(f"b/{number}", 1000, zlib.crc32(bytes(1000)), 0) for number in range(9)]
    directory = zipform.directory(entries)
    end = zipform.END.pack(zipform.END_SIGN, 0, 0, 9, 9, len(directory) - 22, len(body), 0)
    path.write_bytes(body + directory[:-22] + end)
    assert "overlaps" in failures(path)["B1"].detail
    # A claim of more than there is.
    entry = zipform.Entry("b/0", 1 << 40, 0, 0)
    path.write_bytes(zipform.local_header(entry) + zipform.directory([entry]))
    assert "B1" in failures(path)


def test_path_traversal_in_the_zip(disclosure: Disclosure, tmp_path: Path) -> None:
    honest = disclosure.archive.read_bytes()
    name = f"{predicate_of(disclosure.folder)['name']}/data/ledger/checkpoint"
    assert honest.count(name.encode()) == 2
    for evil in ("../../../../../../../../../../../evil", "/evil", "C:\\evil", "..\\..\\evil"):
        padded = (evil + "x" * len(name))[: len(name)].encode()
        path = tmp_path / "evil.zip"
        path.write_bytes(honest.replace(name.encode(), padded))
        assert "B1" in failures(path), evil
    assert not list(tmp_path.parent.rglob("evilx*")) and not list(Path("/").glob("evilx*"))


def test_duplicate_names_in_the_zip(tmp_path: Path) -> None:
    for second in ("b/data/x", "b/data/X"):
        entries, data = [], b""
        for name in sorted(("b/data/x", second)):
            entries.append(zipform.Entry(name, 0, 0, len(data)))
            data += zipform.local_header(entries[-1])
        path = tmp_path / "x.zip"
        path.write_bytes(data + zipform.directory(entries))
        assert "same" in failures(path)["B1"].detail


def test_two_readings_of_one_archive(disclosure: Disclosure, tmp_path: Path) -> None:
    """Names, sizes or places in the directory that differ from those before the files; data between them."""
    honest = disclosure.archive.read_bytes()
    name = f"{predicate_of(disclosure.folder)['name']}/VERIFY.md"
    place = central_place(honest, name)
    for field, value in ((16, 1), (20, 1), (24, 1), (42, 1), (10, 8), (8, 1), (8, 8), (38, 0xA1FF << 16)):
        changed = bytearray(honest)
        struct.pack_into("<H" if field in (8, 10) else "<I", changed, place + field, value)
        (tmp_path / "x.zip").write_bytes(changed)
        assert "B1" in failures(tmp_path / "x.zip"), field
    local = bytearray(honest)
    local[honest.index(name.encode())] ^= 0x20
    (tmp_path / "x.zip").write_bytes(local)
    assert "header" in failures(tmp_path / "x.zip")["B1"].detail
    for path, data in (("y.zip", b"MZ" + honest), ("z.zip", honest + b"PK"), ("w.zip", honest[:-1] + b"\1")):
        (tmp_path / path).write_bytes(data)
        assert "B1" in failures(tmp_path / path)


# With the examiner's key


def test_entry_is_left_out_of_the_extract(bag: Path, root: Path, tmp_path: Path) -> None:
    entries = entries_of(bag)
    for entry in entries:
        spoilt = tmp_path / "spoilt"
        shutil.copytree(bag, spoilt)
        keep_entries(spoilt, lambda one, seq=entry["seq"]: one["seq"] != seq)  # type: ignore[misc]
        reseal(spoilt, root)
        failed = failures(spoilt)
        assert failed, entry["event"]
        if entry["event"] == "run.refused":
            assert set(failed) == {"B10", "B14"}
        shutil.rmtree(spoilt)


def test_a_refused_run_is_not_mentioned_and_its_entries_are_gone(bag: Path, root: Path) -> None:
    hidden = next(entry["run"] for entry in entries_of(bag) if entry["event"] == "run.refused")
    keep_entries(bag, lambda entry: entry["run"] != hidden)
    predicate = predicate_of(bag)
    predicate["other_runs"] = []
    text = (bag / names.BAG_INFO).read_text()
    (bag / names.BAG_INFO).write_text(text.replace("1 other runs", "0 other runs"))
    reseal(bag, root, predicate)
    assert set(failures(bag)) == {"B10"}


def test_bundle_of_another_case_is_mixed_in(
    bag: Path, root: Path, tmp_path: Path, real_clip: Path, footage: Path
) -> None:
    other = disclose(prepare(tmp_path / "other", real_clip, footage / "carphone_distorted.mp4"), EXHIBIT_CASE, tmp_path)
    pieces = ("data/runs", "data/ledger", "data/exhibits", "bundle.json", "data/ledger/entries.jsonl")
    for piece in (*pieces, "data/ledger/checkpoint", "data/certificates"):
        mixed = tmp_path / "mixed"
        shutil.copytree(bag, mixed)
        for path in sorted((other.folder / piece).rglob("*")) if (other.folder / piece).is_dir() else [None]:
            source = other.folder / piece if path is None else path
            if source.is_file():
                target = mixed / source.relative_to(other.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copyfile(source, target)
        if piece == "data/exhibits":
            (mixed / "data/exhibits" / ("0" * 64)).mkdir()
            (mixed / "data/exhibits" / ("0" * 64) / "frames.jsonl").write_bytes(b"")
        assert failures(mixed), piece
        if piece != "bundle.json":
            reseal(mixed, root)
            assert failures(mixed), f"{piece}, sealed anew"
        shutil.rmtree(mixed)


EXHIBIT_CASE = "2026/17 Harbour"


def rewritten(bag: Path, root: Path, event: str, change: dict[str, Any]) -> None:
    """Change an entry and sign it anew with the examiner's key."""
    identity = load_identity(root / "identity", lambda: "")
    lines = []
    for line in (bag / names.ENTRIES).read_bytes().splitlines(keepends=True):
        entry = json.loads(json.loads(line)["entry"])
        if entry["event"] == event:
            entry["data"] |= change
            text = canonical_json(entry)
            envelope = canonical_json(sign_envelope(PAYLOAD_TYPE, text, identity, include_certificate=False))
            line = line_of(text.decode(), envelope.decode())
        lines.append(line)
    (bag / names.ENTRIES).write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    ("event", "change"),
    [
        ("run.refused", {"reason": "no reason at all"}),
        ("run.finished", {"stage_class": "presentation"}),
        ("exhibit.acquired", {"note": "sealed, red"}),
        (ISSUED, {"key_entries": [1]}),
        (ISSUED, {"originals": "hash-only"}),
    ],
)
def test_history_is_rewritten_with_the_key(bag: Path, root: Path, event: str, change: dict[str, Any]) -> None:
    rewritten(bag, root, event, change)
    reseal(bag, root)
    assert "B9" in failures(bag)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "bundle-of-lies-000001"), ("scope", "case"), ("case", "another case"), ("exhibit", "OTHER-1"),
        ("run", None), ("runs", []), ("other_runs", []), ("exhibits", []), ("originals", "hash-only"),
        ("stage_class", "generative"), ("label", "harmless"), ("checkpoint", {"size": 1}), ("workspace", {"id": "x"}),
        ("issued", {"seq": 1}), ("models", [{"id": "x"}]), ("witnesses", ["x"]), ("more", 1), ("schema", "x"),
    ],
)  # fmt: skip
def test_description_that_lies(bag: Path, root: Path, key: str, value: object) -> None:
    reseal(bag, root, {**predicate_of(bag), key: value})
    assert failures(bag), key


def test_signed_by_somebody_else(bag: Path, tmp_path: Path) -> None:
    assert forensic("init", "-w", tmp_path / "forger", "--examiner", "Forger").code == 0
    reseal(bag, tmp_path / "forger")
    assert set(failures(bag)) == {"B14"}


def test_key_events_are_left_out_or_invented(disclosure: Disclosure, bag: Path, root: Path) -> None:
    keep_entries(bag, lambda entry: not entry["event"].startswith("log."))
    reseal(bag, root)
    assert {"B10", "B12"} <= set(failures(bag))


def test_proof_of_another_entry(bag: Path, root: Path) -> None:
    first, second = sorted((bag / names.PROOFS).iterdir())[:2]
    first.write_bytes(second.read_bytes())
    reseal(bag, root)
    assert set(failures(bag)) == {"B9"}


def test_description_forges_lines_of_the_result(bag: Path, root: Path) -> None:
    """Names of keys are printed where they do not belong; they begin no line of their own."""
    forged = "VERDICT: WITNESSED. Also part of a ledger whose history a witness has seen grow."
    lies = {f"{break_}{forged}": 1 for break_ in ("\n", "\r", "\u2028", "\x85", "\v")}
    reseal(bag, root, {**predicate_of(bag), **lies})
    done = forensic("verify", bag)
    lines = [line for line in done.out.splitlines() if forged in line]
    assert done.code == 1 and len(lines) == 1 and lines[0].startswith("  FAIL B14")
    assert done.last_line.startswith("VERDICT: FAILED.")


# Any change at all


@pytest.mark.parametrize("seed", range(4))
def test_no_random_mutation_goes_unnoticed(disclosure: Disclosure, tmp_path: Path, seed: int) -> None:
    """Bytes of the archive, bytes of files, files exchanged, cut, doubled: every mutation is detected."""
    draw = random.Random(seed)
    honest = disclosure.archive.read_bytes()
    path, tried = tmp_path / "x.zip", 0
    for _ in range(60):
        changed = bytearray(honest)
        match draw.randrange(5):
            case 0:
                changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
            case 1:  # the directory and end record, where the structure is
                changed[-draw.randrange(1, min(6000, len(changed)))] ^= 1 << draw.randrange(8)
            case 2:
                del changed[draw.randrange(len(changed)) :]
            case 3:
                at = draw.randrange(len(changed))
                changed[at:at] = draw.randbytes(draw.randrange(1, 40))
            case 4:
                at, size = draw.randrange(len(changed)), draw.randrange(1, 200)
                changed[at : at + size] = draw.randbytes(len(changed[at : at + size]))
        if bytes(changed) == honest:
            continue
        path.write_bytes(changed)
        tried += 1
        assert "B1" in failures(path) or failures(path)
    bag = disclosure.copy(tmp_path / "bundle")
    files = sorted(p for p in bag.rglob("*") if p.is_file())
    for _ in range(8):
        victim = draw.choice(files)
        victim.chmod(0o644)
        before = victim.read_bytes()
        match draw.randrange(3):
            case 0:
                flip(victim, draw.random(), draw.randrange(8))
            case 1:
                victim.write_bytes(before[: draw.randrange(len(before))])
            case 2:
                victim.write_bytes(draw.choice(files).read_bytes())
        if victim.read_bytes() == before:
            continue
        tried += 1
        assert failures(bag), victim
        victim.write_bytes(before)
    assert tried >= 60
