"""Creative output that somebody encodes anew, scales and crops, and then brings as footage: known by its mark."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forensic.case import attest, execution
from forensic.case.acquire import acquire
from forensic.case.enhance import FinishedRun, enhance, exhibit_for
from forensic.case.exhibits import Exhibit
from forensic.case.layout import GENERATIVE_OUTPUT
from forensic.case.plan import EnhanceRequest, RunPlan
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.stages.catalogue import registered
from tests.case.test_generative_gate import _RECIPE, Invention, _enhance

_STAGE = '[[stage]]\nname = "test-invention"'
_ENLARGED = _RECIPE.replace(
    _STAGE, f'[[stage]]\nname = "resize"\nwhy = "Room."\n[stage.parameters]\nscale = 2.0\n{_STAGE}'
)


@dataclass(frozen=True)
class Laundry:
    """A workspace with a generative run and a fidelity run over the same footage."""

    workspace: Workspace
    footage: Path
    generative: FinishedRun
    fidelity: FinishedRun


@pytest.fixture(scope="module")
def laundry(tmp_path_factory: pytest.TempPathFactory, street_clip: Path) -> Iterator[Laundry]:
    root = tmp_path_factory.mktemp("laundry")
    footage, recipe = root / "street.mkv", root / "inventive.toml"
    recipe.write_text(_ENLARGED)
    command = ["ffmpeg", "-v", "error", "-i", street_clip, "-frames:v", "6", "-c:v", "ffv1", footage]
    subprocess.run([*map(str, command)], check=True)
    with create_workspace(root / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as workspace:
        exhibit = exhibit_for(workspace, str(footage), Silent())
        with registered(Invention):
            generative = _enhance(workspace, exhibit, recipe, frames=(0, 6))
        fidelity = enhance(workspace, exhibit, EnhanceRequest(recipe="classic"), Silent())
        yield Laundry(workspace, footage, generative, fidelity)


def _encoded(source: Path, target: Path, *filters: str, crf: int = 28) -> Path:
    """``source`` encoded anew by another program, every mark in the container taken away."""
    chain = ("-vf", ",".join(filters)) if filters else ()
    coder = ("-c:v", "libx264", "-threads", "1", "-pix_fmt", "yuv420p", "-crf", str(crf))
    command = ["ffmpeg", "-v", "error", "-i", source, *chain, *coder, "-map_metadata", "-1", "-map", "0:v", target]
    subprocess.run([*map(str, command)], check=True)
    return target


def _acquired(workspace: Workspace, file: Path) -> tuple[Exhibit, dict[str, Any]]:
    exhibit = exhibit_for(workspace, str(file), Silent())
    return exhibit, exhibit.entry["watermark"]


_CROP = "crop=trunc(iw*7/20)*2:trunc(ih*7/20)*2:90:60"


@pytest.mark.parametrize(
    "filters",
    [(), ("scale=iw/2:-2:flags=area",), (_CROP,), (_CROP, "scale=trunc(iw*3/8)*2:-2")],
    ids=["reencoded_at_crf_28", "scaled_to_half", "cropped_to_70_percent", "cropped_scaled_and_reencoded"],
)
def test_laundered_output_is_refused_as_evidence_and_the_run_is_named(
    laundry: Laundry, tmp_path: Path, filters: tuple[str, ...]
) -> None:
    crf = 23 if "scale=iw/2" in str(filters) else 28
    file = _encoded(laundry.generative.folder / GENERATIVE_OUTPUT, tmp_path / "camera_3.mp4", *filters, crf=crf)
    exhibit, told = _acquired(laundry.workspace, file)
    assert exhibit.stage_class is StageClass.GENERATIVE, told
    assert "invisible mark" in exhibit.acquired.stage_class_reason
    assert told["found"] is True and told["frames"] == 6 and told["public"]["p"] < 5e-7
    if told["run"]["p"] < 5e-7:
        assert laundry.generative.run_id in exhibit.acquired.stage_class_reason
    with pytest.raises(PolicyRefused):
        enhance(laundry.workspace, exhibit, EnhanceRequest(recipe="classic", frames=(0, 1)), Silent())
    again = acquire(
        laundry.workspace, file, case=exhibit.case, exhibit_id=f"{exhibit.id}-b", note=None, progress=Silent()
    )
    assert again.stage_class is StageClass.GENERATIVE


def test_another_workspace_knows_the_output_too(laundry: Laundry, tmp_path: Path) -> None:
    file = _encoded(laundry.generative.folder / GENERATIVE_OUTPUT, tmp_path / "camera_3.mp4")
    with create_workspace(tmp_path / "other", examiner="B", lab="M", passphrase=None, origin="test") as other:
        exhibit, told = _acquired(other, file)
        assert exhibit.stage_class is StageClass.GENERATIVE
        assert "not of this workspace" in exhibit.acquired.stage_class_reason
        assert told["run_keys"] == 0 and told["run"] is None


@pytest.mark.parametrize("what", ["source", "fidelity", "beside"])
def test_footage_and_fidelity_results_are_not_taken_for_output(laundry: Laundry, tmp_path: Path, what: str) -> None:
    beside = laundry.generative.folder / laundry.generative.predicate["stills"][0]["beside"]
    source = {"source": laundry.footage, "fidelity": laundry.fidelity.folder / "output.mkv", "beside": beside}[what]
    exhibit, told = _acquired(laundry.workspace, _encoded(source, tmp_path / "camera_4.mp4"))
    assert exhibit.stage_class is StageClass.PRESENTATION, told
    assert told["found"] is False and told["run_keys"] == 1


def test_run_is_on_record_with_its_mark_and_reproduces(laundry: Laundry) -> None:
    told = laundry.generative.predicate["output"]["watermark"]
    assert told["scheme"] == "spread/1" and told["run_key_id"] is not None
    assert "watermark" not in laundry.fidelity.predicate["output"]
    assert verify(laundry.generative.folder).verdict.label == "SIGNED"
    with registered(Invention):
        assert reproduce(laundry.workspace, laundry.generative.run_id, Silent()).succeeded


def test_generative_run_from_before_the_mark_reproduces(
    laundry: Laundry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Unmarked:
        def to_record(self) -> None:
            return None

    def unmarked(plan: RunPlan) -> Unmarked:
        return Unmarked()

    recipe = tmp_path / "inventive.toml"
    recipe.write_text(_ENLARGED.replace("Room.", "More room."))
    monkeypatch.setattr(execution, "mark_of", lambda plan: None)
    monkeypatch.setattr(attest, "mark_of", unmarked)
    exhibit = exhibit_for(laundry.workspace, str(laundry.footage), Silent())
    with registered(Invention):
        run = _enhance(laundry.workspace, exhibit, recipe, frames=(0, 2))
        monkeypatch.undo()
        assert run.predicate["output"]["watermark"] is None
        assert reproduce(laundry.workspace, run.run_id, Silent()).succeeded
    failed = {check.number for check in verify(run.folder).checks if not check.passed}
    assert failed == {"A7"}  # a run of today without it is not what it says
