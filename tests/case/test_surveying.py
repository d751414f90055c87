"""``survey`` and ``--recipe auto``: what was measured is on the record, chooses the recipe, and can be followed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from forensic.case import surveying
from forensic.case.acquire import acquire
from forensic.case.enhance import enhance
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.surveying import survey_exhibit
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import create_workspace
from forensic.errors import BadInput
from forensic.stages.informing import informed, quantiser_of_step
from forensic.stages.recipe import load_recipe
from tests.case.conftest import Case, forensic


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory, real_clip: Path) -> Case:
    root = tmp_path_factory.mktemp("auto") / "ws"
    done = forensic(
        "enhance",
        real_clip,
        "-w",
        root,
        "--recipe",
        "auto",
        "--scale",
        "2",
        "--frames",
        "40:43",
        "--roi",
        "32,24,96,64",
    )  # fmt: skip
    assert done.code == 0, done.err
    return Case(root, Path(done.last_line))


def test_the_survey_that_chose_the_recipe_is_in_ledger_and_record(proposed: Case) -> None:
    estimation = proposed.predicate()["estimation"]
    entries = forensic("log", "-w", proposed.root, "--json").json
    (entry,) = [one for one in entries if one["name"] == "exhibit.surveyed"]
    assert estimation["entry"]["seq"] == entry["seq"]
    recipe = proposed.predicate()["recipe"]
    assert recipe["name"] == f"auto-{estimation['proposal']['recipe']}"
    assert recipe["source"] == f"proposed by the survey of entry {entry['seq']}"
    assert all(reason in recipe["why"] for reason in estimation["proposal"]["reasons"])
    low, high = estimation["frames"]
    assert low <= 40 and high >= 43 and high - low >= 100, "a short selection is measured on the frames around it too"


def test_measured_values_reach_the_stage_and_count_as_set(proposed: Case) -> None:
    stages = {stage["name"]: stage for stage in proposed.predicate()["recipe"]["stages"]}
    survey = proposed.predicate()["estimation"]["survey"]
    given = stages["fusion"]["parameters"]["quantiser"]
    if survey["quantiser"]["source"] != "bitstream":
        assert not given["default"]
        assert given["value"] == pytest.approx(quantiser_of_step(survey["quantiser"]["step_grey_levels"]), abs=0.02)
        return
    # Each frame comes with its own, which the mean must not hide.
    assert given["default"] and given["value"] is None
    first = json.loads((proposed.run / "notes.jsonl").read_text().splitlines()[0])
    fused = next(note["fusion"] for note in first["notes"] if note["stage"] == "fusion")
    assert fused["quantiser_source"].startswith("bitstream")
    values = [row["quantiser"] for row in fused["frames"]]
    assert np.mean(values) == pytest.approx(survey["quantiser"]["mean"]["value"], abs=6.0)


def test_a_run_with_a_proposed_recipe_verifies_and_reproduces(proposed: Case) -> None:
    assert verify(proposed.root).verdict is not Verdict.FAILED
    again = forensic("reproduce", proposed.run_id, "-w", proposed.root)
    assert again.code == 0, again.out + again.err


def test_the_report_shows_what_was_measured(proposed: Case) -> None:
    text = subprocess.run(
        ["pdftotext", "-layout", proposed.run / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "What was measured of the recording" in text
    assert "quantiser: mean" in text


def test_a_survey_by_itself_is_on_the_record_and_gives_intervals(tmp_path: Path, real_clip: Path) -> None:
    done = forensic("survey", real_clip, "-w", tmp_path / "ws", "--json")
    assert done.code == 0, done.err
    assert done.json["survey"]["frames"]["frames_seen"] == 120
    assert forensic("log", "-w", tmp_path / "ws", "--json").json[-1]["name"] == "exhibit.surveyed"
    spoken = forensic("survey", real_clip, "-w", tmp_path / "ws", "--frames", "0:50")
    assert spoken.code == 0, spoken.err
    assert "interval)" in spoken.out
    assert "proposed recipe: " in spoken.last_line


def test_a_survey_that_fails_is_on_the_record_and_so_is_the_refused_run(
    tmp_path: Path, real_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise BadInput("media.decoder-crashed", "The decoder crashed.")

    with create_workspace(tmp_path / "ws", examiner="Ada", lab="L", passphrase=None, origin="test") as workspace:
        exhibit = acquire(workspace, real_clip, case="C", exhibit_id="X", note=None, progress=Silent())
        monkeypatch.setattr(surveying, "survey", broken)
        with pytest.raises(BadInput):
            enhance(workspace, exhibit, EnhanceRequest(recipe="auto"), Silent())
        assert [entry.event for entry in workspace.ledger.entries()][-2:] == ["exhibit.survey-failed", "run.refused"]


def test_the_same_exhibit_is_surveyed_alike_twice(tmp_path: Path, real_clip: Path) -> None:
    with create_workspace(tmp_path / "ws", examiner="Ada", lab="L", passphrase=None, origin="test") as workspace:
        exhibit = acquire(workspace, real_clip, case="C", exhibit_id="X", note=None, progress=Silent())
        first, second = (survey_exhibit(workspace, exhibit, (0, 60), Silent()) for _ in range(2))
        assert workspace.ledger.entry(first.seq).data == workspace.ledger.entry(second.seq).data
        assert first.recipe().text == second.recipe().text


def test_an_informed_recipe_is_a_file_that_anybody_can_use(tmp_path: Path) -> None:
    made = informed(
        load_recipe("classic"),
        prefix="auto",
        first={"deinterlace": {"field_order": "top"}},
        parameters={"nlmeans": {"luma_noise": 2.5}},
        why='It said "noise" \\ 2.5.',
        source="test",
    )  # fmt: skip
    path = tmp_path / "made.toml"
    path.write_text(made.text, "utf-8")
    again = load_recipe(path)
    assert again.sha256 == made.sha256
    stages = again.bind().record()["stages"]
    assert [stage["name"] for stage in stages][:2] == ["deinterlace", "deblock"]
    assert stages[2]["parameters"]["luma_noise"]["value"] == 2.5
    with pytest.raises(BadInput):
        informed(
            load_recipe("classic"), prefix="auto", first={}, parameters={"nlmeans": {"wrong": 1}}, why="", source="t"
        )


def test_a_recipe_with_marked_places_can_be_informed() -> None:
    """Tables within lists of a stage's parameters come out as TOML."""
    areas = [{"rectangle": [8, 8, 16, 8], "first_frame": 2}, {"polygon": [[1.5, 2.0], [9.0, 2.0], [4.0, 8.0]]}]
    made = informed(
        load_recipe("fill"), prefix="marked", first={}, parameters={"fill-from-neighbours": {"areas": areas}},
        why="Marked.", source="test",
    )  # fmt: skip
    (step,) = [step for step in made.steps if step.name == "fill-from-neighbours"]
    assert step.parameters["areas"] == areas and made.bind().stages
