"""Engine 4 from end to end: estimated, on the record, approved, gated, labelled; refused where there is no grain."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from forensic.case.enhance import FinishedRun, enhance, exhibit_for
from forensic.case.graining import estimate_exhibit_grain, wants_grain, with_grain
from forensic.case.layout import GENERATIVE_OUTPUT
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import BadInput, PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.grain.table import parse_table
from forensic.media.label import is_labelled
from forensic.media.reader import ExhibitReader
from forensic.policy.acknowledgement import SENTENCE
from forensic.stages.recipe import load_recipe, parse_recipe
from tests.case.conftest import forensic
from tests.case.reviewing import approve, enrol
from tests.grain.planting import grainy, noisy


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frames with planted grain, lossless."""
    return _written(tmp_path_factory.mktemp("film") / "film.mkv", list(grainy(8)))


def _written(path: Path, frames: list[tuple[np.ndarray, ...]]) -> Path:
    rows, columns = frames[0][0].shape
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{columns}x{rows}", "-r", "25",
         "-i", "-", "-c:v", "ffv1", path],
        input=b"".join(p.astype(np.uint8).tobytes() for f in frames for p in f), check=True,
    )  # fmt: skip
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


def request(**changes: object) -> EnhanceRequest:
    asked: dict[str, object] = {
        "recipe": "creative-grain-added", "mode": "creative", "frames": (0, 2), "purpose": "illustration",
        "reason": "Poster for the training room, not evidence", "acknowledgement": SENTENCE, **changes,
    }  # fmt: skip
    return EnhanceRequest(**asked)  # type: ignore[arg-type]


def run(workspace: Workspace, clip: Path, **changes: object) -> FinishedRun:
    exhibit = exhibit_for(workspace, str(clip), Silent())
    approve(workspace, exhibit, request(**changes))
    return enhance(workspace, exhibit, request(**changes), Silent())


@pytest.mark.parametrize("recipe", ["creative-grain", "creative-grain-added"])
def test_never_in_forensic_mode(workspace: Workspace, film: Path, recipe: str) -> None:
    exhibit = exhibit_for(workspace, str(film), Silent())
    for changes in ({"mode": None}, {"mode": None, "policy": "creative"}, {"policy": "forensic"}, {}):
        with pytest.raises(PolicyRefused, match=r"policy\.denied"):
            enhance(workspace, exhibit, request(recipe=recipe, **changes), Silent())
    assert list(workspace.layout.runs.iterdir()) == []


def test_from_the_command_line_estimated_approved_made_and_reproduced(tmp_path: Path, film: Path) -> None:
    root = tmp_path / "ws"
    with create_workspace(root, examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        enrol(opened)
        exhibit_for(opened, str(film), Silent())
    exhibit = next(one["exhibit"] for one in forensic("log", "-w", root, "--json").json if one["exhibit"])
    told = forensic(
        "grain", exhibit, "-w", root, "--json", "--write", tmp_path / "g.toml", "--table", tmp_path / "g.tbl"
    )
    assert told.code == 0, told.err
    estimate = told.json["grain"]
    assert estimate["kind"] == "grain" and told.json["exhibit"] == exhibit
    assert parse_recipe((tmp_path / "g.toml").read_bytes(), "g.toml").bind().stages[1].name == "grain"
    assert parse_table((tmp_path / "g.tbl").read_bytes())[0].to_record() == estimate["parameters"]
    asked = ("-w", root, "--recipe", "creative-grain", "--mode", "creative", "--purpose", "illustration",
             "--frames", "2:5")  # fmt: skip
    approved = forensic("approve", exhibit, *asked, "--as", "B. Other", "--note", "Looked at it, it is no evidence")
    assert approved.code == 0, approved.err
    done = forensic("enhance", exhibit, *asked, "--reason", "Poster for the training room", "--acknowledge", SENTENCE)
    assert done.code == 0, done.err
    folder = Path(done.last_line)
    log = forensic("log", "-w", root, "--json").json
    assert [entry["name"] for entry in log].count("exhibit.grain-estimated") == 1, "the estimate is used, not made anew"
    assert verify(folder).verdict.label == "SIGNED"
    assert forensic("reproduce", folder.name, "-w", root).code == 0
    notes = [json.loads(line) for line in (folder / "notes.jsonl").read_text().splitlines()]
    seeds = [one["grain"]["seed"] for frame in notes for one in frame["notes"] if one["stage"] == "grain"]
    assert len(set(seeds)) == 3
    text = subprocess.run(
        ["pdftotext", "-layout", folder / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "Grain of the recording" in text and all("NOT EVIDENCE" in page for page in text.split("\f")[:-1])


def test_estimate_and_seed_are_on_the_record_and_every_frame_is_labelled(workspace: Workspace, film: Path) -> None:
    exhibit = exhibit_for(workspace, str(film), Silent())
    base = load_recipe("creative-grain")
    assert wants_grain(base) == ("grain-remove", "grain")
    made = with_grain(workspace, exhibit, base, None, Silent())
    assert made is not None and made.to_record()["grain"] == made.grain
    path = workspace.layout.root.parent / "matched.toml"
    path.write_text(made.recipe.text)
    done = run(workspace, film, recipe=str(path), frames=(1, 2))
    assert done.predicate["output"]["labelled"] is True
    given = done.predicate["recipe"]["stages"][1]["parameters"]
    assert given["seed"]["value"] == 0 and given["luma_points"]["value"]
    with ExhibitReader(done.folder / GENERATIVE_OUTPUT, StageClass.GENERATIVE) as reader:
        assert all(is_labelled(frame) for frame in reader.frames())
    assert done.predicate["beside"]["stages"] == [
        {"position": 1, "name": "grain-remove", "shown_as": None, "parameters": None},
        {"position": 2, "name": "grain", "shown_as": None, "parameters": None},
    ]


def test_what_is_no_grain_is_said_and_refused(workspace: Workspace, tmp_path: Path) -> None:
    clip = _written(tmp_path / "sensor.mkv", list(noisy(4, 3.0)))
    exhibit = exhibit_for(workspace, str(clip), Silent())
    found = estimate_exhibit_grain(workspace, exhibit, Silent())
    assert found.kind.value == "white noise" and not found.kind.is_grain
    with pytest.raises(BadInput, match=r"grain\.not-grain"):
        enhance(workspace, exhibit, request(recipe="creative-grain"), Silent())
    (refused,) = workspace.ledger.entries(event="run.refused")
    assert refused.data["code"] == "grain.not-grain" and "white noise" in refused.data["reason"]
    (entry,) = workspace.ledger.entries(event="exhibit.grain-estimated")
    assert entry.data["grain"]["evidence"]["alike"] < 0.25


def test_real_coded_footage_has_no_grain_and_may_get_made_up_grain(workspace: Workspace, street_clip: Path) -> None:
    exhibit = exhibit_for(workspace, str(street_clip), Silent())
    found = estimate_exhibit_grain(workspace, exhibit, Silent())
    assert found.kind.value == "coding noise" and "repeated" in found.why
    made = run(workspace, street_clip, frames=(0, 1))
    assert made.predicate["output"]["stage_class"] == "generative" and "grain" not in made.predicate


def test_a_stage_that_changes_the_grain_before_it_is_removed_is_refused() -> None:
    text = load_recipe("creative-grain").text
    denoised = text.replace("[[stage]]", '[[stage]]\nname = "nlmeans"\nwhy = "Less noise."\n\n[[stage]]', 1)
    with pytest.raises(BadInput, match=r"recipe\.invalid"):
        wants_grain(parse_recipe(denoised.encode(), "x.toml"))
