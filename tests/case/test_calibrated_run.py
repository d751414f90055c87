"""A run whose model has a calibration: found for exactly these stages, recorded, verified, reproduced."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from forensic.case.verification.records import contradictions
from forensic.cli.main import run
from forensic.media.reader import ExhibitReader
from forensic.registry.card import ModelCard
from forensic.resources import models_dir
from forensic.risk.calibration import shelf
from forensic.risk.calibration.artefact import Calibration, Limits, Subject
from forensic.risk.calibration.domain import MEASURES
from forensic.risk.calibration.judging import CALIBRATED, OUTSIDE
from forensic.signing.statement import RUN_PREDICATE, verify_statement
from forensic.stages.recipe import load_recipe
from tests.risk.calibrations import calibration

_SUBJECT_OF = shelf.subject_of


def _subject(**changes: Any) -> Subject:
    found = _SUBJECT_OF(load_recipe("light").bind().stages)
    assert found is not None
    return found[0].model_copy(update=changes)


@pytest.fixture(autouse=True)
def _cards_name_a_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The card, whichever it is, names whatever a test puts beside it."""

    def calibrated(stages: Any) -> Any:
        told = _SUBJECT_OF(stages)
        beside = shelf.read_calibration(Path("beside"))
        named = {"calibration": "calibrated", "calibration_sha256": None if beside is None else beside.sha256}
        return None if told is None else (told[0], told[1].model_copy(update=named))

    whole = ModelCard.to_record

    def recorded(card: ModelCard) -> dict[str, Any]:
        told, beside = whole(card), shelf.read_calibration(Path("beside"))
        return told if beside is None else {**told, "calibration_sha256": beside.sha256}

    monkeypatch.setattr(ModelCard, "to_record", recorded)
    monkeypatch.setattr(shelf, "subject_of", calibrated)


def _made(low: float, high: float, **changes: Any) -> Calibration:
    """For the recipe ``light``, whatever the quantiser, with one envelope for every measure."""
    made = calibration()
    envelope = {name: Limits(low=low, high=high, absent=True) for name in MEASURES}
    strata = [made.strata[0].model_copy(update={"envelope": envelope, "up_to": 52.0})]
    return made.model_copy(update={"strata": strata, "subject": _subject(**changes)})


def _enhanced(
    clip: Path, workspace: Path, capsys: Any, *more: str, recipe: str = "light"
) -> tuple[Path, dict[str, Any]]:
    frame = ["--frames", "12:13"]
    assert run(["enhance", str(clip), "-w", str(workspace), "--recipe", recipe, *frame, *more]) == 0
    folder = Path(capsys.readouterr().out.rstrip("\n").rpartition("\n")[2])
    envelope = json.loads((folder / "attestation.json").read_bytes())
    predicate: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return folder, predicate["risk"]


def test_a_calibration_is_for_one_model_its_weights_and_its_parameters_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(recipe: str, **bound: Any) -> Calibration | None:
        return shelf.shipped_for(load_recipe(recipe).bind(**bound).stages)

    monkeypatch.setattr(shelf, "read_calibration", lambda path: _made(-1e6, 1e6))
    assert found("light") is not None
    assert found("light", roi=(0, 0, 64, 64)) is None  # a region is another kind of picture than a whole one
    assert found("single") is None and found("classic") is None and found("light-steady") is None
    stage = load_recipe("light").bind().stages[0]
    assert shelf.shipped_for([stage.varied(consistency=0.5)]) is None
    assert shelf.shipped_for([stage.varied(tile=64)]) is not None
    for changes in ({"weights_sha256": "cd" * 32}, {"precision": "int8"}, {"scale": 2}, {"region": True}):
        other = _made(-1e6, 1e6, **changes)
        monkeypatch.setattr(shelf, "read_calibration", lambda path, other=other: other)
        assert found("light") is None
    assert found("light", roi=(0, 0, 64, 64)) is not None  # the last one is for regions


@pytest.mark.parametrize(
    ("recipe", "scale"), [("light", 4), ("light", 2), ("light", 1), ("multi", 4), ("multi", 2), ("multi", 1)]
)
def test_a_region_of_a_recording_is_judged_by_the_shipped_calibration_of_its_scale(
    tmp_path: Path, real_clip: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, recipe: str, scale: int
) -> None:
    monkeypatch.undo()
    asked = ("--roi", "40,32,80,64", "--scale", str(scale))
    folder, risk = _enhanced(real_clip, tmp_path / "ws", capsys, *asked, recipe=recipe)
    shipped = shelf.read_calibration(models_dir() / f"{recipe}-x{scale}" / shelf.FILE)
    assert shipped is not None and risk["calibration"]["sha256"] == shipped.sha256
    assert [one["stratum"] for one in risk["calibration"]["held_out"]["strata"]] == [one.name for one in shipped.strata]
    measures = risk["frames"][0]["summary"]["calibration"]["measures"]
    assert (measures["short"], measures["long"]) == (64.0, 80.0)
    with ExhibitReader(real_clip, coding=True) as reader:
        coding = next(frame.coding for frame in reader.frames() if frame.timing.index == 12)
    assert coding is not None and coding.blocks is not None and coding.bits is not None
    assert measures["quantiser"] == pytest.approx(coding.blocks.moved(40, 32).mean(80, 64), abs=1e-4)
    assert measures["bits"] == pytest.approx(coding.bits, abs=1e-4)
    assert (measures.get("frames") is not None) == (recipe == "multi")
    assert risk["status"] in (CALIBRATED, OUTSIDE, "UNCALIBRATED") and "for whole pictures" not in str(risk)
    assert run(["verify", str(folder)]) == 0 and run(["reproduce", folder.name, "-w", str(tmp_path / "ws")]) == 0


def test_a_calibrated_run_cites_its_calibration_and_verifies(
    tmp_path: Path, real_clip: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _made(-1e6, 1e6)
    monkeypatch.setattr(shelf, "read_calibration", lambda path: made)
    folder, risk = _enhanced(real_clip, tmp_path / "ws", capsys)
    assert risk["status"] == CALIBRATED and risk["calibration"]["sha256"] == made.sha256
    (frame,) = risk["frames"]
    told = frame["summary"]["calibration"]
    assert told["measures"]["quantiser"] is not None and told["statements"] and told["low_below"] == 3.0
    assert json.loads((folder / "risk" / "regions.json").read_bytes())["calibration"] == risk["calibration"]
    assert run(["verify", str(folder)]) == 0
    assert run(["reproduce", folder.name, "-w", str(tmp_path / "ws")]) == 0
    statement, _ = verify_statement((folder / "attestation.json").read_bytes(), predicate_type=RUN_PREDICATE)
    assert contradictions(statement) == []
    for model in statement.predicate["models"]:
        model["calibration_sha256"] = "ab" * 32
    assert contradictions(statement) == ["the calibration is not the one that the model's card names"]


def test_outside_the_domain_the_run_has_no_low(
    tmp_path: Path, real_clip: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "read_calibration", lambda path: _made(1e5, 1e6))
    folder, risk = _enhanced(real_clip, tmp_path / "ws", capsys)
    assert risk["status"] == "OUTSIDE THE CALIBRATED DOMAIN: NO LOW LABEL"
    with Image.open(folder / risk["frames"][0]["files"]["level"]) as picture:
        assert 0 not in np.unique(np.array(picture))
    assert run(["verify", str(folder)]) == 0


def test_a_file_that_the_card_knows_nothing_of_calibrates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the cards as they are shipped
    stages = load_recipe("dat").bind().stages
    told = shelf.subject_of(stages)
    assert told is not None and told[1].calibration == "uncalibrated"
    made = _made(-1e6, 1e6).model_copy(update={"subject": told[0]})
    monkeypatch.setattr(shelf, "read_calibration", lambda path: made)
    assert shelf.shipped_for(stages) is None


def test_a_learned_stage_with_another_beside_it_than_a_crop_before_it_has_no_calibration() -> None:
    stages = load_recipe("light").bind(roi=(0, 0, 64, 64)).stages
    region, whole = shelf.subject_of(stages), shelf.subject_of(stages[1:])
    assert region is not None and region[0].region and whole is not None and not whole[0].region
    assert shelf.subject_of(stages[::-1]) is None and shelf.subject_of([stages[0], *stages]) is None


def test_the_calibration_of_a_fusion_is_of_all_that_a_recipe_may_choose_of_it_and_of_no_given_motions() -> None:
    stages = load_recipe("multi").bind(roi=(0, 0, 64, 64)).stages
    crop, fusion = stages[:2]
    found = shelf.subject_of(stages)
    assert found is not None and found[0].frames == 9
    assert found[0].parameters == {
        "frames": 4.0, "psf_sigma": 0.35, "blur_error": 0.5, "registration": "affine", "largest_shift": 32.0
    }  # fmt: skip
    for changes in ({"frames": 2}, {"registration": "translation"}, {"noise": 2.0}, {"quantiser": 30.0}):
        other = shelf.subject_of([crop, fusion.varied(**changes)])
        assert other is not None and other[0] != found[0]
    motions = ((0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),)
    assert shelf.subject_of([crop, fusion.varied(motions=motions)]) is None


def test_a_calibration_that_the_card_does_not_name_is_not_used_and_record_and_report_say_so(
    tmp_path: Path, real_clip: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _made(-1e6, 1e6)
    monkeypatch.setattr(shelf, "read_calibration", lambda path: made)
    subject, card = shelf.subject_of(load_recipe("light").bind().stages) or (None, None)
    assert card is not None
    named = card.model_copy(update={"calibration_sha256": "ab" * 32})
    monkeypatch.setattr(shelf, "subject_of", lambda stages: (subject, named))
    folder, risk = _enhanced(real_clip, tmp_path / "ws", capsys)
    assert risk["status"] == "UNCALIBRATED" and "calibration" not in risk
    assert made.sha256 in risk["calibration_refused"] and "ab" * 32 in risk["calibration_refused"]
    envelope = json.loads((folder / "attestation.json").read_bytes())
    warnings = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["warnings"]
    assert any(risk["calibration_refused"] in one for one in warnings)
    said = subprocess.run(["pdftotext", folder / "report.pdf", "-"], capture_output=True, text=True, check=True).stdout
    assert "The model has a calibration, which was not used" in said
    assert run(["verify", str(folder)]) == 0


def test_a_run_with_other_software_than_was_calibrated_says_so_in_record_and_report(
    tmp_path: Path, real_clip: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _made(-1e6, 1e6)
    older = made.model_copy(update={"software": {**made.software, "torch": "1.0.0"}})
    monkeypatch.setattr(shelf, "read_calibration", lambda path: older)
    folder, risk = _enhanced(real_clip, tmp_path / "ws", capsys)
    assert risk["status"] == "UNCALIBRATED" and risk["calibration"]["sha256"] == older.sha256
    (frame,) = risk["frames"]
    reason = frame["summary"]["calibration"]["reason"]
    assert "calibrated with torch 1.0.0; run with torch" in reason
    said = subprocess.run(["pdftotext", folder / "report.pdf", "-"], capture_output=True, text=True, check=True).stdout
    assert "run with torch" in " ".join(said.split()) and "torch 1.0.0, " not in reason
    with Image.open(folder / frame["files"]["level"]) as picture:
        assert 0 not in np.unique(np.array(picture))
    assert run(["verify", str(folder)]) == 0
