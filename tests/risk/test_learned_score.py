"""The score quantile/2: features, head; without any of its parts there is no LOW, and the map says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.frame import Coding, Geometry, WorkingFrame
from forensic.fusion.options import SplitHalves
from forensic.hashes import sha256_bytes
from forensic.risk import assessment, head
from forensic.risk.assessment import assess
from forensic.risk.calibration.artefact import QUANTILE, Calibration, Limits
from forensic.risk.calibration.judging import CALIBRATED, OUTSIDE
from forensic.risk.dihedral import dispersion
from forensic.risk.features import GROUPS, WHOLE
from forensic.risk.head import CONTEXT, MOST_PARAMETERS, Head, parse_head, read_head, written
from forensic.risk.learned import unfit
from forensic.risk.regions import CONFLICT, FRAMES
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
    spread = dispersion(_twice, [source], 0)
    found = assess(source, output, dispersion=spread, calibration=_calibrated(made))
    plain = assess(source, output, dispersion=spread)
    assert found.status == CALIBRATED and plain.status == "UNCALIBRATED" and plain.thresholds.high == 10.0
    assert found.risk is not None and plain.risk is not None and not np.array_equal(found.risk, plain.risk)
    summary = found.summary()
    assert summary["head"]["sha256"] == made.sha256 and "quantile" in summary["combination"]
    assert summary["thresholds"]["high"] == 32.0
    assert set(found.components) == {*set(GROUPS), CONFLICT} and found.measures is not None
    assert found.measures["features"] is not None
    by_hand = assess(source, output, head=made)
    assert by_hand.risk is not None and by_hand.risk.tobytes() == found.risk.tobytes()


def test_the_score_is_never_below_the_range_conflict(source: WorkingFrame) -> None:
    """An output that contradicts its own input is at risk, whatever a network expects of it."""
    made = parse_head(_with(leave_bias=-20.0))  # expects next to nothing, anywhere
    output = _twice([source], 0)
    luma = output.luma.copy()
    luma[20:60, 40:80] += 40.0
    false = WorkingFrame((luma, *output.planes[1:]), output.geometry, output.colour, output.timing, output.stage_class)
    found = assess(source, false.quantise(), head=made)
    assert found.risk is not None
    assert float(found.risk[28:52, 48:72].min()) > 30.0 > 5.0 > float(np.median(found.risk[:, 120:]))
    worst = found.regions[0].worst_tile
    assert worst.driver == CONFLICT and 40 - 16 <= worst.x < 80 and 20 - 16 <= worst.y < 60


def test_without_its_head_nothing_is_low_and_the_map_is_uncalibrated(source: WorkingFrame) -> None:
    made = parse_head(_bytes())
    output = _twice([source], 0).quantise()
    found = assess(source, output, dispersion=dispersion(_twice, [source], 0), calibration=_calibrated(made))
    assert found.status == "UNCALIBRATED" and Level.LOW not in found.levels
    assert found.summary()["calibration"]["reason"] and "sum of squares" in found.summary()["combination"]


def test_a_frame_of_another_kind_than_all_that_were_calibrated_has_no_low(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    object.__setattr__(source, "coding", Coding("I", "h264", 25.0))
    found = assess(source, _twice([source], 0).quantise(), calibration=_calibrated(made))
    assert found.status == "UNCALIBRATED" and Level.LOW not in found.levels
    assert "of type I" in found.summary()["calibration"]["reason"]


def test_a_part_whose_quantiser_is_not_known_has_no_low(source: WorkingFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the whole picture is not that of the part."""
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    object.__setattr__(source, "coding", Coding("P", "h264", 25.0).within(0, 0, 64, 48))
    found = assess(source, _twice([source], 0).quantise(), calibration=_calibrated(made))
    assert found.status.startswith("OUTSIDE") and Level.LOW not in found.levels
    assert "quantiser is not known" in found.summary()["calibration"]["reason"]


@pytest.mark.parametrize("fault", ["the frame is damaged", "the picture is interlaced"])
def test_a_frame_whose_decoding_or_coding_is_at_fault_has_no_low(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """What concealment put there is smooth and consistent; no number that is known of the frame need be of it."""
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    object.__setattr__(source, "coding", Coding("P", "h264", 25.0, fault=fault))
    found = assess(source, _twice([source], 0).quantise(), calibration=_calibrated(made))
    assert found.status == "UNCALIBRATED" and Level.LOW not in found.levels
    assert found.summary()["calibration"]["reason"] == fault
    assert unfit(source, learned=True) == unfit(source, learned=False) == fault  # nor can it be calibrated on


def test_outside_the_domain_the_learned_score_is_not_made_nor_shown(source: WorkingFrame) -> None:
    made = parse_head(_bytes())
    inside = _calibrated(made)
    limits = {"short": Limits(low=1.0, high=2.0, absent=False)}
    strata = [one.model_copy(update={"envelope": one.envelope | limits}) for one in inside.strata]
    outside = inside.model_copy(update={"strata": strata})
    spread = dispersion(_twice, [source], 0)
    found = assess(source, _twice([source], 0).quantise(), dispersion=spread, calibration=outside)
    assert found.status.startswith("OUTSIDE") and Level.LOW not in found.levels
    assert (
        "shorter side" in found.summary()["calibration"]["reason"]
        and "sum of squares" in found.summary()["combination"]
    )


def test_features_far_from_those_of_the_fit_are_outside_the_domain(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    inside = _calibrated(made)
    limits = {"features": Limits(low=0.0, high=1e-6, absent=False)}
    strata = [one.model_copy(update={"envelope": one.envelope | limits}) for one in inside.strata]
    spread = dispersion(_twice, [source], 0)
    outside = inside.model_copy(update={"strata": strata})
    found = assess(source, _twice([source], 0).quantise(), dispersion=spread, calibration=outside)
    assert found.status.startswith("OUTSIDE") and "features" in found.summary()["calibration"]["reason"]
    assert Level.LOW not in found.levels and "head" not in found.summary()


def test_a_picture_with_odd_sides_is_scored_whole(
    coded: Any, smooth_scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame: WorkingFrame = coded(smooth_scene(49, 63)).to_working()
    object.__setattr__(frame, "coding", Coding("P", "h264", 25.0))
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    found = assess(frame, frame.quantise(), calibration=_calibrated(made))
    assert found.status == CALIBRATED and found.risk is not None and found.risk.shape == (49, 63)
    assert {one.shape for one in found.components.values()} == {(49, 63)}


def _halves(source: WorkingFrame, frames: int = 3, pair: bool = True) -> SplitHalves:
    """Of a window of ``frames`` frames, enlarged by two, of which half as many are effective."""
    shape = source.luma.shape
    rng = np.random.default_rng(4)
    large = cv2.resize(source.luma, (2 * shape[1], 2 * shape[0]))
    two = tuple(large + rng.normal(0, 3, large.shape).astype(np.float32) for _ in range(2))
    weights, effective = np.ones((frames, *shape), np.float32), np.full(shape, frames / 2, np.float32)
    halves = (two[0], two[1]) if pair else None
    return SplitHalves(halves, None if pair else "no frame at odd distance could be used", weights, effective, {})


def _of_frames(made: Head) -> Calibration:
    """A calibration of pictures that are made of three frames."""
    found = _calibrated(made)
    strata = [one.model_copy(update={"envelope": one.envelope | {"frames": Limits(low=1.2, high=3.0, absent=False)}})
              for one in found.strata]  # fmt: skip
    subject = found.subject.model_copy(update={"stage": "refined-fusion", "parameters": {"frames": 1.0}})
    return found.model_copy(update={"strata": strata, "subject": subject})


def test_the_risk_of_a_picture_of_several_frames_is_never_below_what_its_halves_disagree_by(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    output, calibrated, whole = _twice([source], 0).quantise(), _of_frames(made), _halves(source)
    assert whole.halves is not None
    first, second = whole.halves[0], whole.halves[0].copy()
    second[20:60, 40:90] += 150.0  # a thing that only half of the frames show
    alike = assess(source, output, calibration=calibrated, halves=replace(whole, halves=(first, first)))
    apart = assess(source, output, calibration=calibrated, halves=replace(whole, halves=(first, second)))
    assert alike.status == apart.status == CALIBRATED and set(apart.components) == {*GROUPS, CONFLICT, FRAMES}
    assert alike.risk is not None and apart.risk is not None
    assert float(alike.risk[30:50, 50:80].max()) < 70.0 < float(apart.risk[30:50, 50:80].min())
    assert not alike.components[FRAMES].any()
    assert float(apart.components[FRAMES][30:50, 50:80].min()) > 5.0
    assert "what the halves of the frames disagree by" in str(apart.facts["combination"])


@pytest.mark.parametrize(
    ("halves", "why"),
    [
        (None, "nothing is told of the frames"),
        ({"frames": 2}, "made of 2 frames, as at a recording's ends: calibrated were 3"),
        ({"pair": False}, "no split-half pair: no frame at odd distance could be used"),
    ],
)
def test_a_picture_of_fewer_frames_or_without_its_halves_has_no_low(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch, halves: dict[str, Any] | None, why: str
) -> None:
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    told = None if halves is None else _halves(source, **halves)
    found = assess(source, _twice([source], 0).quantise(), calibration=_of_frames(made), halves=told)
    assert found.status == "UNCALIBRATED" and found.judgement is not None and why in str(found.judgement.reason)
    assert not (found.levels == Level.LOW).any()


def test_a_picture_whose_frames_hardly_agree_is_outside_the_domain(
    source: WorkingFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = parse_head(_bytes())
    monkeypatch.setattr(assessment, "head_of", lambda _: made)
    whole = _halves(source)
    alone = replace(whole, effective=np.ones_like(whole.effective))
    found = assess(source, _twice([source], 0).quantise(), calibration=_of_frames(made), halves=alone)
    assert found.status == OUTSIDE and found.judgement is not None and "frames" in str(found.judgement.reason)
