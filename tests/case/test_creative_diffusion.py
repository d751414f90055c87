"""Engine 2 from end to end: gated, labelled, the seed on the record, and the same to the byte for any workers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from forensic.case.enhance import FinishedRun, enhance, exhibit_for
from forensic.case.layout import GENERATIVE_OUTPUT
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import PolicyRefused, UsageError
from forensic.frames.stageclass import StageClass
from forensic.media.label import is_labelled
from forensic.media.reader import ExhibitReader
from forensic.policy.acknowledgement import SENTENCE
from forensic.resources import policies_dir
from tests.case.reviewing import approve


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


def request(**changes: object) -> EnhanceRequest:
    asked: dict[str, object] = {
        "recipe": "creative-diffusion", "mode": "creative", "frames": (0, 2), "roi": (60, 40, 40, 32),
        "purpose": "illustration", "reason": "Poster for the training room, not evidence",
        "acknowledgement": SENTENCE, **changes,
    }  # fmt: skip
    return EnhanceRequest(**asked)  # type: ignore[arg-type]


def run(workspace: Workspace, clip: Path, **changes: object) -> FinishedRun:
    exhibit = exhibit_for(workspace, str(clip), Silent())
    approve(workspace, exhibit, request(**changes))
    return enhance(workspace, exhibit, request(**changes), Silent())


def test_no_way_but_creative_mode(workspace: Workspace, real_clip: Path) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    for changes in (
        {"mode": None},
        {"mode": None, "policy": "creative"},
        {"policy": "forensic"},
        {"purpose": None},
        {},
    ):
        with pytest.raises(PolicyRefused, match=r"policy\.denied"):
            enhance(workspace, exhibit, request(**changes), Silent())
    assert list(workspace.layout.runs.iterdir()) == []


def test_labelled_with_its_seed_on_the_record_and_the_recording_beside(workspace: Workspace, real_clip: Path) -> None:
    made = run(workspace, real_clip)
    assert made.predicate["output"]["stage_class"] == "generative" and made.predicate["output"]["labelled"] is True
    (stage,) = (each for each in made.predicate["recipe"]["stages"] if each["name"] == "diffusion-upscale")
    assert stage["parameters"]["seed"]["value"] == 0 and stage["parameters"]["steps"]["value"] == 1
    assert stage["model"]["id"] == "diffusion-x4" and stage["model"]["class"] == "generative"
    notes = [json.loads(line) for line in (made.folder / "notes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [note["notes"][-1]["drawn"] for note in notes] == [
        {"frame": frame, "seed": 0, "steps": 1} for frame in range(2)
    ]
    with ExhibitReader(made.folder / GENERATIVE_OUTPUT, StageClass.GENERATIVE) as reader:
        assert all(is_labelled(frame) for frame in reader.frames())
    assert [(each["name"], each["shown_as"]) for each in made.predicate["beside"]["stages"]] == [
        ("crop", "crop"), ("diffusion-upscale", "resize"),
    ]  # fmt: skip
    assert verify(made.folder).verdict.label == "SIGNED"
    text = subprocess.run(
        ["pdftotext", "-layout", made.folder / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "diffusion-upscale replaced by resize" in " ".join(text.split())
    assert all("NOT EVIDENCE" in page for page in text.split("\f")[:-1])


def test_workers_change_no_byte_and_other_sizes_work(workspace: Workspace, real_clip: Path) -> None:
    digests = {run(workspace, real_clip, workers=workers).predicate["output"]["sha256"] for workers in (1, 3)}
    assert len(digests) == 1
    half = run(workspace, real_clip, scale=2)
    assert half.predicate["output"]["geometry"]["width"] == 80
    with pytest.raises(UsageError, match=r"recipe\.scale"):
        run(workspace, real_clip, scale=8)


def test_shorter_numbers_are_on_the_record_and_reproduced(
    workspace: Workspace, real_clip: Path, tmp_path: Path
) -> None:
    shipped = (policies_dir() / "recipes" / "creative-diffusion.toml").read_text(encoding="utf-8")
    recipe = tmp_path / "shorter.toml"
    recipe.write_text(shipped.replace("overlap = 32", 'overlap = 32, precision = "bfloat16"'), encoding="utf-8")
    made = run(workspace, real_clip, recipe=str(recipe))
    (stage,) = (each for each in made.predicate["recipe"]["stages"] if each["name"] == "diffusion-upscale")
    assert stage["parameters"]["precision"]["value"] == "bfloat16" and stage["parameters"]["device"]["default"] is True
    notes = [json.loads(line) for line in (made.folder / "notes.jsonl").read_text(encoding="utf-8").splitlines()]
    told = [note["notes"][-1]["computed"] for note in notes]
    assert told[0] == told[1] and 0 < told[0]["mean_difference"] < 2
    assert made.predicate["output"]["labelled"] is True
    assert reproduce(workspace, made.run_id, Silent()).succeeded


def test_a_device_that_is_not_there_is_refused_before_the_run_and_no_approval_is_spent(
    workspace: Workspace, real_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    shipped = (policies_dir() / "recipes" / "creative-diffusion.toml").read_text(encoding="utf-8")
    recipe = tmp_path / "elsewhere.toml"
    recipe.write_text(shipped.replace("overlap = 32", 'overlap = 32, device = "cuda"'), encoding="utf-8")
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with pytest.raises(UsageError, match=r"model\.device-missing"):
        enhance(workspace, exhibit, request(recipe=str(recipe)), Silent())
    events = [entry.event for entry in workspace.ledger.entries()]
    assert "run.started" not in events and events[-1] == "run.refused"
    assert list(workspace.layout.runs.iterdir()) == []
