"""A calibration counts only as the card names it, with the software that it was made with, and as it was measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from forensic import __version__
from forensic.errors import InternalError, PolicyRefused
from forensic.frames.frame import WorkingFrame
from forensic.fusion.forward import ForwardModel
from forensic.hashes import canonical_json, sha256_file
from forensic.media import encoders, encoding
from forensic.registry.cards import load_card, verify_all
from forensic.resources import models_dir
from forensic.risk import assessment, learned
from forensic.risk.assessment import assess
from forensic.risk.bootstrap import stray
from forensic.risk.calibration import shelf, software
from forensic.risk.calibration.artefact import QUANTILE, SUM, Calibration
from forensic.risk.calibration.strata import CLAIMS
from forensic.risk.calibration.testing import DELTA, EPSILON
from forensic.risk.dihedral import dispersion
from forensic.risk.head import parse_head
from forensic.risk.learned import missing, wanted
from forensic.risk.tiles import Level
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
    stages = load_recipe("light").bind().stages
    assert shelf.shipped_for(stages) is not None
    assert shelf.refused_for(stages) is None
    assert all(found.ok for found in verify_all(models))
    change(models / "light-x4" / shelf.FILE)
    assert shelf.shipped_for(stages) is None
    assert said in (shelf.refused_for(stages) or "")
    (found,) = verify_all(models)
    assert (found.ok, found.code) == (False, "model.calibration-mismatch")


def test_where_no_calibration_is_named_none_is_missed() -> None:
    assert shelf.refused_for(load_recipe("classic").bind().stages) is None
    assert shelf.refused_for(load_recipe("single").bind().stages) is None


@pytest.mark.parametrize(
    ("line", "by"),
    [('calibration = "calibrated"\n', 'calibration = "uncalibrated"\n'), ("calibration_sha256 = ", "# ")],
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


def test_the_encoder_says_which_it_is() -> None:
    found = encoders.h264_versions()
    assert found["libx264"].startswith("core ")
    assert set(software.versions_of(QUANTILE, "float32")) == {"numpy", "opencv", "torch", *found}
    assert set(software.versions_of(SUM, "int8")) == {"numpy", "opencv", "onnxruntime"}
    assert not any("+" in version for version in software.versions_of(QUANTILE, "float32").values())


def _made_with(given: Calibration, **other: str | None) -> Calibration:
    told = {**given.software, **other}
    return given.model_copy(update={"software": {name: one for name, one in told.items() if one is not None}})


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("libx264", "core 148", "calibrated with libx264 core 148; run with libx264 core"),
        ("torch", "1.0.0", "calibrated with torch 1.0.0; run with torch"),
        ("av", None, "does not say with which av"),
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
    assert wanted(same, source) and not wanted(other, source)
    spread = dispersion(_twice, [source], 0, bootstrap=True)
    found = assess(source, _twice([source], 0).quantise(), dispersion=spread, calibration=other)
    assert found.status == "UNCALIBRATED" and Level.LOW not in found.levels
    told = found.summary()["calibration"]
    assert said in told["reason"] and told["calibration_sha256"] == other.sha256
    assert told["statements"] == [] and "sum of squares" in found.summary()["combination"]


def test_a_plain_score_does_not_depend_on_the_encoder(source: WorkingFrame) -> None:
    assert software.departure(_made_with(calibration(), libx264="core 1")) is None
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


def test_an_encoder_that_does_not_work_costs_the_label_and_not_the_run(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = _calibrated(parse_head(_bytes()))
    encoders.h264_versions.cache_clear()
    monkeypatch.setattr(encoders, "transcode", _failing("media.encode-failed"))
    try:
        assert "Generic error" in (software.departure(given) or "")
        assert not wanted(given, source)
    finally:
        encoders.h264_versions.cache_clear()


# --- the bootstrap ---------------------------------------------------------------------------------------------


def _failing(code: str) -> Any:
    def transcode(*_: Any, **__: Any) -> None:
        raise InternalError(code, "libx264: Generic error in an external library")

    return transcode


def test_an_encoder_that_does_not_take_the_picture_costs_the_label_and_not_the_run(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "transcode", _failing("media.encode-failed"))
    output = _twice([source], 0)
    found = stray(_twice, [source], 0, output.luma, ForwardModel(2))
    assert found.quantiser is None
    assert found.note is not None and "Generic error" in found.note
    head = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: head)
    spread = dispersion(_twice, [source], 0, bootstrap=True)
    assert "media.encode-failed" in (missing(source, spread) or "")
    told = assess(source, output.quantise(), dispersion=spread, calibration=_calibrated(head))
    assert told.status == "UNCALIBRATED" and Level.LOW not in told.levels
    assert "Generic error" in told.summary()["calibration"]["reason"]


def test_a_defect_in_the_bootstrap_is_no_excuse(source: WorkingFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "transcode", _failing("media.other"))
    with pytest.raises(InternalError):
        stray(_twice, [source], 0, _twice([source], 0).luma, ForwardModel(2))
    assert learned.missing(source, None) is not None
