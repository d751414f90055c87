"""What stands beside generative stills must be what the recording gives: attempts to put something else there.

The attacker has the program and the key: every record here is signed by the one whose run it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensic.case import execution
from forensic.case.enhance import FinishedRun, exhibit_for
from forensic.case.layout import RunFolder
from forensic.case.plan import RunPlan
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.storage import make_folder
from forensic.case.verification.beside import misplaced
from forensic.case.verify import verify
from forensic.case.workspace import Workspace
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.label import burn
from forensic.media.stills import write_still
from forensic.stages.catalogue import registered
from tests.case.test_generative_gate import Invention, _enhance, recipe, workspace  # noqa: F401 - fixtures

# pytest finds fixtures by name.
# ruff: noqa: F811

_Writer = Callable[[RunPlan, RunFolder, list[WorkingFrame], int], dict[Path, str]]


def _run(work: Workspace, recipe: Path, clip: Path) -> FinishedRun:
    exhibit = exhibit_for(work, str(clip), Silent())
    with registered(Invention):
        return _enhance(work, exhibit, recipe, frames=(0, 2))


def _failed(run: FinishedRun) -> set[str]:
    verification = verify(run.folder)
    return {check.number for check in verification.checks if not check.passed}


def _generated(plan: RunPlan, window: list[WorkingFrame], at: int, stage_class: StageClass) -> CodedFrame:
    made = plan.pipeline.process_window(window, at).quantise()
    return CodedFrame(made.planes, made.geometry, made.colour, made.timing, stage_class)


def _put(folder: RunFolder, frame: CodedFrame, number: int) -> dict[Path, str]:
    path = folder.beside_still(number)
    make_folder(path.parent)
    return {path: write_still(path, frame)[1]}


def _picture_itself(plan: RunPlan, folder: RunFolder, window: list[WorkingFrame], at: int) -> dict[Path, str]:
    return _put(folder, _generated(plan, window, at, StageClass.GENERATIVE), window[at].timing.index)


def _picture_itself_under_a_lower_class(
    plan: RunPlan, folder: RunFolder, window: list[WorkingFrame], at: int
) -> dict[Path, str]:
    labelled = burn(_generated(plan, window, at, StageClass.FIDELITY))
    return _put(folder, labelled, window[at].timing.index)


def _another_frame(plan: RunPlan, folder: RunFolder, window: list[WorkingFrame], at: int) -> dict[Path, str]:
    frame = _generated(plan, window, at, StageClass.FIDELITY)
    plain = window[at].quantise()
    timing = type(frame.timing)(frame.timing.index + 1, frame.timing.pts + 512, frame.timing.time_base)
    other = CodedFrame(plain.planes, frame.geometry, frame.colour, timing, StageClass.FIDELITY)
    return _put(folder, other, window[at].timing.index)


def _recording_under_no_class_of_its_stages(
    plan: RunPlan, folder: RunFolder, window: list[WorkingFrame], at: int
) -> dict[Path, str]:
    return _put(folder, window[at].quantise(), window[at].timing.index)


@pytest.mark.parametrize(
    "attack",
    [_picture_itself, _picture_itself_under_a_lower_class, _another_frame, _recording_under_no_class_of_its_stages],
)
def test_beside_swapped_is_found_by_looking_at_it(
    workspace: Workspace, recipe: Path, real_clip: Path, monkeypatch: pytest.MonkeyPatch, attack: _Writer
) -> None:
    monkeypatch.setattr(execution, "write_beside", attack)
    assert _failed(_run(workspace, recipe, real_clip)) == {"S9"}


def test_unlabelled_generated_picture_beside_is_found_by_making_it_again(
    workspace: Workspace, recipe: Path, real_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the picture itself tells: verify says what it did not check, reproduce finds it."""

    def swapped(plan: RunPlan, folder: RunFolder, window: list[WorkingFrame], at: int) -> dict[Path, str]:
        return _put(folder, _generated(plan, window, at, StageClass.FIDELITY), window[at].timing.index)

    monkeypatch.setattr(execution, "write_beside", swapped)
    run = _run(workspace, recipe, real_clip)
    assert _failed(run) == set()
    assert any("reproduce" in told and "beside" in told for told in verify(run.folder).not_checked)
    with registered(Invention):
        again = reproduce(workspace, run.run_id, Silent())
    assert again.exact and not again.succeeded
    assert again.verdict.startswith("NOT REPRODUCED: what stands beside")
    assert again.to_record()["beside"]["not_reproduced"]


def test_honest_pictures_beside_are_made_again(workspace: Workspace, recipe: Path, real_clip: Path) -> None:
    run = _run(workspace, recipe, real_clip)
    assert _failed(run) == set()
    with registered(Invention):
        again = reproduce(workspace, run.run_id, Silent())
    assert again.succeeded, again.verdict
    assert again.to_record()["beside"] == {"compared": len(run.predicate["stills"]), "not_reproduced": []}


def test_picture_beside_missing(
    workspace: Workspace, recipe: Path, real_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "write_beside", lambda *_: {})
    assert _failed(_run(workspace, recipe, real_clip)) == {"A7", "S9"}


_RECORD: dict[str, Any] = {
    "exhibit": {"stage_class": "presentation"},
    "output": {"stage_class": "generative"},
    "recipe": {
        "stages": [
            {"position": 1, "name": "test-invention", "class": "generative", "parameters": {}},
            {"position": 2, "name": "unsharp", "class": "fidelity", "parameters": {"amount": {"value": 0.5}}},
        ]
    },
    "beside": {
        "why_none": None,
        "class": "fidelity",
        "stages": [
            {"position": 1, "name": "test-invention", "shown_as": None, "parameters": None},
            {"position": 2, "name": "unsharp", "shown_as": "unsharp", "parameters": {"amount": 0.5}},
        ],
    },
    "stills": [{"frame": 3, "beside": "stills/beside/000003.png"}],
}


def _untold(told: dict[str, Any]) -> None:
    return None


def _excused(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "why_none": "nothing to show"}


def _called_generative(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "class": "generative"}


def _of_other_stages(told: dict[str, Any]) -> dict[str, Any]:
    return {**told, "stages": told["stages"][:1]}


def _with_the_invention(told: dict[str, Any]) -> dict[str, Any]:
    first, *rest = told["stages"]
    return {**told, "stages": [{**first, "shown_as": first["name"]}, *rest]}


def _with_other_parameters(told: dict[str, Any]) -> dict[str, Any]:
    *rest, last = told["stages"]
    return {**told, "stages": [*rest, {**last, "parameters": {**last["parameters"], "amount": 9.0}}]}


@pytest.mark.parametrize(
    "attack",
    [_untold, _excused, _called_generative, _of_other_stages, _with_the_invention, _with_other_parameters],
)
def test_record_that_says_otherwise_what_stands_beside(
    attack: Callable[[dict[str, Any]], dict[str, Any] | None],
) -> None:
    predicate = {**_RECORD, "beside": attack(_RECORD["beside"])}
    assert list(misplaced(_RECORD)) == []
    assert list(misplaced(predicate))


@pytest.mark.parametrize("beside", [None, "stills/beside/000004.png", "stills/000003.png", 7])
def test_record_that_names_no_picture_or_another_frame_beside(beside: object) -> None:
    assert list(misplaced({**_RECORD, "stills": [{"frame": 3, "beside": beside}]}))


@pytest.mark.parametrize("output", ["fidelity", "generative"])
def test_pictures_beside_where_no_recording_was_are_not_believed(output: str) -> None:
    exhibit = "generative" if output == "generative" else "presentation"
    record = {**_RECORD, "output": {"stage_class": output}, "exhibit": {"stage_class": exhibit}}
    assert list(misplaced(record))
    assert list(misplaced({**record, "beside": None, "stills": [{"frame": 3}]})) == []
