"""The gate, the taint and the label, tried with a generative stage that exists only in this test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from forensic.case.enhance import enhance, exhibit_for
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import PolicyRefused
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.frames.still import read_still
from forensic.media.label import LABEL, burn
from forensic.policy.request import Approval
from forensic.stages.catalogue import registered
from forensic.stages.parameters import NoParameters
from forensic.stages.stage import Stage, StageCard

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
        "reason": "Poster for the training room, not evidence", "approval": Approval("B. Other", "reviewer"),
        **changes,
    }  # fmt: skip
    return EnhanceRequest(**asked)  # type: ignore[arg-type]


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
        {"approval": None},
    ],
)
def test_generative_stage_is_refused_recorded_and_touches_nothing(
    workspace: Workspace, recipe: Path, real_clip: Path, changes: dict[str, object]
) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with registered(Invention), pytest.raises(PolicyRefused) as refused:
        enhance(workspace, exhibit, _creative(recipe, **changes), Silent())
    assert refused.value.code == "policy.denied"
    assert _events(workspace)[-2:] == ["policy.decided", "run.refused"]
    assert list(workspace.layout.runs.iterdir()) == []


def test_generative_output_is_labelled_everywhere(workspace: Workspace, recipe: Path, real_clip: Path) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with registered(Invention):
        run = enhance(workspace, exhibit, _creative(recipe), Silent())
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

    with ExhibitReader(run.folder / "output.mkv") as reader:
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
        run = enhance(workspace, exhibit, _creative(recipe), Silent())
    text = subprocess.run(
        ["pdftotext", "-layout", run.folder / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    pages = text.split("\f")[:-1]
    assert pages
    for number, page in enumerate(pages, start=1):
        assert "NOT EVIDENCE" in page, number


def test_test_stage_is_gone_after_the_test(recipe: Path, workspace: Workspace, real_clip: Path) -> None:
    from forensic.errors import BadInput

    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with pytest.raises(BadInput):
        enhance(workspace, exhibit, _creative(recipe), Silent())
    assert _events(workspace)[-1] == "run.refused"
