"""Attacks on a run that is broken off: by kills, power cuts and full disks, and by people while it waits."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forensic.case import attest as attesting
from forensic.case.journal import FrameLine, MapLine
from forensic.case.progress import Silent
from forensic.case.resume import resume, unfinished
from forensic.case.verification.workspaces import verify_workspace
from forensic.case.workspace import open_workspace
from forensic.errors import VerificationFailed
from forensic.frames.frame import CodedFrame
from forensic.frames.manifest import FrameRow
from forensic.hashes import sha256_bytes, sha256_file
from forensic.ledger.order import INTERRUPTED, RESUMED
from forensic.media.reader import ExhibitReader
from forensic.media.writer import MasterWriter
from tests.case.conftest import Case, flip, forensic
from tests.kills import campaign, child_enhance, child_resume, contents, finish, start
from tests.kills.breaking import (  # noqa: F401 - fixtures
    ON_DISK,
    Broken,
    _broken,
    acquired,
    asked,
    broken,
    resume_whole,
    undisturbed,
)
from tests.kills.power import cut_power, failing_sync, lying_disk

# pytest finds fixtures by name.
# ruff: noqa: F811

KILLS = int(os.environ.get("FORENSIC_KILLS", "12"))


def test_killed_anywhere_loses_nothing_on_record(real_clip: Path) -> None:
    """At least a dozen kills at random moments; FORENSIC_KILLS=50, or ``make kills``, for more."""
    moment = random.Random(20260301)
    with campaign(real_clip, frames=4) as (work, scratch):
        work.acquisition(scratch, moment, real_clip)
        while work.kills < KILLS:
            work.trial(scratch, moment, again=0.7)
    print(work.summary())
    assert not work.lost, work.lost


# --- tampering while the run waits ---------------------------------------------------------------


def _painted(broken: Broken, where: Path) -> list[CodedFrame]:
    """The partial output anew, well-formed, with a white bar in every frame; returns its frames."""
    with ExhibitReader(broken.folder.output) as reader:
        found = list(reader.frames())
        painted = []
        for frame in found:
            planes = [plane.copy() for plane in frame.planes]
            planes[0][40:60] = 235
            painted.append(CodedFrame(tuple(planes), frame.geometry, frame.colour, frame.timing, frame.stage_class))
        with MasterWriter(where, reader.geometry, reader.colour, reader.time_base) as writer:
            for frame in painted:
                writer.write(frame)
    return painted


@pytest.mark.parametrize("journal_too", [False, True])
def test_partial_output_is_tampered_with_before_resuming(
    broken: Broken, undisturbed: dict[str, bytes], tmp_path: Path, journal_too: bool
) -> None:
    """Pixels painted over, and the journal made to vouch for them: no signed entry does, so they are made again."""
    painted = _painted(broken, tmp_path / "painted.mkv")
    assert len(painted) == ON_DISK
    shutil.copyfile(tmp_path / "painted.mkv", broken.folder.output)
    if journal_too:
        lines = []
        for line in broken.working.journal.read_bytes().splitlines():
            value: dict[str, Any] = json.loads(line)
            place = value["row"]["frame"] - 1 if value["kind"] == "frame" else ON_DISK
            if place < ON_DISK:
                row = value["row"]
                forged = FrameRow(row["frame"], row["pts"], painted[place].sha256, tuple(row["flags"]))
                line = FrameLine(forged, painted[place].stage_class.GEOMETRIC, tuple(value["notes"])).to_line()
            lines.append(line + b"\n")
        broken.working.journal.write_bytes(b"".join(lines))
    with broken.open() as work:
        run = resume(work, broken.run_id, Silent())
    assert run.predicate["run"]["frames_reused"] == 0
    assert contents(run.folder) == undisturbed


def test_stills_and_maps_are_exchanged_before_resuming(broken: Broken, undisturbed: dict[str, bytes]) -> None:
    """Alone, or together with the journal's digests of them."""
    still, level = broken.folder.still(1), broken.folder.level_map(1)
    shutil.copyfile(broken.folder.source_still(1), still)
    flip(level)
    lines = []
    for line in broken.working.journal.read_bytes().splitlines():
        value: dict[str, Any] = json.loads(line)
        if value["kind"] == "map" and value["frame"] == 1:
            value["files"][broken.folder.name(still)] = sha256_file(still)
            line = MapLine(1, value["files"], value["record"]).to_line()
        lines.append(line + b"\n")
    broken.working.journal.write_bytes(b"".join(lines))
    resume_whole(broken)
    assert contents(broken.finished) == undisturbed


def test_files_are_planted_before_resuming(broken: Broken, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """Nothing planted is signed as part of the run, nothing is written through a link, and the record names it."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "original.mp4").write_bytes(b"original")
    folder = broken.folder.root
    (folder / "confession.txt").write_text("planted")
    (folder / "risk" / "000099.level.png").write_bytes(b"planted")
    (folder / "notes.jsonl").symlink_to(precious / "original.mp4")
    (folder / "frames.jsonl").unlink()
    (folder / "frames.jsonl").symlink_to(precious / "original.mp4")
    (folder / "more").symlink_to(precious)
    (folder / "frames" / "within").mkdir(parents=True)
    (folder / "attestation.json").mkdir()
    (broken.working.root / "earlier.mkv").symlink_to(precious / "original.mp4")
    resume_whole(broken)
    assert contents(broken.finished) == undisturbed
    assert (precious / "original.mp4").read_bytes() == b"original"
    (entry,) = (entry for entry in broken.entries() if entry.event == RESUMED)
    assert {"confession.txt", "risk/000099.level.png", "more"} <= set(entry.data["removed"])
    assert not [check for check in verify_workspace(broken.root).checks if not check.passed]


@pytest.mark.parametrize("part", ["stills", "root"])
def test_folder_of_the_run_is_exchanged_for_a_link(
    broken: Broken, undisturbed: dict[str, bytes], tmp_path: Path, part: str
) -> None:
    precious = tmp_path / "precious"
    shutil.copytree(broken.folder.stills if part == "stills" else broken.folder.root, precious)
    before = {path: path.read_bytes() for path in precious.rglob("*") if path.is_file()}
    target = broken.folder.stills if part == "stills" else broken.folder.root
    shutil.rmtree(target)
    target.symlink_to(precious)
    if part == "root":
        with pytest.raises(VerificationFailed) as refused, broken.open() as work:
            resume(work, broken.run_id, Silent())
        assert refused.value.code == "run.planted"
    else:
        resume_whole(broken)
        assert contents(broken.finished) == undisturbed
    assert {path: path.read_bytes() for path in precious.rglob("*") if path.is_file()} == before


def test_random_damage_to_what_is_left(broken: Broken, undisturbed: dict[str, bytes]) -> None:
    choose = random.Random(7)
    # One that was being begun when the kill came is empty: it has no bit to flip.
    pictures = [path for path in sorted(broken.folder.root.rglob("*.png")) if path.stat().st_size]
    assert pictures
    for path in (broken.folder.output, broken.working.journal, *pictures[::2]):
        flip(path, choose.random(), choose.randrange(8))
    resume_whole(broken)
    assert contents(broken.finished) == undisturbed


def test_exhibit_is_swapped_before_resuming(broken: Broken, undisturbed: dict[str, bytes], street_clip: Path) -> None:
    (original,) = (broken.root / "exhibits").glob("*/original.*")
    kept = original.read_bytes()
    original.chmod(0o644)
    shutil.copyfile(street_clip, original)
    done = forensic("resume", broken.run_id, "-w", broken.root)
    assert done.code == 1
    assert "exhibit.changed" in done.err
    assert broken.events()[-2:] == [INTERRUPTED, "resume.refused"]
    original.write_bytes(kept)
    resume_whole(broken)
    assert contents(broken.finished) == undisturbed


def test_resumed_run_hides_its_interruption(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a changed program, with the right key: the ledger knows better."""
    monkeypatch.setattr(attesting, "interruptions", lambda entries: [])
    with broken.open() as work:
        run = resume(work, broken.run_id, Silent())
    failed = {check.number for check in verify_workspace(broken.root).checks if not check.passed}
    assert any(number.endswith("C4") for number in failed), failed
    assert run.predicate["run"]["interruptions"] == []


# --- power and disks -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_power_is_cut_between_write_and_sync(
    acquired: Path, asked: dict[str, Any], undisturbed: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    """After a kill, everything that was not synced is lost, cut short or zeroed, renames included."""
    root = tmp_path / "ws"
    shutil.copytree(acquired, root)
    report = cut_power(root, asked, random.Random(seed))
    assert report.synced > 0
    _finish_whatever_is_left(root, asked, undisturbed)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_disk_that_lies_about_syncing_loses_the_ledger_s_last_entries(
    broken: Broken, undisturbed: dict[str, bytes], lost: int
) -> None:
    """The last transactions are gone: an older root still vouches for the frames before it."""
    lying_disk(broken.root, lost)
    resume_whole(broken)
    assert contents(broken.finished) == undisturbed
    assert not [check for check in verify_workspace(broken.root).checks if not check.passed]


@pytest.mark.parametrize("at", [2, 9, 16, 30])
def test_sync_fails(
    acquired: Path, asked: dict[str, Any], undisturbed: dict[str, bytes], tmp_path: Path, at: int
) -> None:
    root = tmp_path / "ws"
    shutil.copytree(acquired, root)
    failing_sync(root, asked, at)
    _finish_whatever_is_left(root, asked, undisturbed)


def _finish_whatever_is_left(root: Path, request: dict[str, Any], undisturbed: dict[str, bytes]) -> None:
    with open_workspace(root, lambda: "") as work:
        left = unfinished(work)
    if left:
        finish(start(child_resume, root, left[0].run_id))
    else:  # it had not begun, or was refused before it began
        finish(start(child_enhance, root, "X", request))
    with open_workspace(root, None) as work:
        (run_id,) = (entry.run for entry in work.ledger.entries(event="run.finished"))
    assert contents(root / "runs" / str(run_id)) == undisturbed
    assert not [check for check in verify_workspace(root).checks if not check.passed]


_SMALL = """
set -e
mount -t tmpfs -o size={small}k none {root}
cp -r {acquired} {root}/ws
set +e
{python} -m forensic enhance X -w {root}/ws --recipe {recipe} --frames {frames} --quiet; echo code $?
{python} -m forensic verify {root}/ws > {out}/verified; echo verified $?
{python} -m forensic log -w {root}/ws --json > {out}/log
{python} -m forensic resume -w {root}/ws --json > {out}/left
mount -o remount,size=100m {root}
{python} -m forensic resume $({python} -c "import json; print(json.load(open('{out}/left'))[0]['run'])") -w {root}/ws
echo resumed $?
cp -r {root}/ws {out}/kept
"""


@pytest.mark.parametrize("room", [350, 1000])
def test_disk_fills_up(
    acquired: Path, asked: dict[str, Any], undisturbed: dict[str, bytes], tmp_path: Path, room: int
) -> None:
    """A real file system with so many KiB left: the run stops, says so, and goes on once there is room."""
    root, out = tmp_path / "small", tmp_path / "out"
    root.mkdir()
    out.mkdir()
    used = sum((path.stat().st_size + 4095) // 4096 * 4 for path in acquired.rglob("*"))
    script = _SMALL.format(
        small=used + room, root=root, out=out, acquired=acquired, python=sys.executable, recipe=asked["recipe"],
        frames="{}:{}".format(*asked["frames"]),
    )  # fmt: skip
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "code 5" in done.stdout, said
    assert "verified 0" in done.stdout, said
    assert "resumed 0" in done.stdout, said
    assert "forensic resume R-" in done.stderr
    events = [entry["name"] for entry in json.loads((out / "log").read_text())]
    assert events[-1] == INTERRUPTED, said
    (run,) = (out / "kept" / "runs").iterdir()
    assert contents(run) == undisturbed
    told = Case(out / "kept", run).predicate()["run"]["interruptions"]
    assert len(told) == 1
    assert "disk-full" in told[0]["code"] or "No space left" in told[0]["reason"]
    assert not [check for check in verify_workspace(out / "kept").checks if not check.passed]


def test_journal_lines_are_canonical() -> None:
    """They are put together by hand, for speed: they must be what the canonical form is."""
    from forensic.frames.stageclass import StageClass
    from forensic.hashes import canonical_json, parse_canonical

    row = FrameRow(7, -3, sha256_bytes(b"x"), ("damaged", "pts-synthesised"))
    for notes in ((), ({"stage": "temporal-average", "weights": [0.25, 1e-7, 1.0]},)):
        line = FrameLine(row, StageClass.FIDELITY, notes).to_line()
        assert canonical_json(parse_canonical(line)) == line
