"""``forensic calibrate``: registered before it is measured, refused where it must be, no LOW where nothing passed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from forensic.case.calibrating import calibrate as module
from forensic.case.calibrating import preparing
from forensic.case.calibrating.calibrate import CalibrateRequest, FinishedCalibration, calibrate
from forensic.case.calibrating.reading import Taken
from forensic.case.layout import CalibrationFolder
from forensic.case.progress import Silent
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, open_workspace
from forensic.cli.main import run
from forensic.errors import BadInput, ForensicError, Interrupted
from forensic.risk.calibration.artefact import Calibration
from tests.calibration import laboratory
from tests.calibration.pairs import make_pair

WORDS = "Indoor corridor camera of model X, filmed charts, 2026"


def _request(pairs: Path, **asked: Any) -> CalibrateRequest:
    return CalibrateRequest(pairs=pairs, class_name=WORDS, workers=1, **asked)


def _entries(workspace: Workspace) -> list[Any]:
    return [entry for entry in workspace.ledger.entries() if entry.event.startswith("calibration.")]


def _rows(folder: Path) -> list[str]:
    return CalibrationFolder(folder).recordings.read_text("utf-8").splitlines()[1:]


def _stratum(made: Calibration) -> tuple[int, float | None]:
    (stratum,) = made.strata
    return stratum.n, stratum.threshold


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FinishedCalibration]:
    """A calibration of four real small pairs: one misaligned, one twice. Do not change it: copy it."""
    root = tmp_path_factory.mktemp("calibrated")
    for number in (0, 3, 4):
        make_pair(root / "pairs", number)
    make_pair(root / "pairs", 2, moved=8)
    for side in ("reference.png", "degraded.mp4"):
        shutil.copyfile(root / "pairs" / f"000.{side}", root / "pairs" / f"again.{side}")
    with laboratory.workspace(root / "ws") as workspace:
        return root, calibrate(workspace, _request(root / "pairs"), Silent())


def test_few_pairs_give_no_low_and_a_signed_record_that_says_so(small: tuple[Path, FinishedCalibration]) -> None:
    root, done = small
    made = done.calibration
    assert _stratum(made) == (2, None) and not made.has_low
    assert "fewer than the 59" in (made.strata[0].refused or "")
    assert made.subject.model == "light-x4" and made.score == "quantile/2" and made.class_ == WORDS
    assert made.laboratory is not None and made.laboratory.name == "Laboratory of Signals"
    verification = verify(root / "ws")
    assert verification.verdict >= Verdict.SIGNED
    assert {"W6", "W7", "E1", "E2", "E3"} <= {check.number for check in verification.checks}
    assert verify(done.folder).verdict >= Verdict.SIGNED


def test_refused_and_repeated_pairs_are_on_record(small: tuple[Path, FinishedCalibration]) -> None:
    _, done = small
    registered = json.loads(CalibrationFolder(done.folder).registration.read_bytes())
    (refused,) = registered["refused"]
    assert refused["code"] == "calibration.misaligned" and refused["pair"]["degraded"] == "002.degraded.mp4"
    assert len(refused["degraded_sha256"]) == 64
    assert [one["recording"] for unit in registered["recordings"] for one in unit["repeated"]] == ["again"]
    assert registered["merged"] == [["000", "again"]] and len(registered["recordings"]) == 3
    assert done.calibration.laboratory is not None and done.calibration.laboratory.refused == 1
    assert len(_rows(done.folder)) == 3  # the same pair twice is measured once
    assert {one["list"] for one in registered["recordings"]} == {"calibrate", "test"}


def test_the_same_pairs_give_the_same_counts_whatever_the_workers(
    small: tuple[Path, FinishedCalibration], tmp_path: Path
) -> None:
    root, done = small
    with laboratory.workspace(tmp_path / "ws") as workspace:
        again = calibrate(workspace, CalibrateRequest(root / "pairs", WORDS, workers=3), Silent())
    assert _rows(again.folder) == _rows(done.folder)
    assert again.calibration.strata == done.calibration.strata


def test_enough_recordings_without_a_failure_give_a_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory.made_up(monkeypatch, fails_from=9.0)
    with laboratory.workspace(tmp_path / "ws") as workspace:
        done = calibrate(workspace, _request(laboratory.manifest(tmp_path / "pairs", 80)), Silent())
        events = [entry.event for entry in _entries(workspace)]
    assert events == ["calibration.registered", "calibration.completed"]
    assert _stratum(done.calibration) == (60, 8.0)
    assert done.calibration.laboratory is not None
    (tested,) = done.calibration.laboratory.held_out
    assert (tested.n, tested.outside, tested.failures) == (20, 0, [0, 0, 0]) and tested.high[0] > 0.1
    assert verify(done.folder).verdict >= Verdict.SIGNED


def test_fifty_eight_recordings_are_too_few_and_fifty_nine_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)
    with laboratory.workspace(tmp_path / "ws") as workspace:
        found = [
            _stratum(calibrate(workspace, _request(laboratory.manifest(tmp_path / str(n), n), test_share=0.1), Silent())
                     .calibration)
            for n in (64, 65)
        ]  # fmt: skip
    assert found == [(58, None), (59, 24.0)]


def test_failures_in_every_tenth_recording_leave_no_low(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory.made_up(monkeypatch, fails_from=3.0, every=10)
    with laboratory.workspace(tmp_path / "ws") as workspace:
        done = calibrate(workspace, _request(laboratory.manifest(tmp_path / "pairs", 80)), Silent())
    assert not done.calibration.has_low and "already at threshold 3" in (done.calibration.strata[0].refused or "")


def test_several_frames_of_a_recording_count_once_and_the_worst_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch, fails_from=9.0, every=2)
    pairs = laboratory.manifest(tmp_path / "pairs", 8)
    text = (pairs / "pairs.csv").read_text("utf-8")
    for number in range(8):  # four recordings, each with a bad frame and a good one
        text = text.replace(f"camera {number},", f"camera {number // 2 * 2},")
    (pairs / "pairs.csv").write_text(text, "utf-8")
    with laboratory.workspace(tmp_path / "ws") as workspace:
        done = calibrate(workspace, _request(pairs), Silent())
    assert done.calibration.strata[0].n == 3 and len(_rows(done.folder)) == 8
    assert done.calibration.laboratory is not None and done.calibration.laboratory.held_out[0].n == 1
    assert verify(done.folder).verdict >= Verdict.SIGNED


def test_pictures_shared_by_recordings_that_are_called_independent_make_them_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)
    pairs = laboratory.manifest(tmp_path / "pairs", 6)
    (pairs / "r5.png").write_bytes((pairs / "r4.png").read_bytes())  # one reference for two
    (pairs / "d5.mp4").write_bytes(b"degraded 4 ")  # another file, which decodes to the same
    with laboratory.workspace(tmp_path / "ws") as workspace:
        calibrate(workspace, _request(pairs), Silent())
        (registered, _) = _entries(workspace)
    assert len(registered.data["recordings"]) == 5
    assert registered.data["merged"] == [["camera 4", "camera 5"]]


def test_a_pair_that_changes_after_registration_ends_it_and_nothing_is_signed(
    small: tuple[Path, FinishedCalibration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(small[0] / "pairs", tmp_path / "pairs")
    measure = module.measure

    def swapped(folder: Path, *rest: Any) -> Any:
        shutil.copyfile(folder / "003.degraded.mp4", folder / "004.degraded.mp4")
        return measure(folder, *rest)

    monkeypatch.setattr(module, "measure", swapped)
    with laboratory.workspace(tmp_path / "ws") as workspace:
        with pytest.raises(ForensicError) as stopped:
            calibrate(workspace, _request(tmp_path / "pairs"), Silent())
        first, last = _entries(workspace)
    assert stopped.value.code == "calibration.changed"
    assert (first.event, last.event, last.data["registered"]) == (
        "calibration.registered", "calibration.failed", first.seq,
    )  # fmt: skip
    (left,) = (tmp_path / "ws" / "calibrations").iterdir()
    assert left.name.endswith(".incomplete") and [path.name for path in left.iterdir()] == ["registration.json"]
    verification = verify(tmp_path / "ws")
    assert verification.verdict >= Verdict.SIGNED
    assert any("counts for nothing" in note for note in verification.not_checked)


def test_what_was_broken_off_and_tried_again_is_told_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)
    pairs, measure = laboratory.manifest(tmp_path / "pairs", 4), module.measure

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with laboratory.workspace(tmp_path / "ws") as workspace:
        monkeypatch.setattr(module, "measure", interrupted)
        with pytest.raises(Interrupted) as stopped:
            calibrate(workspace, _request(pairs), Silent())
        assert stopped.value.code == "calibration.cancelled" and "Give the same command again" in stopped.value.remedy
        monkeypatch.setattr(module, "measure", measure)
        own = calibrate(workspace, _request(pairs), Silent()).calibration.laboratory
    assert own is not None and (own.earlier, own.seen_before) == (1, 4)
    assert verify(tmp_path / "ws").verdict >= Verdict.SIGNED


def test_the_same_recordings_at_other_frames_were_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory.made_up(monkeypatch)
    taken = preparing.take

    def at(path: Path, index: int | None, sha256: str, **how: Any) -> Taken:
        found = taken(path, index, sha256, **how)
        if path.name == "r3.png":
            raise BadInput("calibration.pair", "no picture today")
        return Taken(found.sha256, found.index if index is None else index, found.frame)

    pairs = laboratory.manifest(tmp_path / "pairs", 4)
    with laboratory.workspace(tmp_path / "ws") as workspace:
        monkeypatch.setattr(preparing, "take", at)
        calibrate(workspace, _request(pairs, frame=3), Silent())
        monkeypatch.setattr(preparing, "take", taken)
        for number in range(4):  # called otherwise, the files are the same
            text = (pairs / "pairs.csv").read_text("utf-8")
            (pairs / "pairs.csv").write_text(text.replace(f"camera {number},", f"other {number},"), "utf-8")
        own = calibrate(workspace, _request(pairs, frame=4), Silent()).calibration.laboratory
    assert own is not None and (own.earlier, own.seen_before) == (1, 4)


def test_a_row_that_the_frame_asked_for_makes_equal_to_another_stays_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)
    pairs = laboratory.manifest(tmp_path / "pairs", 4)
    first, *lines = (pairs / "pairs.csv").read_text("utf-8").splitlines()
    table = [f"{first},frame", *(f"{line}," for line in lines), f"{lines[0]},4"]
    (pairs / "pairs.csv").write_text("\n".join(table) + "\n", "utf-8")
    with laboratory.workspace(tmp_path / "ws") as workspace:
        done = calibrate(workspace, _request(pairs, frame=4), Silent())
    registered = json.loads(CalibrationFolder(done.folder).registration.read_bytes())
    assert registered["given"]["pairs"] == 5
    assert [len(unit["pairs"]) + len(unit["repeated"]) for unit in registered["recordings"]].count(2) == 1
    assert verify(done.folder).verdict >= Verdict.SIGNED


def test_an_interrupt_just_after_the_registration_ends_what_was_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)
    with laboratory.workspace(tmp_path / "ws") as workspace:
        append = workspace.ledger.append

        def interrupted(event: str, *rest: Any) -> Any:
            entry = append(event, *rest)
            if event == "calibration.registered":
                raise KeyboardInterrupt
            return entry

        monkeypatch.setattr(workspace.ledger, "append", interrupted)
        with pytest.raises(Interrupted):
            calibrate(workspace, _request(laboratory.manifest(tmp_path / "pairs", 1)), Silent())
        first, last = _entries(workspace)
    assert (first.event, last.event) == ("calibration.registered", "calibration.cancelled")
    assert last.data["registered"] == first.seq


def test_an_end_after_the_signing_leaves_nothing_that_looks_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)

    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_manifest", stopped)
    with laboratory.workspace(tmp_path / "ws") as workspace:
        with pytest.raises(Interrupted):
            calibrate(workspace, _request(laboratory.manifest(tmp_path / "pairs", 2)), Silent())
        assert _entries(workspace)[-1].data["removed"] == ["report.pdf", "attestation.json"]
    (left,) = (tmp_path / "ws" / "calibrations").iterdir()
    assert not (left / "attestation.json").exists() and (left / "recordings.csv").exists()


def test_a_kill_before_the_folder_has_its_name_is_mended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)
    pairs = laboratory.manifest(tmp_path / "pairs", 2)
    with laboratory.workspace(tmp_path / "ws") as workspace:
        folder = calibrate(workspace, _request(pairs), Silent()).folder
        folder.rename(folder.with_name(f"{folder.name}.incomplete"))
        verification = verify(tmp_path / "ws")
        assert verification.verdict >= Verdict.SIGNED and "E4" in {check.number for check in verification.checks}
        calibrate(workspace, _request(pairs), Silent())
    assert folder.is_dir() and verify(tmp_path / "ws").verdict >= Verdict.SIGNED


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("recording,reference\na,b\n", "calibration.pairs"),
        ("recording,reference,degraded\na,../b.png,c.mp4\n", "calibration.pairs"),
        ("recording,reference,degraded,frame\na,b.png,c.mp4,x\n", "calibration.pairs"),
        ("recording,reference,degraded\na,b.png,c.mp4\na,b.png,c.mp4\n", "calibration.pairs"),
        ("recording,reference,degraded\na,b.png,c.mp4\n", "calibration.no-pairs"),
    ],
)
def test_what_cannot_be_begun_is_refused_on_record(tmp_path: Path, content: str, code: str) -> None:
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "pairs.csv").write_text(content, "utf-8")
    with laboratory.workspace(tmp_path / "ws") as workspace:
        with pytest.raises(ForensicError) as refused:
            calibrate(workspace, _request(tmp_path / "pairs"), Silent())
        (entry,) = _entries(workspace)
    assert refused.value.code == code and (entry.event, entry.data["code"]) == ("calibration.refused", code)


@pytest.mark.parametrize("recipe", ["classic", "multi", "fuse"])
def test_a_recipe_that_has_no_score_to_calibrate_is_refused(tmp_path: Path, recipe: str) -> None:
    pairs = laboratory.manifest(tmp_path / "pairs", 1)
    with laboratory.workspace(tmp_path / "ws") as workspace, pytest.raises(ForensicError) as refused:
        calibrate(workspace, _request(pairs, recipe=recipe), Silent())
    assert refused.value.code == "calibration.recipe"


def test_the_command_says_that_there_is_no_low_by_its_exit_code(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)
    pairs = laboratory.manifest(tmp_path / "pairs", 2)
    with laboratory.workspace(tmp_path / "ws"):
        pass
    command = ["calibrate", "--pairs", str(pairs), "--class-name", WORDS, "-w", str(tmp_path / "ws"), "--json"]
    assert run(command) == 6
    told = json.loads(capsys.readouterr().out)
    assert told["low"] is False and told["strata"][0]["low_below"] is None
    assert (Path(told["folder"]) / "attestation.json").exists()
    with open_workspace(tmp_path / "ws", None) as workspace:
        assert _entries(workspace)[-1].data["low"] is False
