"""Acquisition under attack: planted links, left-over copies, races, interruptions, malformed records."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.case import acquire as acquiring
from forensic.case.acquire import acquire
from forensic.case.acquired import parse_acquired
from forensic.case.exhibits import check_untouched, find_exhibit
from forensic.case.progress import Silent
from forensic.case.storage import copy_verified, write_file
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import ForensicError, Interrupted, StorageFailed, UsageError, VerificationFailed
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import layout_named
from forensic.frames.stageclass import StageClass
from forensic.hashes import sha256_file
from forensic.ledger.audit import audit
from forensic.media.scan import scan
from forensic.media.stills import write_still
from tests.case.conftest import forensic


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


@pytest.fixture
def clip(tmp_path: Path, real_clip: Path) -> Path:
    """A copy of the clip that plays the original; it must survive everything."""
    return Path(shutil.copy(real_clip, tmp_path / "evidence.mp4"))


def _acquire(workspace: Workspace, file: Path, exhibit: str = "E1", case: str = "C1") -> Any:
    return acquire(workspace, file, case=case, exhibit_id=exhibit, note=None, progress=Silent())


def _events(workspace: Workspace) -> list[str]:
    return [entry.event for entry in workspace.ledger.entries()]


# Planted links ---------------------------------------------------------------------------------


def test_a_link_planted_where_a_temporary_file_goes_does_not_destroy_the_original(tmp_path: Path, clip: Path) -> None:
    before = sha256_file(clip)
    for name in ("record.json", "copy.mp4"):
        (tmp_path / f".{name}.partial").symlink_to(clip)
    write_file(tmp_path / "record.json", b"{}")
    copy_verified(clip, tmp_path / "copy.mp4", before)
    assert sha256_file(clip) == before
    assert (tmp_path / "record.json").read_bytes() == b"{}"
    assert not (tmp_path / "copy.mp4").is_symlink()


def test_manifest_and_still_are_never_written_through_a_link(tmp_path: Path, clip: Path) -> None:
    from fractions import Fraction

    import numpy as np

    from forensic.frames.colour import ColourSpec

    before = sha256_file(clip)
    link = tmp_path / "planted"
    link.symlink_to(clip)
    with pytest.raises(StorageFailed):
        scan(clip, link)
    frame = CodedFrame(
        (np.zeros((8, 8), np.uint8),), Geometry(8, 8, layout_named("gray"), None), ColourSpec(),
        FrameTiming(0, 0, Fraction(1, 25), False), StageClass.PRESENTATION,
    )  # fmt: skip
    with pytest.raises(StorageFailed):
        write_still(link, frame)
    assert sha256_file(clip) == before


def test_exhibit_folder_that_is_a_link_is_refused(workspace: Workspace, clip: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "original.mp4").write_bytes(b"something of somebody else")
    workspace.layout.exhibit(sha256_file(clip)).root.symlink_to(elsewhere)
    with pytest.raises(VerificationFailed) as caught:
        _acquire(workspace, clip)
    assert caught.value.code == "exhibit.planted"
    assert [path.name for path in elsewhere.iterdir()] == ["original.mp4"]
    assert (elsewhere / "original.mp4").read_bytes() == b"something of somebody else"
    assert _events(workspace)[-1] == "acquisition.failed"


def test_working_copy_replaced_by_a_link_to_the_same_bytes_counts_as_changed(workspace: Workspace, clip: Path) -> None:
    exhibit = _acquire(workspace, clip)
    exhibit.original.unlink()
    exhibit.original.symlink_to(clip)
    with pytest.raises(VerificationFailed) as caught:
        check_untouched(workspace, exhibit)
    assert caught.value.code == "exhibit.changed"
    assert _events(workspace)[-1] == "exhibit.changed"


# Left-over and planted copies ------------------------------------------------------------------


@pytest.mark.parametrize("planted", ["wrong bytes", "cut off", "link", "extra file"])
def test_a_working_copy_that_is_already_there_is_not_believed(workspace: Workspace, clip: Path, planted: str) -> None:
    digest = sha256_file(clip)
    folder = workspace.layout.exhibit(digest)
    folder.root.mkdir()
    copy = folder.original(".mp4")
    if planted == "link":
        copy.symlink_to(clip)
    else:
        data = clip.read_bytes()
        copy.write_bytes({"wrong bytes": b"x" * len(data), "cut off": data[:1000], "extra file": data}[planted])
    if planted == "extra file":
        (folder.root / "notes.txt").write_text("not ours")
    exhibit = _acquire(workspace, clip)
    assert exhibit.original == copy
    assert not copy.is_symlink()
    assert sha256_file(copy) == digest
    assert exhibit.acquired.size == copy.stat().st_size == clip.stat().st_size
    check_untouched(workspace, exhibit)


def test_what_a_crash_left_before_the_entry_is_used_if_it_is_the_same(workspace: Workspace, clip: Path) -> None:
    exhibit = _acquire(workspace, clip)
    stat = exhibit.original.stat()
    with create_workspace(
        workspace.layout.root.parent / "again", examiner="A", lab="L", passphrase=None, origin="test"
    ) as other:
        shutil.rmtree(other.layout.exhibits)
        shutil.copytree(workspace.layout.exhibits, other.layout.exhibits)
        inode = other.layout.exhibit(exhibit.sha256).original(".mp4").stat().st_ino
        again = _acquire(other, clip)
        assert again.original.stat().st_ino == inode
        check_untouched(other, again)
    assert exhibit.original.stat() == stat


def test_a_failed_acquisition_leaves_nothing_behind(workspace: Workspace, tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no film")
    with pytest.raises(ForensicError):
        _acquire(workspace, text)
    assert list(workspace.layout.exhibits.iterdir()) == []
    assert _events(workspace)[-2:] == ["acquisition.started", "acquisition.failed"]


# Races -----------------------------------------------------------------------------------------


def test_the_same_file_acquired_twice_at_once_gives_one_exhibit(tmp_path: Path, clip: Path) -> None:
    root = tmp_path / "shared"
    assert forensic("init", "-w", root).code == 0
    command = [
        sys.executable,
        "-m",
        "forensic",
        "acquire",
        str(clip),
        "--case",
        "C1",
        "--exhibit",
        "E1",
        "-w",
        str(root),
    ]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    results = [(process.communicate(timeout=120), process.returncode) for process in processes]
    assert [code for _, code in results] == [0, 0, 0], results
    names = [entry["name"] for entry in forensic("log", "-w", root, "--json").json]
    assert names.count("exhibit.acquired") == 1
    assert names.count("exhibit.presented-again") == 2
    assert forensic("verify", root).code == 0
    assert [path.name for path in (root / "exhibits").iterdir()] == [sha256_file(clip)]


def test_two_files_under_one_id_at_once_give_one_exhibit_and_one_refusal(
    workspace: Workspace, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes() + b"\0")
    store, meeting = acquiring._store, threading.Barrier(2, timeout=60)

    def together(*arguments: Any) -> dict[str, Any]:
        meeting.wait()  # both have found the id free
        return store(*arguments)

    monkeypatch.setattr(acquiring, "_store", together)
    outcomes: dict[str, str] = {}

    def one(file: Path) -> None:
        try:
            outcomes[file.name] = _acquire(workspace, file).sha256
        except ForensicError as error:
            outcomes[file.name] = error.code

    threads = [threading.Thread(target=one, args=(file,)) for file in (clip, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes.values(), key=len) == ["exhibit.exists", find_exhibit(workspace, "E1").sha256]  # type: ignore[union-attr]
    assert _events(workspace).count("exhibit.acquired") == 1
    assert "acquisition.failed" in _events(workspace)
    assert audit(workspace.layout.ledger).ok


# Everything on the record ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "raised", "event"),
    [
        (KeyboardInterrupt(), Interrupted, "acquisition.cancelled"),
        (RuntimeError("decoder gone mad"), RuntimeError, "acquisition.failed"),
        (MemoryError(), MemoryError, "acquisition.failed"),
        (SystemExit(3), SystemExit, "acquisition.failed"),
    ],
)
def test_whatever_stops_an_acquisition_is_on_the_record(
    workspace: Workspace,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: BaseException,
    raised: type[BaseException],
    event: str,
) -> None:
    def stopping(*_: object, **__: object) -> None:
        raise stop

    monkeypatch.setattr(acquiring, "scan", stopping)
    with pytest.raises(raised):
        _acquire(workspace, clip)
    entries = list(workspace.ledger.entries())
    assert [entry.event for entry in entries[-2:]] == ["acquisition.started", event]
    assert entries[-1].data["sha256"] == sha256_file(clip)
    assert list(workspace.layout.exhibits.iterdir()) == []


def test_an_acquisition_that_was_killed_has_started_on_the_record(
    workspace: Workspace, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(*arguments: Any) -> str:
        seen.extend(_events(workspace))
        return sha256_file(clip)

    monkeypatch.setattr(acquiring, "hash_input", look)
    _acquire(workspace, clip)
    assert seen[-1] == "acquisition.started"


def test_a_shared_copy_does_not_claim_software_that_did_not_run(workspace: Workspace, clip: Path) -> None:
    first, second = _acquire(workspace, clip, "E1"), _acquire(workspace, clip, "E2")
    assert "software" in first.entry
    assert "software" not in second.entry
    assert second.entry["shares_copy_with"] == "E1"
    assert second.acquired.manifest_sha256 == first.acquired.manifest_sha256


# Names -----------------------------------------------------------------------------------------


def test_an_id_is_found_in_any_unicode_normalisation(workspace: Workspace, clip: Path) -> None:
    name = "Caméra-é"
    decomposed, composed = unicodedata.normalize("NFD", name), unicodedata.normalize("NFC", name)
    assert decomposed != composed
    assert _acquire(workspace, clip, decomposed).id == composed
    for spelling in (decomposed, composed):
        found = find_exhibit(workspace, spelling)
        assert found is not None
        assert found.id == composed
    with pytest.raises(UsageError):
        _acquire(workspace, clip, decomposed, case="another")


# The manifest ----------------------------------------------------------------------------------


def test_manifest_is_what_was_recorded_or_nothing(workspace: Workspace, clip: Path) -> None:
    exhibit = _acquire(workspace, clip)
    rows = exhibit.manifest()
    assert len(rows) == exhibit.frame_count
    path = exhibit.folder.frames
    path.chmod(0o644)
    honest = path.read_bytes()
    lines = honest.split(b"\n")
    attacks = [
        honest[:-1], b"\n".join(lines[1:]), b"", b"{}\n", b"\xff\n", honest.replace(b'"frame":5,', b'"frame":6,'),
        b'{"flags":3,"frame":0,"pts":0,"sha256":""}\n', honest + lines[0] + b"\n",
    ]  # fmt: skip
    for data in attacks:
        path.write_bytes(data)
        with pytest.raises(VerificationFailed) as caught:
            exhibit.manifest()
        assert caught.value.code == "exhibit.changed"
    path.write_bytes(honest)
    assert exhibit.manifest() == rows


# Malformed entries -----------------------------------------------------------------------------


def _entry(workspace: Workspace, clip: Path) -> dict[str, Any]:
    return dict(_acquire(workspace, clip).entry)


_SPOILT: list[tuple[str, Any]] = [
    ("sha256", 5), ("sha256", "../../../../etc"), ("sha256", "A" * 64), ("sha256", "a" * 64 + "\n"),
    ("suffix", "/../../x"), ("suffix", ".a\0b"), ("suffix", ".mp4\n"), ("suffix", ".abcdefghijkl"), ("suffix", None),
    ("frames", []), ("frames", {}), ("geometry", {}), ("geometry", None), ("colour", {"matrix": 1}), ("size", -1),
    ("size", True), ("time_base", "1/0"), ("time_base", "1" * 5000), ("time_base", 3), ("anomaly_counts", []),
    ("anomaly_counts", {"gap": "many"}), ("acquisition_sha256", None), ("stage_class", "harmless"),
    ("stage_class", None), ("file_name", 7), ("path", None), ("note", 3), ("defaults", "none"),
]  # fmt: skip


def test_malformed_entries_are_told_apart_from_proper_ones(workspace: Workspace, clip: Path) -> None:
    proper = _entry(workspace, clip)
    parsed = parse_acquired(proper)
    assert (parsed.sha256, parsed.suffix, parsed.frame_count) == (sha256_file(clip), ".mp4", 120)
    for key, value in _SPOILT:
        with pytest.raises(VerificationFailed) as caught:
            parse_acquired({**proper, key: value})
        assert caught.value.code == "exhibit.record-invalid", key
    optional = {"shares_copy_with", "software", "stage_class", "stage_class_reason", "attempt", "started", "isolation",
                "watermark"}  # fmt: skip
    for key in proper.keys() - optional:
        with pytest.raises(VerificationFailed):
            parse_acquired({name: item for name, item in proper.items() if name != key})


def test_entry_of_an_older_program_has_no_class_and_is_presentation(workspace: Workspace, clip: Path) -> None:
    proper = _entry(workspace, clip)
    del proper["stage_class"], proper["stage_class_reason"]
    assert parse_acquired(proper).stage_class is StageClass.PRESENTATION


_PROPER: dict[str, Any] = {
    "path": "/x/a.mp4", "note": None, "defaults": [], "file_name": "a.mp4", "suffix": ".mp4", "sha256": "a" * 64,
    "size": 5, "acquisition_sha256": "b" * 64, "time_base": "1/30000", "anomaly_counts": {"gap": 1},
    "geometry": {"width": 64, "height": 48, "pixel_format": "gray", "sample_aspect": "1:1"},
    "colour": {"matrix": 2, "primaries": 2, "transfer": 2, "full_range": None, "chroma_location": "left"},
    "frames": {"count": 1, "merkle_root": "c" * 64, "manifest_sha256": "d" * 64},
}  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("a" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_PLACES = [(key,) for key in _PROPER] + [
    (key, inner) for key, value in _PROPER.items() if isinstance(value, dict) for inner in value
]


@given(st.sampled_from(_PLACES), _VALUES)
def test_no_signed_nonsense_is_an_internal_error(place: tuple[str, ...], value: Any) -> None:
    data = json.loads(json.dumps(_PROPER))
    (data if len(place) == 1 else data[place[0]])[place[-1]] = value
    try:
        parsed = parse_acquired(data)
    except VerificationFailed as error:
        assert error.code == "exhibit.record-invalid"
    else:
        assert Path(parsed.sha256).name == parsed.sha256
        assert Path(f"original{parsed.suffix}").name == f"original{parsed.suffix}"


def test_signed_nonsense_in_the_ledger_stops_work_on_that_exhibit_only(workspace: Workspace, clip: Path) -> None:
    workspace.ledger.append("exhibit.acquired", {"sha256": "../../../../etc"}, case="C1", exhibit="EVIL")
    with pytest.raises(VerificationFailed) as caught:
        find_exhibit(workspace, "EVIL")
    assert caught.value.code == "exhibit.record-invalid"
    root = workspace.layout.root
    done = forensic("enhance", "EVIL", "-w", root)
    assert done.code == 1, done.err
    assert "exhibit.record-invalid" in done.err
    assert _acquire(workspace, clip, "E1").frame_count == 120


def test_originals_folder_is_never_touched(workspace: Workspace, clip: Path) -> None:
    clip.chmod(0o444)
    before = (clip.stat(), sha256_file(clip), sorted(clip.parent.iterdir()))
    _acquire(workspace, clip)
    after = clip.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_mode, after.st_ino) == (
        before[0].st_mtime_ns, before[0].st_size, before[0].st_mode, before[0].st_ino,
    )  # fmt: skip
    assert (sha256_file(clip), sorted(clip.parent.iterdir())) == before[1:]
