"""A map with a calibration: LOW only where it was calibrated, none outside, and every picture says which."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from forensic.frames.frame import Coding
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json
from forensic.risk.assessment import assess
from forensic.risk.calibration import domain
from forensic.risk.calibration.artefact import Calibration, Limits
from forensic.risk.calibration.judging import CALIBRATED, OUTSIDE, REFUSED
from forensic.risk.dihedral import Dispersion
from forensic.risk.files import RiskPaths, risk_record, write_maps
from forensic.risk.selection import frames_to_map
from forensic.risk.tiles import Level
from tests.risk.calibrations import calibration

QUANTISER = {"fine": 25.0, "coarse": 32.0}


def _frames(coded, smooth_scene, stratum="fine"):
    """An input coded as the stratum says, an output twice its size, and a dispersion of 2 or 6 grey levels."""
    scene = smooth_scene(96, 128)
    small = scene.reshape(48, 2, 64, 2).mean(axis=(1, 3))
    source = coded(small).to_working()
    object.__setattr__(source, "coding", Coding("P", "h264", QUANTISER[stratum]))
    spread = np.full((96, 128), 2.0, np.float32)
    spread[:, 64:] = 6.0
    return source, coded(scene), Dispersion(spread, ("0", "90"))


def _around(source, output, spread) -> Calibration:
    """A calibration whose envelope holds this very frame."""
    plain = assess(source, output, dispersion=spread)
    found = domain.measured(source, plain.conflict, plain.summary()["noise_sigma"])
    known = {name: value for name, value in found.items() if value is not None}
    envelope = {name: Limits(low=value - 0.5, high=value + 0.5, absent=False) for name, value in known.items()}
    made = calibration()
    strata = [one.model_copy(update={"envelope": envelope}) for one in made.strata]
    return made.model_copy(update={"strata": strata})


def test_inside_the_domain_low_lies_below_the_calibrated_threshold(coded, smooth_scene):
    source, output, spread = _frames(coded, smooth_scene)
    plain = assess(source, output, dispersion=spread)
    found = assess(source, output, dispersion=spread, calibration=_around(source, output, spread))
    assert found.status == CALIBRATED and found.thresholds.medium == 3.0 and plain.thresholds.medium == 4.0
    assert set(np.unique(found.levels[:, :4])) == {Level.LOW} and Level.LOW not in found.levels[:, 4:]
    told = found.summary()["calibration"]
    assert (
        told["low_below"] == 3.0 and told["n"] == 200 and told["statements"][0].startswith("For recordings of class S")
    )
    assert np.array_equal(found.risk, plain.risk)  # a calibration measures nothing anew


def test_outside_the_domain_nothing_is_low(coded, smooth_scene):
    source, output, spread = _frames(coded, smooth_scene)
    found = assess(source, output, dispersion=spread, calibration=calibration())
    assert found.status == OUTSIDE and Level.LOW not in found.levels
    assert found.summary()["levels"]["LOW"]["tiles"] == 0
    assert found.summary()["calibration"]["outside"]


def test_a_stratum_that_was_refused_has_no_low(coded, smooth_scene):
    source, output, spread = _frames(coded, smooth_scene, "coarse")
    found = assess(source, output, dispersion=spread, calibration=_around(source, output, spread))
    assert found.status == REFUSED and Level.LOW not in found.levels


def test_without_known_coding_nothing_is_low(coded, smooth_scene):
    source, output, spread = _frames(coded, smooth_scene)
    made = _around(source, output, spread)
    object.__setattr__(source, "coding", None)
    assert assess(source, output, dispersion=spread, calibration=made).status == OUTSIDE


def test_generative_frames_are_not_judged(coded, smooth_scene):
    source, output, spread = _frames(coded, smooth_scene)
    made = _around(source, output, spread)
    generative = coded(smooth_scene(96, 128), stage_class=StageClass.GENERATIVE)
    found = assess(source, generative, dispersion=spread, calibration=made)
    assert found.judgement is None and found.status == "UNCALIBRATED" and set(np.unique(found.levels)) == {Level.HIGH}


@pytest.mark.parametrize("inside", [True, False])
def test_every_picture_and_the_record_say_what_the_map_is(tmp_path, coded, smooth_scene, inside):
    source, output, spread = _frames(coded, smooth_scene)
    made = _around(source, output, spread) if inside else calibration()
    found = assess(source, output, dispersion=spread, calibration=made)
    paths = RiskPaths(*(tmp_path / f"000007.{kind}.png" for kind in ("risk", "level", "overlay")))
    write_maps(paths, found, output)
    status = CALIBRATED if inside else OUTSIDE
    for path in (paths.risk, paths.level, paths.overlay):
        with Image.open(path) as picture:
            assert picture.text["Description"].startswith(f"{status} risk")
            assert "NOT A PROBABILITY" in picture.text["Title"] and "UNCALIBRATED" not in picture.text["Title"]
    record = risk_record([found.to_record()], frames_to_map(range(7, 8)), None, made)
    assert record["status"] == status and record["calibration"]["sha256"] == made.sha256
    assert canonical_json(record)


def test_a_run_of_frames_that_differ_says_so(coded, smooth_scene):
    source, output, spread = _frames(coded, smooth_scene)
    judged = assess(source, output, dispersion=spread, calibration=_around(source, output, spread)).to_record()
    outside = assess(source, output, dispersion=spread, calibration=calibration()).to_record()
    plain = assess(source, output, dispersion=spread).to_record()
    selection = frames_to_map(range(7, 9))
    assert risk_record([judged, outside], selection)["status"].startswith("PARTLY CALIBRATED")
    assert risk_record([judged, plain], selection)["status"] == "UNCALIBRATED"
