"""Engine 3 from end to end: gated, labelled, and what invents nothing of it always beside it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from forensic.case.enhance import enhance, exhibit_for
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.verification.beside import misplaced
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.frames.still import read_still
from forensic.policy.acknowledgement import SENTENCE
from tests.case.reviewing import approve

RECIPE = """
name = "marked"
title = "A marked place, filled"
why = "Test."

[[stage]]
name = "inpaint"
why = "Test."
parameters = { model = "mae-inpaint", areas = [{ rectangle = [70, 45, 9, 7] }] }
"""
ROI = (60, 40, 72, 64)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


def test_gated_labelled_and_the_fidelity_result_beside(workspace: Workspace, real_clip: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "marked.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    asked = EnhanceRequest(
        recipe=str(recipe), mode="creative", frames=(1, 3), roi=ROI, purpose="illustration",
        reason="Poster for the training room, not evidence", acknowledgement=SENTENCE, workers=2,
    )  # fmt: skip
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with pytest.raises(PolicyRefused, match=r"policy\.denied"):
        enhance(workspace, exhibit, dataclasses.replace(asked, mode=None), Silent())
    approve(workspace, exhibit, asked)
    made = enhance(workspace, exhibit, asked, Silent())
    assert verify(made.folder).verdict.label == "SIGNED"
    assert made.predicate["output"]["stage_class"] == "generative" and made.predicate["output"]["labelled"] is True
    told = made.predicate["beside"]
    assert told["class"] == "fidelity" and [each["shown_as"] for each in told["stages"]] == [
        "crop", "fill-from-neighbours",
    ]  # fmt: skip
    for still in made.predicate["stills"]:
        assert read_still((made.folder / still["beside"]).read_bytes()).stage_class is StageClass.FIDELITY
    for each in made.predicate["risk"]["frames"]:
        assert each["summary"]["levels"]["HIGH"]["share"] == 1 and each["summary"]["replaced"]
    _cannot_be_exchanged(made.predicate)


def _cannot_be_exchanged(predicate: dict[str, object]) -> None:
    """A record in which something else stands for the stage contradicts itself (A7)."""
    assert list(misplaced(predicate)) == []
    for changes in (
        {"shown_as": None, "parameters": None},
        {"shown_as": "resize"},
        {"shown_as": "inpaint"},
        {"parameters": {}},
    ):
        changed = copy.deepcopy(predicate)
        changed["beside"]["stages"][1].update(changes)  # type: ignore[index]
        assert any("other stages" in reason for reason in misplaced(changed)), changes
