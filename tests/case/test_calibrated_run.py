"""A run whose model has a calibration: found for exactly these stages, recorded, verified, reproduced."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from forensic.cli.main import run
from forensic.risk.calibration import shelf
from forensic.risk.calibration.artefact import Calibration, Limits, Subject
from forensic.risk.calibration.domain import MEASURES
from forensic.risk.calibration.judging import CALIBRATED
from forensic.stages.recipe import load_recipe
from tests.risk.calibrations import calibration


def _subject(**changes: Any) -> Subject:
    found = shelf.subject_of(load_recipe("light").bind().stages)
    assert found is not None
    return found[0].model_copy(update=changes)


@pytest.fixture(autouse=True)
def _cards_name_a_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """No shipped card does yet."""
    found = shelf.subject_of

    def calibrated(stages: Any) -> Any:
        told = found(stages)
        return None if told is None else (told[0], told[1].model_copy(update={"calibration": "calibrated"}))

    monkeypatch.setattr(shelf, "subject_of", calibrated)


def _made(low: float, high: float, **changes: Any) -> Calibration:
    """For the recipe ``light``, whatever the quantiser, with one envelope for every measure."""
    made = calibration()
    envelope = {name: Limits(low=low, high=high, absent=True) for name in MEASURES}
    strata = [made.strata[0].model_copy(update={"envelope": envelope, "up_to": 52.0})]
    return made.model_copy(update={"strata": strata, "subject": _subject(**changes)})


def _enhanced(clip: Path, workspace: Path, capsys: Any) -> tuple[Path, dict[str, Any]]:
    frame = ["--frames", "12:13"]
    assert run(["enhance", str(clip), "-w", str(workspace), "--recipe", "light", *frame]) == 0
    folder = Path(capsys.readouterr().out.rstrip("\n").rpartition("\n")[2])
    envelope = json.loads((folder / "attestation.json").read_bytes())
    predicate: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return folder, predicate["risk"]


def test_a_calibration_is_for_one_model_its_weights_and_its_parameters_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(recipe: str, **bound: Any) -> Calibration | None:
        return shelf.shipped_for(load_recipe(recipe).bind(**bound).stages)

    monkeypatch.setattr(shelf, "read_calibration", lambda path: _made(-1e6, 1e6))
    assert found("light") is not None
    assert found("light", roi=(0, 0, 64, 64)) is None  # its quantiser is that of the whole picture
    assert found("single") is None and found("classic") is None and found("light-steady") is None
    stage = load_recipe("light").bind().stages[0]
    assert shelf.shipped_for([stage.varied(consistency=0.5)]) is None
    assert shelf.shipped_for([stage.varied(tile=64)]) is not None
    for changes in ({"weights_sha256": "cd" * 32}, {"precision": "int8"}, {"scale": 2}):
        other = _made(-1e6, 1e6, **changes)
        monkeypatch.setattr(shelf, "read_calibration", lambda path, other=other: other)
        assert found("light") is None


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
    stages = load_recipe("single").bind().stages
    told = shelf.subject_of(stages)
    assert told is not None and told[1].calibration == "uncalibrated"
    made = _made(-1e6, 1e6).model_copy(update={"subject": told[0]})
    monkeypatch.setattr(shelf, "read_calibration", lambda path: made)
    assert shelf.shipped_for(stages) is None


def test_a_learned_stage_with_another_beside_it_has_no_calibration() -> None:
    """A crop, too: what is known of the coding is of the whole picture."""
    stages = load_recipe("light").bind(roi=(0, 0, 64, 64)).stages
    assert len(stages) == 2 and shelf.subject_of(stages) is None and shelf.subject_of(stages[::-1]) is None
    assert shelf.subject_of(stages[1:]) is not None
