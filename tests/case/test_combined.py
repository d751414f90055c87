"""What fusion tells of its pictures is in the run, in record, report and bundle, whatever happened on the way."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event, Timer
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from forensic.case import combined, execution, journal
from forensic.case.journal import Kept, MapLine
from forensic.case.layout import RunFolder, is_recorded_name
from forensic.case.workspace import open_workspace
from forensic.errors import BadInput, Interrupted
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import layout_named
from forensic.frames.manifest import FrameRow
from forensic.frames.stageclass import StageClass
from forensic.fusion.options import SplitHalves
from forensic.hashes import parse_canonical
from forensic.media.reader import ExhibitReader
from forensic.report.record import RunRecord
from forensic.report.sections.combined import combined as section
from forensic.stages.catalogue import build
from tests.bundle_vectors.agreement import both_accept, both_refuse
from tests.case.bundling import reseal
from tests.case.conftest import forensic
from tests.kills import child_enhance, contents, finish, start
from tests.kills.breaking import Broken, acquired, break_off, resume_whole  # noqa: F401 - fixtures

# pytest finds fixtures by name.
# ruff: noqa: F811

RECIPE = """
name = "small-fusion"
title = "A quick fusion"
why = "Files of the split halves."
[[stage]]
name = "fusion"
why = "combines"
parameters = { frames = 2, scale = 2, self_similarity = false }
"""
FRAMES = (3, 6)
KINDS = ("weights", "effective", "even", "odd")
Asked = dict[str, Any]


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory, acquired: Path) -> tuple[Path, Asked]:
    """Folder of a run that fuses five frames, made with one worker, and its request."""
    folder = tmp_path_factory.mktemp("fused")
    recipe = folder / "small.toml"
    recipe.write_text(RECIPE)
    shutil.copytree(acquired, folder / "ws")
    asked = {"recipe": str(recipe), "frames": FRAMES, "workers": 1, "roi": (40, 32, 64, 64)}
    finish(start(child_enhance, folder / "ws", "X", asked))
    (run,) = (folder / "ws" / "runs").iterdir()
    return run, asked


def record_of(run: Path) -> Any:
    return json.loads(b64decode(json.loads((run / "attestation.json").read_bytes())["payload"]))


def numbers(run: Path, name: str) -> np.ndarray:
    """The file as other people's tools read it."""
    return np.asarray(Image.open(run / name))


def test_every_mapped_frame_has_its_files_and_the_record_signs_them(fused: tuple[Path, Asked]) -> None:
    run, _ = fused
    statement = record_of(run)
    told = statement["predicate"]["fusion"]
    assert told["stage"] == {"position": 2, "name": "fusion"} and told["not_told"] == []
    assert [frame["frame"] for frame in told["frames"]] == list(range(*FRAMES))
    subjects = {subject["name"] for subject in statement["subject"]}
    for frame in told["frames"]:
        assert set(frame["files"]) == set(KINDS) and set(frame["files"].values()) <= subjects
        assert frame["split_half"] is not None and frame["no_split_half"] is None
    assert all(is_recorded_name(name) for name in subjects)
    assert {name for name in subjects if name.startswith("fusion/")} == {
        f"fusion/{number:06d}.{kind}.png" for number in range(*FRAMES) for kind in KINDS
    }


def test_the_files_hold_what_the_stage_tells_of_these_frames(fused: tuple[Path, Asked], real_clip: Path) -> None:
    run, _ = fused
    crop = build("crop", {"x": 40, "y": 32, "width": 64, "height": 64})
    with ExhibitReader(real_clip, coding=True) as reader:
        frames = [crop.process([frame.to_working()], 0) for frame, _ in zip(reader.frames(), range(7), strict=False)]
    stage = build("fusion", {"frames": 2, "scale": 2, "self_similarity": False})
    found = stage.split_halves(frames[2:7], 2)
    files = record_of(run)["predicate"]["fusion"]["frames"][1]["files"]
    assert found.halves is not None
    for kind, luma in zip(("even", "odd"), found.halves, strict=True):
        stored = numbers(run, files[kind])
        assert (
            stored.shape == (128, 128) and np.abs(stored / 256 - np.clip(luma, 0, 65535 / 256)).max() <= 1 / 512 + 1e-4
        )
    assert np.abs(numbers(run, files["effective"]) / 256 - found.effective).max() <= 1 / 512 + 1e-4
    weights = numbers(run, files["weights"]).reshape(5, 64, 64)
    assert np.abs(weights / 255 - found.weights).max() <= 1 / 255 and ((weights > 0) == (found.weights > 0)).all()
    assert (weights[2] == 255).all()
    made = stage.process_noted(frames[2:7], 2)[1]["fusion"]
    assert made == found.report  # told of the very picture that the run holds


def test_the_risk_map_heeds_what_the_frames_taken_apart_show(fused: tuple[Path, Asked]) -> None:
    run, _ = fused
    risk, frames = (record_of(run)["predicate"][name]["frames"] for name in ("risk", "fusion"))
    for mapped, combining in zip(risk, frames, strict=True):
        even, odd = (numbers(run, combining["files"][kind]).astype(np.float64) / 256 for kind in ("even", "odd"))
        told = mapped["summary"]["split_half"]
        largest = float(np.abs(even - odd).max()) / 2
        assert 0.0 < told["p99"] <= told["max"] <= largest + 0.01
        assert "halves of the frames" in mapped["summary"]["combination"]
        assert mapped["summary"]["null_space_reference"].endswith("(Tikhonov)")  # no model refined it


def test_where_another_stage_follows_the_map_does_not_hold_the_output_against_the_halves(
    tmp_path: Path, acquired: Path
) -> None:
    recipe = tmp_path / "turned.toml"
    turned = '[[stage]]\nname = "rotate-flip"\nwhy = "turns"\nparameters = { rotate = 180 }\n'
    recipe.write_text(RECIPE + turned)
    shutil.copytree(acquired, tmp_path / "ws")
    finish(
        start(child_enhance, tmp_path / "ws", "X", {"recipe": str(recipe), "frames": (3, 4), "roi": (40, 32, 64, 64)})
    )
    (run,) = (tmp_path / "ws" / "runs").iterdir()
    predicate = record_of(run)["predicate"]
    (mapped,) = predicate["risk"]["frames"]
    assert mapped["summary"]["split_half"] is None
    assert any("stage rotate-flip follows" in one for one in mapped["summary"]["remarks"])
    assert predicate["fusion"]["frames"][0]["split_half"] is not None  # the files are there all the same


def test_every_frame_is_weighed_by_its_own_quantiser(fused: tuple[Path, Asked], real_clip: Path) -> None:
    run, _ = fused
    line = json.loads((run / "notes.jsonl").read_text().splitlines()[0])
    (note,) = (note["fusion"] for note in line["notes"] if note["stage"] == "fusion")
    assert note["quantiser_source"] == "bitstream, 5 of 5 frames"
    with ExhibitReader(real_clip, coding=True) as reader:
        frames = [frame for frame, _ in zip(reader.frames(), range(6), strict=False)]
    for row in note["frames"]:
        coding = frames[row["frame"]].coding
        assert coding is not None and row["picture_type"] == coding.picture_type and row["not_exported"] is None
        assert row["quantiser"] == pytest.approx(coding.quantiser)
        assert row["stated"] == {"quantiser": pytest.approx(coding.quantiser, abs=1e-3), "scale": "h264"}


def test_anybody_can_compute_the_difference_again(fused: tuple[Path, Asked]) -> None:
    run, _ = fused
    frame = record_of(run)["predicate"]["fusion"]["frames"][0]
    even, odd = (numbers(run, frame["files"][kind]).astype(float) / 256 for kind in ("even", "odd"))
    apart = np.sort(np.abs(even - odd).ravel())
    assert frame["split_half"]["mean"] == pytest.approx(apart.mean(), abs=1e-4)
    assert frame["split_half"]["p99"] == apart[-(-99 * apart.size // 100) - 1]
    assert frame["split_half"]["max"] == apart[-1] > 0


def test_a_run_broken_off_and_resumed_with_more_workers_has_the_same_bytes(
    fused: tuple[Path, Asked], acquired: Path, tmp_path: Path
) -> None:
    run, asked = fused
    shutil.copytree(acquired, tmp_path / "ws")
    break_off(2, child_enhance, tmp_path / "ws", "X", asked | {"workers": 2})
    with open_workspace(tmp_path / "ws", None) as work:
        (begun,) = work.ledger.unfinished_runs()
    broken = Broken(tmp_path / "ws", begun.run or "")
    resume_whole(broken)
    assert contents(broken.finished) == contents(run)
    assert record_of(broken.finished)["predicate"]["fusion"] == record_of(run)["predicate"]["fusion"]


def test_verified_reported_and_carried_in_a_bundle(fused: tuple[Path, Asked], tmp_path: Path) -> None:
    run, _ = fused
    assert forensic("verify", run).code == 0
    text = subprocess.run(["pdftotext", "-layout", run / "report.pdf", "-"], capture_output=True, text=True, check=True)
    assert "Frames combined, and what chance contributed" in text.stdout and "fusion/000003.even.png" in text.stdout
    done = forensic("bundle", run.name, "-w", run.parents[1], "--out", tmp_path / "bundle.zip")
    assert done.code == 0, done.err
    both_accept(tmp_path / "bundle.zip")
    spoilt = tmp_path / "ws"
    shutil.copytree(run.parents[1], spoilt)
    odd = spoilt / "runs" / run.name / "fusion" / "000004.odd.png"
    odd.chmod(0o644)
    odd.write_bytes(odd.read_bytes()[:-1] + b"\0")
    assert forensic("verify", odd.parents[1]).code != 0
    shutil.unpack_archive(tmp_path / "bundle.zip", tmp_path / "unpacked")
    (disclosed,) = (tmp_path / "unpacked").rglob("000004.odd.png")
    (bag,) = (folder for folder in disclosed.parents if (folder / "bagit.txt").is_file())
    both_accept(bag)
    disclosed.chmod(0o644)
    whole = disclosed.read_bytes()
    disclosed.write_bytes(whole[:-1] + b"\0")
    both_refuse(bag)
    reseal(bag, run.parents[1])  # by the laboratory itself: what the run signed still says otherwise
    assert "manifest-" not in both_refuse(bag)
    disclosed.write_bytes(whole)
    reseal(bag, run.parents[1])
    both_accept(bag)
    disclosed.unlink()
    reseal(bag, run.parents[1])
    assert "manifest-" not in both_refuse(bag)


def test_ctrl_c_waits_only_for_what_has_begun() -> None:
    begun, go_on, made = Event(), Event(), list[int]()

    def half(number: int) -> int:
        begun.set()
        go_on.wait(30)
        made.append(number)
        return number

    def stop() -> NoReturn:
        begun.wait(30)
        Timer(0.2, go_on.set).start()  # after the queue was emptied
        raise KeyboardInterrupt

    maps, halves = list[Future[int]](), list[Future[int]]()
    with (
        pytest.raises(KeyboardInterrupt),
        execution._at_work(ThreadPoolExecutor(1), ThreadPoolExecutor(1)) as (mapper, halver),
    ):
        halves += [halver.submit(half, number) for number in range(4)]
        maps += [mapper.submit(lambda result=found.result: result()) for found in halves]  # type: ignore[misc]
        stop()
    assert made == [0] and all(future.cancelled() for future in halves[1:])
    assert maps[0].result() == 0 and all(future.cancelled() for future in maps[1:])


def test_a_run_that_is_stopped_lets_nothing_begin_that_waits(
    acquired: Path, tmp_path: Path, fused: tuple[Path, Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, asked = fused
    shutil.copytree(acquired, tmp_path / "ws")
    cancelled: list[bool] = []
    shutdown = ThreadPoolExecutor.shutdown

    def told(self: ThreadPoolExecutor, wait: bool = True, *, cancel_futures: bool = False) -> None:
        cancelled.append(cancel_futures)
        shutdown(self, wait, cancel_futures=cancel_futures)

    def stopped(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal, "LEAST_SECONDS", journal.LEAST_SECONDS)  # which the child's part changes
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", told)
    monkeypatch.setattr(FrameRow, "of", stopped)
    with pytest.raises(Interrupted):
        child_enhance(tmp_path / "ws", "X", asked)
    assert cancelled.count(True) >= 2
    assert forensic("verify", tmp_path / "ws").code == 0


def test_without_halves_the_record_and_the_report_say_why(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    frame = CodedFrame(
        (np.zeros((64, 64), np.uint8),), Geometry(64, 64, layout_named("gray")), ColourSpec(),
        FrameTiming(7, 7, 1), StageClass.FIDELITY,
    )  # fmt: skip
    report = {"frames": [{"frame": 7}], "effective_frames": 1.0, "single_frame_share": 1.0}
    alone = SplitHalves(None, "not asked for", np.ones((1, 32, 32), np.float32), np.ones((32, 32), np.float32), report)
    files, record = combined.write_combined(folder, alone, frame)
    assert {path.name for path in files} == {"000007.weights.png", "000007.effective.png"}
    assert record["split_half"] is None and record["no_split_half"] == "not asked for"
    line = MapLine(7, {}, {}, record)
    kept = Kept()
    kept.admit(line.to_line())
    assert kept.maps[7] == line and "combined" not in parse_canonical(MapLine(7, {}, {}).to_line())


def test_a_generative_frame_has_no_halves_whose_difference_would_lack_its_label(tmp_path: Path) -> None:
    frame = CodedFrame(
        (np.zeros((128, 128), np.uint8),), Geometry(128, 128, layout_named("gray")), ColourSpec(),
        FrameTiming(0, 0, 1), StageClass.GENERATIVE,
    )  # fmt: skip
    report = {"frames": [{"frame": 0}], "effective_frames": 1.0, "single_frame_share": 1.0}
    half = np.full((128, 128), 100.0, np.float32)
    found = SplitHalves((half, half), None, np.ones((1, 64, 64), np.float32), np.ones((64, 64), np.float32), report)
    files, record = combined.write_combined(RunFolder(tmp_path), found, frame)
    assert sorted(path.name for path in files) == ["000000.effective.png", "000000.weights.png"]
    assert record["split_half"] is None and record["no_split_half"] == combined.NO_GENERATIVE
    assert "even" not in record["files"]


def test_units_that_are_not_known_are_not_printed(fused: tuple[Path, Asked]) -> None:
    run, _ = fused
    predicate = record_of(run)["predicate"]
    record = RunRecord(predicate, run, (run / "attestation.json").read_bytes())
    assert len(section(record)) > 3
    record.predicate["fusion"]["units_per_frame"] = 100  # type: ignore[index]
    with pytest.raises(BadInput):
        section(record)
    record.predicate["fusion"] = None  # type: ignore[index]
    assert section(record) == []
