"""The calibration artefact: what it says follows from its counts, or it is refused; what it permits to be said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from forensic.errors import BadInput
from forensic.hashes import canonical_json
from forensic.risk.calibration.artefact import parse_calibration
from forensic.risk.calibration.judging import CALIBRATED, OUTSIDE, REFUSED, judge
from forensic.risk.calibration.shelf import read_calibration
from tests.risk.calibrations import LIKE, calibration, recording

INSIDE = LIKE | {"noise": 1.5, "blur": 2.5, "residual": 3.5, "whiteness": 0.6, "quantiser": 26.0}


def test_strata_get_the_strictest_threshold_that_all_claims_keep() -> None:
    fine, coarse = calibration().strata
    assert fine.threshold == 3.0  # 20 of 200 recordings fail from 4 on
    assert [sequence.threshold for sequence in fine.sequences] == [3.0, 3.0, 3.0]
    assert fine.sequences[0].steps[-1].failures == 20 and not fine.sequences[0].steps[-1].passed
    assert coarse.threshold is None and "3 recordings are fewer than the 72" in str(coarse.refused)
    assert coarse.abstained == 3


def test_an_artefact_reads_back_to_itself() -> None:
    made = calibration()
    assert parse_calibration(made.data) == made
    assert parse_calibration(made.data).sha256 == made.sha256


def _changed(change: Any) -> bytes:
    value = json.loads(calibration().data)
    change(value)
    return canonical_json(value)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["strata"][0].update(threshold=4.0),
        lambda v: v["strata"][0].update(threshold=None),
        lambda v: v["strata"][1].update(threshold=1.0, refused=None),
        lambda v: v["strata"][0]["sequences"][0].update(threshold=10.0),
        lambda v: v["strata"][0]["sequences"][0]["steps"][-1].update(passed=True),
        lambda v: v["strata"][0]["sequences"][0]["steps"][-1].update(failures=0),
        lambda v: v["strata"][0]["sequences"][0]["steps"].reverse(),
        lambda v: v["strata"][0]["sequences"].pop(),
        lambda v: v["strata"][0].update(n=58),
        lambda v: v["strata"][0]["envelope"].update(colour={"low": 0, "high": 1, "absent": False}),
        lambda v: v.update(delta_each=0.05),
        lambda v: v.update(schema="tag:forensic-tool,2026:calibration/v2"),
        lambda v: v.update(remark="trust me"),
        lambda v: v["claims"][0].update(cap=2.0),
    ],
)
def test_what_does_not_follow_from_the_counts_is_refused(change: Any) -> None:
    with pytest.raises(BadInput) as caught:
        parse_calibration(_changed(change))
    assert caught.value.code == "calibration.invalid"


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"a": 1}', b"1", b" " * (1 << 20) + b"  "])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        parse_calibration(data)
    assert caught.value.code == "calibration.invalid"


def test_a_shelf_without_the_file_has_no_calibration(tmp_path: Any) -> None:
    assert read_calibration(tmp_path / "calibration.json") is None
    (tmp_path / "calibration.json").write_bytes(calibration().data)
    assert read_calibration(tmp_path / "calibration.json") == calibration()


def test_inside_the_envelope_only_the_permitted_sentence_is_said() -> None:
    found = judge(calibration(), INSIDE)
    assert (found.status, found.low_below, found.stratum, found.n) == (CALIBRATED, 3.0, "fine", 200)
    assert found.statements[0] == (
        "For recordings of class S, tested on 200 independent scenes, we are 95% confident that in at least 95% of "
        "such recordings at most 5% of the pixels marked LOW differ from the reference by more than 16 grey levels."
    )
    assert len(found.statements) == 4
    assert found.statements[3] == (
        "Of these 200 recordings 0 have no pixel marked LOW; of the other 200, these statements failed in 0, 0, 0, in "
        "this order."
    )
    assert not any("likely" in one or "probab" in one for one in found.statements)


@pytest.mark.parametrize(
    ("measure", "value", "told"),
    [
        ("noise", 9.0, "noise (noise of the input (docs/risk-map.md)) is 9"),
        ("blur", None, "has no value here"),
        ("whiteness", -0.5, "whiteness"),
        ("residual", 0.0, "outside 3"),
    ],
)
def test_outside_the_envelope_there_is_no_low_and_the_measure_is_named(measure: str, value: Any, told: str) -> None:
    inside = INSIDE
    found = judge(calibration(), inside | {measure: value})
    assert (found.status, found.low_below, found.statements) == (OUTSIDE, 0.0, ())
    assert [one["measure"] for one in found.departures] == [measure]
    assert found.reason is not None and told in found.reason
    assert found.to_record()["low_below"] is None


@pytest.mark.parametrize(("quantiser", "told"), [(None, "not known"), (41.0, "none of its strata")])
def test_a_frame_of_no_stratum_is_outside(quantiser: float | None, told: str) -> None:
    found = judge(calibration(), LIKE | {"quantiser": quantiser})
    assert found.status == OUTSIDE and found.stratum is None and told in str(found.reason)


def test_a_stratum_without_threshold_has_no_low_and_says_why() -> None:
    three = calibration()
    found = judge(three, LIKE | {"quantiser": 31.0, "noise": 1.01, "blur": 2.01, "residual": 3.01, "whiteness": 0.11})
    assert found.status == REFUSED and "fewer than" in str(found.reason) and found.statements == ()


def test_every_recording_failing_leaves_no_low() -> None:
    fine = calibration([recording(0.0, number) for number in range(200)]).strata[0]
    assert fine.threshold is None and "200 of 200" in str(fine.refused) and fine.low_area is None
