"""The gate, the taint and the label, tried with a generative stage that exists only in this test."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from forensic.case.acquire import acquire
from forensic.case.enhance import FinishedRun, enhance, exhibit_for
from forensic.case.exhibits import Exhibit
from forensic.case.layout import GENERATIVE_OUTPUT
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import PolicyRefused
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.frames.still import read_still
from forensic.media.label import LABEL, burn
from forensic.media.reader import ExhibitReader
from forensic.policy.acknowledgement import SENTENCE
from forensic.stages.catalogue import registered
from forensic.stages.parameters import NoParameters
from forensic.stages.stage import Stage, StageCard
from tests.case.reviewing import approve

_RECIPE = """
name = "inventive"
title = "Test of the gate"
why = "Tries the generative gate."
[[stage]]
name = "test-invention"
why = "Invents."
[[stage]]
name = "unsharp"
why = "A harmless stage after it."
"""


class Invention(Stage[NoParameters]):
    """Adds a pattern that no camera saw."""

    name = "test-invention"
    title = "Invention, for tests only"
    stage_class = StageClass.GENERATIVE
    card = StageCard("Invents a pattern.", ("Everything.",), ("None: exists in the test suite only.",))
    parameter_model = NoParameters

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> tuple[np.ndarray, ...]:
        planes = [plane.copy() for plane in window[at].planes]
        planes[0][::7, ::5] += np.float32(40)
        return tuple(planes)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "inventive.toml"
    path.write_text(_RECIPE)
    return path


def _creative(recipe: Path, **changes: object) -> EnhanceRequest:
    asked: dict[str, object] = {
        "recipe": str(recipe), "mode": "creative", "frames": (0, 3), "purpose": "illustration",
        "reason": "Poster for the training room, not evidence", "acknowledgement": SENTENCE, **changes,
    }  # fmt: skip
    return EnhanceRequest(**asked)  # type: ignore[arg-type]


def _enhance(
    workspace: Workspace, exhibit: Exhibit, recipe: Path, approved: bool = True, **changes: object
) -> FinishedRun:
    """Run the creative request, approved before by a second person unless the test says otherwise."""
    request = _creative(recipe, **changes)
    if approved:
        approve(workspace, exhibit, request)
    return enhance(workspace, exhibit, request, Silent())


def _events(workspace: Workspace) -> list[str]:
    return [entry.event for entry in workspace.ledger.entries()]


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "forensic"},
        {"mode": "forensic", "policy": "creative"},
        {"policy": "forensic"},
        {"policy": "classical-only"},
        {"reason": None},
        {"reason": "   "},
        {"purpose": "identification"},
        {"purpose": "comparison"},
        {"approved": False},
    ],
)
def test_generative_stage_is_refused_recorded_and_touches_nothing(
    workspace: Workspace, recipe: Path, real_clip: Path, changes: dict[str, object]
) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with registered(Invention), pytest.raises(PolicyRefused) as refused:
        _enhance(workspace, exhibit, recipe, **changes)
    assert refused.value.code == "policy.denied"
    assert _events(workspace)[-2:] == ["policy.decided", "run.refused"]
    assert list(workspace.layout.runs.iterdir()) == []


def test_generative_output_is_labelled_everywhere(workspace: Workspace, recipe: Path, real_clip: Path) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with registered(Invention):
        run = _enhance(workspace, exhibit, recipe)
    assert run.predicate["output"]["stage_class"] == "generative"
    assert run.predicate["output"]["labelled"] is True
    # every still that shows the output carries the label in its pixels, and its class
    for path in sorted((run.folder / "stills").glob("*.png")):
        still = read_still(path.read_bytes())
        assert still.rgb_matches
        if path.name.endswith(".source.png"):
            assert still.stage_class is StageClass.PRESENTATION
        else:
            assert still.stage_class is StageClass.GENERATIVE
    # the writer's frames are what burning gives: labelling them again changes nothing
    from forensic.media.reader import ExhibitReader

    with ExhibitReader(run.folder / GENERATIVE_OUTPUT) as reader:
        for frame in reader.frames():
            from forensic.frames.frame import CodedFrame

            tainted = CodedFrame(frame.planes, frame.geometry, frame.colour, frame.timing, StageClass.GENERATIVE)
            assert burn(tainted).sha256 == frame.sha256
        assert LABEL in str(reader.facts.to_record())
    assert verify(run.folder).verdict.label == "SIGNED"
    levels = [frame["summary"]["levels"] for frame in run.predicate["risk"]["frames"]]
    assert all(level["HIGH"]["share"] == 1.0 for level in levels)


def test_report_of_a_generative_run_says_so_on_every_page(workspace: Workspace, recipe: Path, real_clip: Path) -> None:
    import subprocess

    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with registered(Invention):
        run = _enhance(workspace, exhibit, recipe)
    text = subprocess.run(
        ["pdftotext", "-layout", run.folder / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    pages = text.split("\f")[:-1]
    assert pages
    for number, page in enumerate(pages, start=1):
        assert "NOT EVIDENCE" in page, number


# Acquired again: creative output must not become evidence by going round through acquisition.


@pytest.fixture
def invented(workspace: Workspace, recipe: Path, real_clip: Path) -> FinishedRun:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with registered(Invention):
        return _enhance(workspace, exhibit, recipe)


def _remuxed(source: Path, target: Path) -> Path:
    """The same frames in another file, every mark of ours taken away."""
    command = ["ffmpeg", "-v", "error", "-i", source, "-map", "0:v", "-c", "copy", "-map_metadata", "-1", target]
    subprocess.run([*map(str, command)], check=True)
    return target


def _refused_in_forensic_mode(workspace: Workspace, file: Path) -> Exhibit:
    """``file``, acquired; a run in forensic mode was refused on the record and nothing was written."""
    before = sorted(workspace.layout.runs.iterdir())
    exhibit = exhibit_for(workspace, str(file), Silent())
    assert exhibit.stage_class is StageClass.GENERATIVE, exhibit.acquired.stage_class_reason
    with pytest.raises(PolicyRefused):
        enhance(workspace, exhibit, EnhanceRequest(recipe="classic", frames=(0, 1)), Silent())
    assert _events(workspace)[-1] == "run.refused"
    assert sorted(workspace.layout.runs.iterdir()) == before
    return exhibit


def test_generative_output_acquired_again_stays_generative(workspace: Workspace, invented: FinishedRun) -> None:
    exhibit = _refused_in_forensic_mode(workspace, invented.folder / GENERATIVE_OUTPUT)
    with ExhibitReader(exhibit.original, exhibit.stage_class) as reader:
        assert {frame.stage_class for frame in reader.frames()} == {StageClass.GENERATIVE}


def test_generative_still_acquired_again_stays_generative(workspace: Workspace, invented: FinishedRun) -> None:
    still = min(p for p in (invented.folder / "stills").glob("*.png") if not p.name.endswith(".source.png"))
    _refused_in_forensic_mode(workspace, still)


@pytest.mark.parametrize("file", ["output.mkv", "still", "renamed", "overlay"])
def test_generative_output_tells_its_class_to_another_workspace(
    invented: FinishedRun, tmp_path: Path, file: str
) -> None:
    source = {
        "output.mkv": invented.folder / GENERATIVE_OUTPUT,
        "renamed": invented.folder / GENERATIVE_OUTPUT,
        "still": min(p for p in (invented.folder / "stills").glob("*.png") if not p.name.endswith(".source.png")),
        "overlay": min((invented.folder / "risk").glob("*.overlay.*.png")),
    }[file]
    if file == "renamed":
        source = Path(shutil.copy(source, tmp_path / "camera_3.avi"))
    with create_workspace(tmp_path / "other", examiner="B", lab="M", passphrase=None, origin="test") as other:
        _refused_in_forensic_mode(other, source)


def test_title_survives_remuxing_and_still_gives_it_away(invented: FinishedRun, tmp_path: Path) -> None:
    remuxed = tmp_path / "export.mov"
    command = ["ffmpeg", "-v", "error", "-i", invented.folder / GENERATIVE_OUTPUT, "-map", "0:v", "-c", "copy", remuxed]
    subprocess.run([*map(str, command)], check=True)
    with create_workspace(tmp_path / "other", examiner="B", lab="M", passphrase=None, origin="test") as other:
        _refused_in_forensic_mode(other, remuxed)


def test_frames_are_known_where_they_were_made_whatever_file_they_come_in(
    workspace: Workspace, invented: FinishedRun, tmp_path: Path
) -> None:
    stripped = _remuxed(invented.folder / GENERATIVE_OUTPUT, tmp_path / "camera_3.mkv")
    exhibit = _refused_in_forensic_mode(workspace, stripped)
    assert invented.run_id in exhibit.acquired.stage_class_reason


def test_frames_of_a_generative_exhibit_are_known_whatever_file_they_come_in(
    invented: FinishedRun, tmp_path: Path
) -> None:
    stripped = _remuxed(invented.folder / GENERATIVE_OUTPUT, tmp_path / "camera_3.mkv")
    with create_workspace(tmp_path / "other", examiner="B", lab="M", passphrase=None, origin="test") as other:
        first = exhibit_for(other, str(invented.folder / GENERATIVE_OUTPUT), Silent())
        again = _refused_in_forensic_mode(other, stripped)
        assert first.id in again.acquired.stage_class_reason


@pytest.mark.parametrize("value", ["", "harmless", "GENERATIVE", "fidelity?", "3"])
def test_class_tag_that_cannot_be_read_counts_as_generative(real_clip: Path, tmp_path: Path, value: str) -> None:
    file = tmp_path / "odd.mkv"
    tag = ["-metadata", f"HIGHEST_STAGE_CLASS={value or ' '}"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", real_clip, "-c", "copy", *tag, file], check=True)
    with create_workspace(tmp_path / "ws2", examiner="B", lab="M", passphrase=None, origin="test") as other:
        _refused_in_forensic_mode(other, file)


def test_altered_still_of_ours_counts_as_generative(workspace: Workspace, tmp_path: Path, real_clip: Path) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    run = enhance(workspace, exhibit, EnhanceRequest(recipe="classic", frames=(0, 2)), Silent())
    still = min(p for p in (run.folder / "stills").glob("*.png") if not p.name.endswith(".source.png"))
    assert exhibit_for(workspace, str(still), Silent()).stage_class is StageClass.FIDELITY
    assert exhibit_for(workspace, str(run.folder / "output.mkv"), Silent()).stage_class is StageClass.FIDELITY
    altered = tmp_path / "altered.png"
    altered.write_bytes(still.read_bytes().replace(b'"class":"fidelity"', b'"class":"geometry"'))
    assert exhibit_for(workspace, str(altered), Silent()).stage_class is StageClass.GENERATIVE


def test_footage_is_not_mistaken_for_output(workspace: Workspace, invented: FinishedRun, real_clip: Path) -> None:
    again = acquire(workspace, real_clip, case="C2", exhibit_id="E-again", note=None, progress=Silent())
    assert again.stage_class is StageClass.PRESENTATION


def test_test_stage_is_gone_after_the_test(recipe: Path, workspace: Workspace, real_clip: Path) -> None:
    from forensic.errors import BadInput

    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with pytest.raises(BadInput):
        enhance(workspace, exhibit, _creative(recipe), Silent())
    assert _events(workspace)[-1] == "run.refused"
