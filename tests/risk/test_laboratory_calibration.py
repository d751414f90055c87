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
from forensic.report.sections.calibration import registered
from forensic.risk.calibration.aligning import align, range_of, truth_for
from forensic.risk.calibration.artefact import Calibration, parse_calibration
from forensic.risk.calibration.evaluating import held_out
from forensic.risk.calibration.evidence import FIELDS, contradictions
from forensic.risk.calibration.judging import CALIBRATED_OWN, REFUSED, judge
from forensic.risk.calibration.laboratory import Failed, HeldOut, Laboratory, Registration, rate_limits, usual_pictures
from forensic.risk.calibration.strata import CLAIMS, Group, Worst, fit
from forensic.risk.calibration.table import recording_of
from tests.risk.calibrations import calibration, recording


def _held(stratum: str, failures: int, n: int = 20) -> HeldOut:
    low, high = rate_limits(failures, n)
    return HeldOut(
        stratum=stratum, n=n, outside=0, abstained=0, failures=[failures] * 3, low=[low] * 3, high=[high] * 3,
        any_claim=Failed.of(failures, n), low_area=0.5, shown=[],
    )  # fmt: skip


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
    assert any("by the record of workspace w." in one for one in found.statements)
    assert registered(made.model_dump(mode="json")["laboratory"], "w").endswith("before anything was scored")
    assert "by its own record" in registered(made.model_dump(mode="json")["laboratory"], "another")


def test_a_held_out_test_that_contradicts_leaves_no_low() -> None:
    assert own(0).has_low and not own(0).contradicted(own(0).strata[0])
    made = own(6)  # of 20: more than 5 % beyond doubt
    assert made.contradicted(made.strata[0]) and not made.has_low
    found = judge(made, recording(number=50).measures)
    assert found.status == REFUSED and found.low_below == 0 and "contradict" in (found.reason or "")


@pytest.mark.parametrize(
    "changes",
    [
        {"low": [0.0] * 3},
        {"high": [0.01] * 3},
        {"failures": [21] * 3},
        {"outside": 20},
        {"abstained": 21},
        {"abstained": 1},
        {"any_claim": {"failures": 1, "n": 20, "low": 0.001265, "high": 0.248733}},
        {"any_claim": {"failures": 2, "n": 20, "low": 0.0, "high": 0.316983}},
    ],
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


def test_usual_pictures_are_those_of_one_in_ten_recordings() -> None:
    def usual(kinds: list[str]) -> list[str]:
        return usual_pictures((str(number), kind) for number, kind in enumerate(kinds))

    assert usual(["P"] * 9 + ["I"]) == ["I", "P"]
    assert usual(["P"] * 19 + ["I"]) == ["P"]
    assert usual_pictures([(str(n), "P") for n in range(19)] + [("19", "I")] * 7) == ["P"]  # seven frames of one


def test_a_recording_fails_in_any_frame_of_the_domain_in_whatever_order() -> None:
    _, strata = fit([Group("all", None, None, [recording(9.0, number=one) for one in range(60)])], 2)
    bad, strange = recording(3.0, number=30), recording(number=30, blur=99.0)
    for frames in ([strange, bad], [bad, strange]):
        (tested,) = held_out(strata, CLAIMS, 2, [Group("all", None, None, [Worst.of(frames)] * 20)])
        assert (tested.outside, tested.failures[0]) == (0, 20) and tested.contradicts(0.05)
    worst = Worst.of([strange, recording(3.0, number=30, blur=99.0)])
    (tested,) = held_out(strata, CLAIMS, 2, [Group("all", None, None, [worst])])
    assert (tested.outside, tested.failures[0]) == (1, 0)


def test_the_envelope_is_of_all_frames() -> None:
    several = Worst.of([recording(blur=2.0), recording(blur=5.0)])
    _, (stratum,) = fit([Group("all", None, None, [several] * 60)], 2)
    assert (stratum.envelope["blur"].low, stratum.envelope["blur"].high) == (2.0, 5.0)


def test_numbers_that_would_keep_a_verifier_busy_are_refused() -> None:
    said = own().model_dump(mode="json", by_alias=True)
    held = said["laboratory"]["held_out"]
    many = held[0] | {"n": 10**6, "failures": [10**5], "low": [0], "high": [1]}
    for changes, told in (
        ({"laboratory": said["laboratory"] | {"held_out": [many]}}, "less than or equal to 20000"),
        ({"laboratory": said["laboratory"] | {"held_out": held * 9}}, "at most 8 items"),
        ({"laboratory": said["laboratory"] | {"held_out": [held[0] | {"shown": [{}] * 10}]}}, "at most 9 items"),
        ({"claims": said["claims"] * 9}, "at most 8 items"),
        ({"strata": said["strata"] * 9}, "at most 8 items"),
    ):
        with pytest.raises(BadInput, match=told):
            parse_calibration(canonical_json(said | changes))


@pytest.mark.parametrize("cell", ["9" * 140_000, "9" * 5_000, "0", "-1", "nan"])
def test_a_cell_that_is_no_count_is_told(cell: str) -> None:
    rows = f"{','.join(FIELDS)}\n{','.join([cell] * len(FIELDS))}\n".encode()
    assert contradictions(_PLAIN(), b"{}", rows)
    row = dict.fromkeys(FIELDS, cell)
    with pytest.raises(ValueError):
        recording_of(row)


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


def _frame(planes: tuple[np.ndarray, ...], layout: str, full: bool | None) -> CodedFrame:
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


def test_grey_that_states_no_range_is_full_as_rgb_is_and_colour_is_limited() -> None:
    grey, chroma = np.full((8, 8), 128, np.uint8), np.full((4, 4), 128, np.uint8)
    limited = _frame((grey, chroma, chroma), "yuv420p", False).to_working()
    silent = _frame((grey,), "gray", None)
    assert range_of(silent) == "full, assumed"
    assert truth_for(silent, limited)[0, 0] == pytest.approx(16 + 128 * 219 / 255)
    assert truth_for(silent, silent.to_working())[0, 0] == 128
    assert range_of(_frame((grey, chroma, chroma), "yuv420p", None)) == "limited, assumed"
    assert range_of(_frame((grey,), "gray", False)) == "limited"
    assert truth_for(_frame((grey,), "gray", False), limited)[0, 0] == 128
