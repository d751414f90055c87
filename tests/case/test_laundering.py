"""Creative output that somebody encodes anew, scales and crops, and then brings as footage: known by its mark."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
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
from forensic.frames.still import read_still
from forensic.media.label import EDGES, burn, is_labelled
from forensic.media.reader import ExhibitReader
from forensic.media.viewing import frame_of, write_viewing_copy
from forensic.media.watermark import marked, sealed
from forensic.media.watermark_keys import PUBLIC_MARK, Mark, run_key
from forensic.media.watermark_search import Sample, look
from forensic.media.writer import MasterWriter
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


def test_copies_of_a_master_from_before_the_mark_get_it(laundry: Laundry, tmp_path: Path) -> None:
    master, copy = tmp_path / "output.mkv", tmp_path / "copy.mp4"
    with ExhibitReader(laundry.fidelity.folder / "output.mkv", StageClass.GENERATIVE) as reader:
        frames = list(reader.frames())
    first = frames[0]
    with MasterWriter(
        master, first.geometry, first.colour, first.timing.time_base, label_form=EDGES, mark=None
    ) as writer:
        for frame in frames:
            writer.write(frame)
    one, several = frame_of(master, 0, StageClass.GENERATIVE), Sample()
    assert one is not None and one.sha256 == sealed(burn(first, EDGES)).sha256
    write_viewing_copy(master, copy, stage_class=StageClass.GENERATIVE, title="Run X")
    with ExhibitReader(copy) as reader:
        for frame in reader.frames():
            several.take(frame)
    assert look(several, {}).is_public


def test_copies_of_a_master_with_the_mark_do_not_get_it_twice(laundry: Laundry) -> None:
    master = laundry.generative.folder / GENERATIVE_OUTPUT
    copied = frame_of(master, 0, StageClass.GENERATIVE)
    with ExhibitReader(master) as reader:
        assert copied is not None and copied.sha256 == next(iter(reader.frames())).sha256


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
        assert "no run of this workspace is named" in exhibit.acquired.stage_class_reason
        assert "can be put in by others" in exhibit.acquired.stage_class_reason
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


def test_output_made_of_labelled_output_has_the_mark_of_its_own_run(laundry: Laundry, tmp_path: Path) -> None:
    """Averaging frames keeps their label sample for sample: what the writer puts in does not depend on it."""
    recipe = tmp_path / "second.toml"
    recipe.write_text('name = "s"\ntitle = "S"\nwhy = "w"\n[[stage]]\nname = "temporal-average"\nwhy = "w"\n')
    first = exhibit_for(laundry.workspace, str(laundry.generative.folder / GENERATIVE_OUTPUT), Silent())
    run = _enhance(laundry.workspace, first, recipe, frames=(0, 3))
    own = run_key(first.sha256, run.predicate["recipe"]["sha256"])
    assert run.predicate["output"]["watermark"] == Mark(own).to_record()
    sample = Sample()
    with ExhibitReader(run.folder / GENERATIVE_OUTPUT) as reader:
        for frame in reader.frames():
            assert is_labelled(frame)
            sample.take(frame)
    assert look(sample, {"own": own, "other": b"o" * 32}).run_found == "own"
    with ExhibitReader(first.original) as source:
        frames = list(source.frames())
    for still in run.predicate["stills"]:  # the exhibit's own frame, with its label, is shown untouched
        before = read_still((run.folder / still["before"]).read_bytes())
        assert all(map(np.array_equal, before.planes, frames[still["frame"]].planes))
    assert not [check for check in verify(run.folder).checks if not check.passed]
    assert reproduce(laundry.workspace, run.run_id, Silent()).succeeded


def test_mark_planted_on_footage_raises_its_class_and_the_reason_says_that_it_can_be(
    laundry: Laundry, tmp_path: Path
) -> None:
    """The public mark is no secret: the acquisition cannot tell, so it must not say who made the picture."""
    planted = tmp_path / "planted.mkv"
    with ExhibitReader(laundry.footage) as reader:
        frames = [marked(frame, PUBLIC_MARK) for frame in reader.frames()]
    first = frames[0]
    with MasterWriter(planted, first.geometry, first.colour, first.timing.time_base) as writer:
        for frame in frames:
            writer.write(frame)
    exhibit, told = _acquired(laundry.workspace, planted)
    assert exhibit.stage_class is StageClass.GENERATIVE and told["found"] is True
    assert "the mark is public and can be put in by others" in exhibit.acquired.stage_class_reason
    assert laundry.generative.run_id not in exhibit.acquired.stage_class_reason
    again, told = _acquired(laundry.workspace, _encoded(laundry.footage, tmp_path / "again.mp4"))
    assert again.stage_class is StageClass.PRESENTATION and told["found"] is False  # from its source


def test_picture_beside_is_not_taken_for_output_as_it_is(laundry: Laundry, tmp_path: Path) -> None:
    beside = laundry.generative.folder / laundry.generative.predicate["stills"][0]["beside"]
    file = Path(shutil.copyfile(beside, tmp_path / "beside.png"))
    exhibit, _ = _acquired(laundry.workspace, file)
    assert exhibit.stage_class < StageClass.GENERATIVE, exhibit.acquired.stage_class_reason


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
