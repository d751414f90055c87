"""A calibration counts only as the card names it, with the software that it was made with, and as it was measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from forensic import __version__
from forensic.errors import PolicyRefused
from forensic.frames.frame import WorkingFrame
from forensic.hashes import canonical_json, sha256_file
from forensic.registry.cards import HELD_OUT_FILE, load_card, verify_all
from forensic.resources import models_dir
from forensic.risk import assessment
from forensic.risk.assessment import assess
from forensic.risk.calibration import shelf, software
from forensic.risk.calibration.artefact import QUANTILE, SUM, Calibration
from forensic.risk.calibration.strata import CLAIMS
from forensic.risk.calibration.testing import DELTA, EPSILON
from forensic.risk.dihedral import dispersion
from forensic.risk.head import parse_head
from forensic.risk.tiles import Level
from forensic.stages.catalogue import build
from forensic.stages.recipe import load_recipe
from tests.risk.calibrations import calibration
from tests.risk.test_laboratory_calibration import own
from tests.risk.test_learned_score import _bytes, _calibrated, _twice, source  # noqa: F401 - a fixture

# ruff: noqa: F811


# --- the card --------------------------------------------------------------------------------------------------


def test_shipped_calibrations_are_those_of_their_cards_and_make_the_committed_claims() -> None:
    shipped = sorted(models_dir().glob(f"*/{shelf.FILE}"))
    assert shipped
    for path in shipped:
        card = load_card(path.parent.name)
        assert (card.calibration, card.calibration_sha256) == ("calibrated", sha256_file(path))
        assert card.held_out_sha256 == sha256_file(card.folder / HELD_OUT_FILE)
        found = shelf.read_calibration(path)
        assert found is not None
        assert tuple(found.claims) == CLAIMS
        assert (found.epsilon, found.delta, found.origin) == (EPSILON, DELTA, "shipped")
        assert found.subject.model == card.id
        assert found.subject.weights_sha256 == card.weights.sha256
        assert software.versions_of(found.score, found.subject.precision).keys() <= found.software.keys()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Private copies of the folder of light-x4, as the installation's."""
    folder = tmp_path / "models"
    shutil.copytree(models_dir() / "light-x4", folder / "light-x4")
    monkeypatch.setattr("forensic.resources.models_dir", lambda: folder)
    return folder


def _laxer(path: Path) -> None:
    """Consistent in itself: the claims tolerate more, the counts stay."""
    told = json.loads(path.read_bytes())
    told["claims"][0]["tolerance"] = 64
    path.write_bytes(canonical_json(told))


@pytest.mark.parametrize(
    ("change", "said"),
    [(_laxer, "SHA-256"), (Path.unlink, "there is no"), (lambda path: path.write_bytes(b"{}"), "is none")],
)
def test_another_calibration_than_the_card_names_is_not_used_and_the_reason_is_told(
    models: Path, change: Any, said: str
) -> None:
    stages = load_recipe("light").bind(roi=(8, 8, 64, 48)).stages
    assert shelf.shipped_for(stages) is not None
    assert shelf.refused_for(stages) is None
    assert all(found.ok for found in verify_all(models))
    change(models / "light-x4" / shelf.FILE)
    assert shelf.shipped_for(stages) is None
    assert said in (shelf.refused_for(stages) or "")
    (found,) = verify_all(models)
    assert (found.ok, found.code) == (False, "model.calibration-mismatch")


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(path.read_bytes() + b"\n")])
def test_another_held_out_test_than_the_card_names_is_told_by_the_check_of_models(models: Path, change: Any) -> None:
    change(models / "light-x4" / HELD_OUT_FILE)
    (found,) = verify_all(models)
    assert (found.ok, found.code) == (False, "model.held-out-test-mismatch")


def test_a_calibration_of_regions_is_not_used_for_whole_pictures_and_the_reason_is_told() -> None:
    stages = load_recipe("light").bind().stages
    assert shelf.shipped_for(stages) is None
    assert "for a region (--roi)" in (shelf.refused_for(stages) or "")
    aside = [
        build("crop", {"x": 0, "y": 0, "width": 96, "height": 64}),
        *load_recipe("light").bind(roi=(8, 8, 64, 48)).stages,
    ]
    assert shelf.subject_of(aside) is None  # a crop of a crop was not calibrated


def test_where_no_calibration_is_named_none_is_missed() -> None:
    assert shelf.refused_for(load_recipe("classic").bind().stages) is None
    assert shelf.refused_for(load_recipe("dat").bind().stages) is None


@pytest.mark.parametrize(
    ("line", "by"),
    [
        ('calibration = "calibrated"\n', 'calibration = "uncalibrated"\n'),
        ("calibration_sha256 = ", "# "),
        ('calibration = "calibrated"\ncalibration_sha256 = ', 'calibration = "uncalibrated"\n# '),  # its test stays
    ],
)
def test_a_card_that_half_names_a_calibration_is_refused(models: Path, line: str, by: str) -> None:
    card = models / "light-x4" / "card.toml"
    text = card.read_text("utf-8")
    assert line in text
    card.write_text(text.replace(line, by, 1), "utf-8")
    with pytest.raises(PolicyRefused) as refused:
        load_card("light-x4", models)
    assert refused.value.code == "model.card-invalid"


# --- the software ----------------------------------------------------------------------------------------------


def test_a_score_depends_on_what_computes_it() -> None:
    assert set(software.versions_of(QUANTILE, "float32")) == {"numpy", "opencv", "torch"}
    assert set(software.versions_of(QUANTILE, "int8")) == {"numpy", "opencv", "onnxruntime", "torch"}
    assert set(software.versions_of(SUM, "int8")) == {"numpy", "opencv", "onnxruntime"}
    assert not any("+" in version for version in software.versions_of(QUANTILE, "float32").values())


def _made_with(given: Calibration, **other: str | None) -> Calibration:
    told = {**given.software, **other}
    return given.model_copy(update={"software": {name: one for name, one in told.items() if one is not None}})


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("torch", "1.0.0", "calibrated with torch 1.0.0; run with torch"),
        ("opencv", None, "does not say with which opencv"),
    ],
)
def test_with_other_software_than_was_calibrated_nothing_is_low_and_both_versions_are_told(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch, name: str, version: str | None, said: str
) -> None:
    head = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: head)
    same = _calibrated(head)
    other = _made_with(same, **{name: version})
    assert software.departure(same) is None
    spread = dispersion(_twice, [source], 0)
    found = assess(source, _twice([source], 0).quantise(), dispersion=spread, calibration=other)
    assert found.status == "UNCALIBRATED" and Level.LOW not in found.levels
    told = found.summary()["calibration"]
    assert said in told["reason"] and told["calibration_sha256"] == other.sha256
    assert told["statements"] == [] and "sum of squares" in found.summary()["combination"]


def test_a_plain_score_does_not_depend_on_what_computes_a_head(source: WorkingFrame) -> None:
    assert software.departure(_made_with(calibration(), onnxruntime="1")) is None
    older = _made_with(calibration(), numpy="1.0")
    found = assess(source, _twice([source], 0).quantise(), dispersion=dispersion(_twice, [source], 0),
                   calibration=older)  # fmt: skip
    assert found.status == "UNCALIBRATED" and Level.LOW not in found.levels


def test_a_laboratory_s_calibration_holds_for_the_version_of_the_program_that_made_it() -> None:
    made = own()
    assert software.departure(_made_with(made, forensic=__version__)) is None
    assert f"calibrated with forensic 0; run with forensic {__version__}" in (software.departure(made) or "")
    assert "does not say with which forensic" in (software.departure(_made_with(made, forensic=None)) or "")
    assert software.departure(calibration()) is None  # shipped: it comes with the program
