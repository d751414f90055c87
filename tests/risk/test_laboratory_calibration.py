"""A laboratory's calibration as an artefact: what it must say, and what a held-out test that contradicts it does."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.fusion.forward import ForwardModel
from forensic.hashes import canonical_json
from forensic.risk.calibration.alignment import align, truth_for
from forensic.risk.calibration.artefact import Calibration, parse_calibration
from forensic.risk.calibration.evidence import contradictions
from forensic.risk.calibration.judging import CALIBRATED_OWN, REFUSED, judge
from forensic.risk.calibration.laboratory import HeldOut, Laboratory, Registration, rate_limits, usual_pictures
from tests.risk.calibrations import calibration, recording


def _held(stratum: str, failures: int, n: int = 20) -> HeldOut:
    low, high = rate_limits(failures, n)
    return HeldOut(
        stratum=stratum, n=n, outside=0, abstained=0, failures=[failures] * 3, low=[low] * 3, high=[high] * 3
    )


def own(failures: int = 0, **changes: Any) -> Calibration:
    """A laboratory's artefact whose first stratum has LOW, and failed so often in its test."""
    said: dict[str, Any] = {
        "id": "C-1", "name": "Lab", "examiner": "A", "certificate_sha256": "ab" * 32, "workspace": "w",
        "registered": Registration(seq=2, hash="cd" * 32, utc="2026-11-23T06:00:00.000000Z"), "pictures": ["P"],
        "held_out": [_held("fine", failures), _held("coarse", 0)], "earlier": 0, "seen_before": 0, "refused": 0,
        "remarks": [],
    }  # fmt: skip
    laboratory = Laboratory(**(said | changes))
    return calibration().model_copy(update={"origin": "laboratory", "laboratory": laboratory})


def test_it_comes_back_from_its_bytes_and_says_whose_it_is() -> None:
    made = own()
    assert parse_calibration(made.data) == made and b'"laboratory":{' in made.data
    assert b"laboratory" not in calibration().data.replace(b'"origin":"laboratory"', b"")
    found = judge(made, recording(number=50).measures)
    assert found.status == CALIBRATED_OWN and any("by Lab (A)" in one for one in found.statements)


def test_a_held_out_test_that_contradicts_leaves_no_low() -> None:
    assert own(0).has_low and not own(0).contradicted(own(0).strata[0])
    made = own(6)  # of 20: more than 5 % beyond doubt
    assert made.contradicted(made.strata[0]) and not made.has_low
    found = judge(made, recording(number=50).measures)
    assert found.status == REFUSED and found.low_below == 0 and "contradict" in (found.reason or "")


@pytest.mark.parametrize(
    "changes",
    [{"low": [0.0] * 3}, {"high": [0.01] * 3}, {"failures": [21] * 3}, {"outside": 20}, {"abstained": 21}],
)
def test_held_out_numbers_that_do_not_agree_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HeldOut(**(_held("fine", 2).model_dump() | changes))


@pytest.mark.parametrize("origin", ["shipped", "laboratory"])
def test_only_a_laboratory_s_own_names_a_laboratory(origin: str) -> None:
    said = (own() if origin == "shipped" else calibration()).model_dump(mode="json", by_alias=True)
    with pytest.raises(BadInput) as refused:
        parse_calibration(canonical_json(said | {"origin": origin}))
    assert refused.value.code == "calibration.invalid"


def test_usual_pictures_are_those_of_one_in_ten() -> None:
    assert usual_pictures(["P"] * 9 + ["I"]) == ["I", "P"]
    assert usual_pictures(["P"] * 19 + ["I"]) == ["P"]


_PLAIN = cache(own)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_lies_beside_it_is_told_and_never_a_crash(registration: bytes, recordings: bytes) -> None:
    assert contradictions(_PLAIN(), registration, recordings)


# --- pairs -------------------------------------------------------------------------------------------------------


def _scene(rows: int = 160, columns: int = 192) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.kron(rng.uniform(40, 210, (rows // 16, columns // 16)), np.ones((16, 16))).astype(np.float32)


def test_a_pair_in_place_is_one_and_others_are_refused_with_the_reason() -> None:
    truth = _scene()
    y = ForwardModel(4).apply(truth)
    found = align(y, truth, 4)
    assert found.fault is None and found.correlation > 0.99 and (found.furthest or 0.0) < 0.05
    assert "pixels off" in (align(y, np.roll(truth, 6, axis=1), 4).fault or "")
    assert "do not show the same" in (align(y, truth[::-1].copy(), 4).fault or "")
    toned = align(0.8 * y + 20, truth, 4)
    assert toned.fault is None and toned.gain == pytest.approx(0.8, abs=0.01)
    assert toned.offset == pytest.approx(20.0, abs=1.0)
    for other in (truth[:-4], np.full_like(truth, 90.0)):
        with pytest.raises(BadInput):
            align(y, other, 4)


def _frame(planes: tuple[np.ndarray, ...], layout: str, full: bool) -> CodedFrame:
    rows, columns = planes[0].shape
    timing = FrameTiming(0, 0, 1)  # type: ignore[arg-type]
    colour = ColourSpec(full_range=full)
    return CodedFrame(planes, Geometry(columns, rows, LAYOUTS[layout]), colour, timing, StageClass.PRESENTATION)


def test_the_truth_is_what_the_recorder_would_have_coded() -> None:
    grey = np.full((8, 8), 128, np.uint8)
    chroma = np.full((4, 4), 128, np.uint8)
    limited = _frame((grey, chroma, chroma), "yuv420p", False).to_working()
    full = _frame((grey,), "gray", True)
    assert truth_for(full, limited)[0, 0] == pytest.approx(16 + 128 * 219 / 255)
    assert truth_for(full, full.to_working())[0, 0] == 128
    red = _frame((np.full((8, 8), 255, np.uint8), grey * 0, grey * 0), "rgb24", True)
    assert truth_for(red, limited)[0, 0] == pytest.approx(16 + 219 * 0.299, abs=0.01)
    with pytest.raises(BadInput):
        truth_for(full, red.to_working())
