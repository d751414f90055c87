"""A recipe that names a reference frame: the path is measured before the run, on the record, and in the report."""

from __future__ import annotations

from pathlib import Path

import pypdf
import pytest

from forensic.case.acquire import acquire
from forensic.case.enhance import enhance
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.steadying import steadying_record
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import create_workspace
from forensic.errors import BadInput, UsageError
from forensic.stages import catalogue
from tests.case.conftest import Case, forensic

RECIPE = """name = "still"
title = "Held still"
why = "The camera shakes on its pole."

[[stage]]
name = "stabilise"
why = "The scene stands."
parameters = {{ reference = {reference}, model = "{model}" }}
"""


def _recipe(folder: Path, reference: int = 60, model: str = "translation", before: str = "") -> Path:
    path = folder / f"still-{reference}-{model}.toml"
    path.write_text(RECIPE.format(reference=reference, model=model).replace("\n[[stage]]", f"{before}\n[[stage]]", 1))
    return path


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory, real_clip: Path) -> Case:
    folder = tmp_path_factory.mktemp("held")
    done = forensic(
        "enhance", real_clip, "-w", folder / "ws", "--recipe", _recipe(folder), "--frames", "58:64", "--stills", "59"
    )
    assert done.code == 0, done.err
    return Case(folder / "ws", Path(done.last_line))


def test_the_path_against_the_reference_is_measured_and_on_the_record(held: Case) -> None:
    predicate = held.predicate()
    path = predicate["camera_path"]
    assert path["reference"] == 60 and [place[0] for place in path["path"]["places"]] == list(range(42, 80)), (
        "and what later stages may look at on either side"
    )
    assert path["path"]["places"][18][1:] == [0.0, 0.0, 0.0, 0.0]
    given = predicate["recipe"]["stages"][0]["parameters"]["path"]["value"]
    assert given == path["path"]["places"] and predicate["recipe"]["name"] == "held-still"
    log = forensic("log", "-w", held.root, "--json").json
    (entry,) = [one for one in log if one["seq"] == path["entry"]["seq"]]
    assert entry["name"] == "exhibit.camera-followed" and "placed against frame 60" in entry["summary"]


def test_the_rectangle_recorded_in_every_frame_is_in_the_report(held: Case) -> None:
    found = held.predicate()["stabilisation"]
    left, top, width, height = found["common_rectangle"]
    assert found["reference"] == 60 and found["path_given"] is True
    assert found["frames"] == 6 and width > 0 and height > 0
    text = " ".join(" ".join(page.extract_text() for page in pypdf.PdfReader(held.run / "report.pdf").pages).split())
    assert "Stabilisation, over all frames" in text and "frame 60, path of ledger entry" in text
    assert f"left {left}, top {top}, width {width}, height {height} pixels of the stabilised picture" in text


def test_what_a_clip_was_held_to_is_read_from_the_stage() -> None:
    for values, reference in (({}, None), ({"reference": 7, "path": [[7, 0.0, 0.0, 0.0, 0.0]]}, 7)):
        found = steadying_record([catalogue.build("stabilise", values)], [])
        assert found is not None
        assert found["reference"] == reference and found["path_given"] is (reference is not None)
    assert steadying_record([catalogue.build("levels", {})], []) is None


def test_a_run_held_to_a_frame_verifies_and_reproduces(held: Case) -> None:
    assert verify(held.root).verdict is not Verdict.FAILED
    again = forensic("reproduce", held.run_id, "-w", held.root)
    assert again.code == 0, again.out + again.err


def test_a_reference_that_cannot_be_is_refused_and_recorded(tmp_path: Path, real_clip: Path) -> None:
    with create_workspace(tmp_path / "ws", examiner="Ada", lab="L", passphrase=None, origin="test") as workspace:
        exhibit = acquire(workspace, real_clip, case="C", exhibit_id="X", note=None, progress=Silent())
        request = EnhanceRequest(recipe=str(_recipe(tmp_path, 5000)), frames=(0, 3))
        with pytest.raises(UsageError, match="cannot be held"):
            enhance(workspace, exhibit, request, Silent())
        resized = '\n[[stage]]\nname = "resize"\nwhy = "Larger."\nparameters = { scale = 2.0 }\n'
        with pytest.raises(BadInput, match="stands behind resize"):
            enhance(workspace, exhibit, EnhanceRequest(recipe=str(_recipe(tmp_path, 1, before=resized))), Silent())
        turned = EnhanceRequest(recipe=str(_recipe(tmp_path, 2, "similarity")), roi=(0, 0, 64, 64), frames=(0, 3))
        with pytest.raises(BadInput, match="translation"):
            enhance(workspace, exhibit, turned, Silent())
        names = [entry.event for entry in workspace.ledger.entries(exhibit=exhibit.id)]
        assert names.count("exhibit.camera-failed") == 1 and names.count("run.refused") == 3
