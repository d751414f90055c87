"""Where a generative stage invents is measured, mapped, signed, shown; and every tile stays HIGH."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from forensic.case import execution
from forensic.case.ending import Terminated
from forensic.case.enhance import FinishedRun, exhibit_for
from forensic.case.layout import is_recorded_name
from forensic.case.progress import Silent
from forensic.case.resume import resume
from forensic.case.verify import verify
from forensic.case.workspace import Workspace
from forensic.errors import Interrupted
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.risk.invention import BY_CONTRAST, BY_SPREAD
from forensic.stages.catalogue import registered
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Stage, StageCard
from tests.case.test_generative_gate import Invention, _enhance, recipe, workspace  # noqa: F401 - fixtures

# pytest finds fixtures by name.
# ruff: noqa: F811

_PLACE = (slice(32, 64), slice(48, 96))  # where it invents


class LotsParameters(Parameters):
    """One number."""

    seed: int = parameter(3, title="Seed", unit="number", ge=0, le=9, description="What the lots are drawn from.")


class Lots(Stage[LotsParameters]):
    """Draws texture by lot in one place, and nothing elsewhere."""

    name = "test-lots"
    title = "Lots, for tests only"
    stage_class = StageClass.GENERATIVE
    card = StageCard("Draws texture by lot.", ("Everything.",), ("None: exists in the test suite only.",))
    parameter_model = LotsParameters

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> tuple[np.ndarray, ...]:
        luma = window[at].planes[0].copy()
        rng = np.random.default_rng([self.parameters.seed, window[at].timing.index])
        luma[_PLACE] += rng.normal(0, 40, luma[_PLACE].shape).astype(np.float32)
        return (luma, *window[at].planes[1:])


@pytest.fixture
def lots(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "lots.toml"
    path.write_text('name = "lots"\ntitle = "T"\nwhy = "W."\n[[stage]]\nname = "test-lots"\nwhy = "Draws lots."\n')
    with registered(Lots):
        yield path


def _marks(run: FinishedRun, frame: int) -> np.ndarray:
    return np.asarray(cv2.imread(str(run.folder / f"risk/{frame:06d}.invented.png"), cv2.IMREAD_UNCHANGED))


def test_what_was_drawn_by_lot_is_marked_in_record_files_and_report(
    workspace: Workspace, lots: Path, real_clip: Path
) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    run = _enhance(workspace, exhibit, lots, frames=(0, 2))
    first = run.predicate["risk"]["frames"][0]
    assert first["files"]["invented"] == "risk/000000.invented.png" and is_recorded_name(first["files"]["invented"])
    told = first["summary"]["invention"]
    assert told["status"] == "UNCALIBRATED"
    assert told["spread"]["variants"] == [f"seed {seed}" for seed in (3, 0, 1, 2, 4, 5, 6, 7)]
    assert first["summary"]["dispersion"]["note"].startswith("Spread over seeds")
    marks = _marks(run, 0)
    inside = np.zeros(marks.shape, bool)
    inside[_PLACE] = True
    assert (marks[inside] == BY_CONTRAST + BY_SPREAD).mean() > 0.8
    far = cv2.dilate(inside.astype(np.uint8), np.ones((41, 41), np.uint8)) == 0
    assert not marks[far].any()  # nor is the burned-in label taken for invented detail
    (region,) = told["regions"]
    assert region["x"] <= 48 and region["y"] <= 32 and region["x"] + region["w"] >= 96 and region["spread_p90"] > 30
    assert first["summary"]["levels"]["HIGH"]["share"] == 1.0 and first["summary"]["forced"] is not None
    verification = verify(run.folder)
    assert verification.verdict.label == "SIGNED" and all(check.passed for check in verification.checks)
    command = ["pdftotext", "-layout", str(run.folder / "report.pdf"), "-"]
    text = " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert "Where detail was invented (UNCALIBRATED)" in text and "8 times with other random numbers" in text


def test_without_seed_or_model_contrast_alone_is_told(workspace: Workspace, recipe: Path, real_clip: Path) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with registered(Invention):
        run = _enhance(workspace, exhibit, recipe, frames=(0, 2))
    told = run.predicate["risk"]["frames"][0]["summary"]["invention"]
    assert told["spread"] is None and told["contrast"]["share"] > 0.05
    assert set(np.unique(_marks(run, 0))) <= {0, BY_CONTRAST}


def test_map_of_a_run_that_was_broken_off_is_the_same(
    workspace: Workspace, lots: Path, real_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    whole = _enhance(workspace, exhibit, lots, frames=(0, 3))
    mapping = execution.invention_of

    def broken(plan, output, window, spread):  # type: ignore[no-untyped-def]
        if output.frame.timing.index == 1:
            raise Terminated
        return mapping(plan, output, window, spread)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(execution, "invention_of", broken)
        _enhance(workspace, exhibit, lots, frames=(0, 3))
    (begun,) = workspace.ledger.unfinished_runs()
    resumed = resume(workspace, str(begun.run), Silent())
    for frame in range(3):
        name = f"risk/{frame:06d}.invented.png"
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
