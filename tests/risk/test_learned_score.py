"""The score quantile/1: bootstrap, features, head; without any of its parts there is no LOW, and the map says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.frame import Coding, Geometry, WorkingFrame
from forensic.fusion.forward import ForwardModel
from forensic.hashes import sha256_bytes
from forensic.risk import assessment, head
from forensic.risk.assessment import assess
from forensic.risk.bootstrap import stray, variations
from forensic.risk.calibration.artefact import QUANTILE, Calibration, Limits
from forensic.risk.calibration.judging import CALIBRATED
from forensic.risk.dihedral import dispersion
from forensic.risk.features import GROUPS, WHOLE
from forensic.risk.head import CONTEXT, MOST_PARAMETERS, Head, parse_head, read_head, written
from forensic.risk.learned import wanted
from forensic.risk.tiles import Level
from tests.risk.calibrations import calibration

FEATURES = tuple(name for group in GROUPS.values() for name in group)


def _bytes(features: tuple[str, ...] = FEATURES, width: int = 4, seed: int = 1) -> bytes:
    import torch

    torch.manual_seed(seed)
    return written(head.network(len(features), width), features, width)


def _twice(window: Any, at: int) -> WorkingFrame:
    """A process: bicubic enlargement by two."""
    frame = window[at]
    geometry = Geometry(2 * frame.geometry.width, 2 * frame.geometry.height, frame.geometry.layout)
    planes = tuple(
        np.asarray(cv2.resize(plane, (2 * plane.shape[1], 2 * plane.shape[0]), interpolation=cv2.INTER_CUBIC))
        for plane in frame.planes
    )
    return WorkingFrame(planes, geometry, frame.colour, frame.timing, frame.stage_class, frame.coding)


@pytest.fixture
def source(coded: Any, smooth_scene: Any) -> WorkingFrame:
    small = smooth_scene(96, 128).reshape(48, 2, 64, 2).mean(axis=(1, 3))
    frame: WorkingFrame = coded(small).to_working()
    object.__setattr__(frame, "coding", Coding("P", "h264", 25.0))
    return frame


def test_every_mirror_and_shift_is_undone_and_sixteen_differ() -> None:
    picture = np.arange(24 * 32, dtype=np.float32).reshape(24, 32)
    used = variations(16, 4)
    assert len(set(used)) == 16
    for one in used:
        back = one.undo(one.apply(picture))
        assert np.array_equal(back[2:-2, 2:-2], picture[2:-2, 2:-2])
    assert {(one.across, one.down) for one in used} == {(0, 0), (2, 2), (2, 0), (0, 2)}


def test_the_bootstrap_gives_the_same_bytes_and_strays_where_there_is_something_to_stray(source: WorkingFrame) -> None:
    output, forward = _twice([source], 0).luma, ForwardModel(2)
    first, second = (stray(_twice, [source], 0, output, forward) for _ in range(2))
    assert first.deviation.tobytes() == second.deviation.tobytes()
    assert (first.passes, first.quantiser, first.note) == (16, 25, None)
    flat = WorkingFrame(
        tuple(np.full_like(plane, 100.0) for plane in source.planes),
        source.geometry, source.colour, source.timing, source.stage_class, source.coding,
    )  # fmt: skip
    nothing = stray(_twice, [flat], 0, _twice([flat], 0).luma, forward)
    assert float(nothing.deviation.max()) < 2.0 < float(first.deviation.max())


def test_coarser_coding_strays_further(source: WorkingFrame) -> None:
    output = _twice([source], 0).luma
    found = []
    for quantiser in (15.0, 45.0):
        object.__setattr__(source, "coding", Coding("P", "h264", quantiser))
        found.append(float(stray(_twice, [source], 0, output, ForwardModel(2)).deviation.mean()))
    assert found[1] > 1.5 * found[0]


def test_without_a_quantiser_nothing_is_coded_and_the_record_says_so(source: WorkingFrame) -> None:
    object.__setattr__(source, "coding", None)
    found = stray(_twice, [source], 0, _twice([source], 0).luma, ForwardModel(2))
    assert found.quantiser is None and "not known" in str(found.note)


def test_a_head_reads_back_and_computes_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = parse_head(_bytes())
    rng = np.random.default_rng(3)
    planes = {
        name: np.full((50, 70), 3.0, np.float32) if name in WHOLE else rng.uniform(0, 40, (50, 70)).astype(np.float32)
        for name in FEATURES
    }
    whole = made.risk(planes)
    assert whole.shape == (50, 70) and float(whole.min()) >= 0.0 and made.risk(planes).tobytes() == whole.tobytes()
    monkeypatch.setattr(head, "BLOCK", 16)
    assert np.allclose(made.risk(planes), whole, rtol=1e-4, atol=1e-3)
    assert CONTEXT < 16 and set(made.drivers(planes, whole)) == set(GROUPS) and made.distance(planes) > 0.0


def test_another_or_a_missing_head_is_refused(tmp_path: Any) -> None:
    path, data = tmp_path / "risk.safetensors", _bytes()
    with pytest.raises(BadInput, match=r"risk\.head"):
        read_head(path, sha256_bytes(data))
    path.write_bytes(data)
    assert read_head(path, sha256_bytes(data)).sha256 == sha256_bytes(data)
    path.write_bytes(_bytes(seed=2))
    with pytest.raises(BadInput, match="not the head"):
        read_head(path, sha256_bytes(data))


def _with(**changes: Any) -> bytes:
    import torch

    model = head.network(len(FEATURES), 4)
    for name, value in changes.items():
        with torch.no_grad():
            dict(model.named_parameters())[name.replace("_", ".")].fill_(value)
    return written(model, FEATURES, 4)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0" * 16, b"\xff" * 64, b"{}", _bytes()[:-1], _bytes() + b" ", _with(leave_bias=float("nan")),
        _bytes().replace(b"risk-head/v1", b"risk-head/v2"), _bytes().replace(b'\\"width\\": 4', b'\\"width\\": 5'),
        _bytes(width=128), b" " * ((1 << 20) + 1),
    ],
)  # fmt: skip
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        parse_head(data)
    assert caught.value.code == "risk.head"
    assert MOST_PARAMETERS == 100_000


def _calibrated(made: Head) -> Calibration:
    found = calibration()
    envelope = {name: Limits(low=-1e6, high=1e6, absent=True) for name in found.strata[0].envelope}
    strata = [one.model_copy(update={"envelope": envelope}) for one in found.strata]
    return found.model_copy(update={"score": QUANTILE, "head_sha256": made.sha256, "strata": strata})


def test_the_learned_score_is_what_the_level_and_the_files_are_made_of(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    output = _twice([source], 0).quantise()
    spread = dispersion(_twice, [source], 0, bootstrap=True)
    found = assess(source, output, dispersion=spread, calibration=_calibrated(made))
    plain = assess(source, output, dispersion=spread)
    assert found.status == CALIBRATED and plain.status == "UNCALIBRATED" and plain.thresholds.high == 10.0
    assert found.risk is not None and plain.risk is not None and not np.array_equal(found.risk, plain.risk)
    summary = found.summary()
    assert summary["head"]["sha256"] == made.sha256 and "quantile" in summary["combination"]
    assert summary["bootstrap"]["passes"] == 16 and summary["thresholds"]["high"] == 32.0
    assert set(found.components) == set(GROUPS) and found.measures is not None
    assert found.measures["features"] is not None
    by_hand = assess(source, output, dispersion=spread, head=made)
    assert by_hand.risk is not None and by_hand.risk.tobytes() == found.risk.tobytes()


@pytest.mark.parametrize("lacking", ["head", "bootstrap", "dispersion"])
def test_without_a_part_of_the_score_nothing_is_low_and_the_map_is_uncalibrated(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    made = parse_head(_bytes())
    if lacking != "head":
        monkeypatch.setattr(assessment, "head_of", lambda _: made)
    spread = None if lacking == "dispersion" else dispersion(_twice, [source], 0, bootstrap=lacking == "head")
    output = _twice([source], 0).quantise()
    found = assess(source, output, dispersion=spread, calibration=_calibrated(made))
    assert found.status == "UNCALIBRATED" and Level.LOW not in found.levels
    assert found.summary()["calibration"]["reason"] and "sum of squares" in found.summary()["combination"]


def test_a_frame_of_another_kind_than_all_that_were_calibrated_has_no_low(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An intra picture, and a picture too small to be coded again, whose bootstrap then lacks the codec."""
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    output = _twice([source], 0).quantise()
    spread = dispersion(_twice, [source], 0, bootstrap=True)
    assert spread.stray is not None
    uncoded = replace(spread, stray=replace(spread.stray, quantiser=None, note="pictures under 16 pixels"))
    found = assess(source, output, dispersion=uncoded, calibration=_calibrated(made))
    assert found.status == "UNCALIBRATED" and Level.LOW not in found.levels
    assert "under 16 pixels" in found.summary()["calibration"]["reason"]
    object.__setattr__(source, "coding", Coding("I", "h264", 25.0))
    assert not wanted(_calibrated(made), source)
    found = assess(source, output, dispersion=spread, calibration=_calibrated(made))
    assert found.status == "UNCALIBRATED" and Level.LOW not in found.levels
    assert "of type I" in found.summary()["calibration"]["reason"]


def test_outside_the_domain_the_learned_score_is_not_made_nor_shown(source: WorkingFrame) -> None:
    made = parse_head(_bytes())
    inside = _calibrated(made)
    limits = {"short": Limits(low=1.0, high=2.0, absent=False)}
    strata = [one.model_copy(update={"envelope": one.envelope | limits}) for one in inside.strata]
    outside = inside.model_copy(update={"strata": strata})
    assert wanted(inside, source) and not wanted(outside, source) and not wanted(None, source)
    assert not wanted(calibration(), source)  # of another score
    spread = dispersion(_twice, [source], 0)
    found = assess(source, _twice([source], 0).quantise(), dispersion=spread, calibration=outside)
    assert found.status.startswith("OUTSIDE") and Level.LOW not in found.levels
    assert (
        "shorter side" in found.summary()["calibration"]["reason"]
        and "sum of squares" in found.summary()["combination"]
    )
    coarse = Coding("P", "h264", 32.0)  # of the stratum without a threshold
    object.__setattr__(source, "coding", coarse)
    assert not wanted(inside, source)


def test_features_far_from_those_of_the_fit_are_outside_the_domain(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    inside = _calibrated(made)
    limits = {"features": Limits(low=0.0, high=1e-6, absent=False)}
    strata = [one.model_copy(update={"envelope": one.envelope | limits}) for one in inside.strata]
    spread = dispersion(_twice, [source], 0, bootstrap=True)
    outside = inside.model_copy(update={"strata": strata})
    found = assess(source, _twice([source], 0).quantise(), dispersion=spread, calibration=outside)
    assert found.status.startswith("OUTSIDE") and "features" in found.summary()["calibration"]["reason"]
    assert Level.LOW not in found.levels and "head" not in found.summary()
