"""What the registration of a laboratory's calibration must show by itself: independent recordings, split by digest."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from forensic.case.calibrating.calibrate import CalibrateRequest, FinishedCalibration, calibrate
from forensic.case.layout import CalibrationFolder
from forensic.case.progress import Silent
from forensic.hashes import canonical_json
from forensic.risk.calibration import alignment, quantisers
from forensic.risk.calibration.evidence import contradictions
from forensic.risk.calibration.independence import faults
from tests.calibration import laboratory

Plan = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FinishedCalibration:
    """Of eight recordings. Do not change it: copy it."""
    root = tmp_path_factory.mktemp("independence")
    with pytest.MonkeyPatch.context() as patched:
        laboratory.made_up(patched)
        with laboratory.workspace(root / "ws") as workspace:
            request = CalibrateRequest(laboratory.manifest(root / "pairs", 8), "Charts", workers=1)
            return calibrate(workspace, request, Silent())


@pytest.fixture(scope="module")
def registered(made: FinishedCalibration) -> Plan:
    """What was registered of it. Do not change it: copy it."""
    plan: Plan = json.loads(CalibrationFolder(made.folder).registration.read_bytes())
    return plan


def test_what_the_program_registers_has_no_fault(registered: Plan) -> None:
    assert list(faults(registered)) == []


def _shared(name: str) -> Callable[[Plan], None]:
    def change(plan: Plan) -> None:
        first, second = plan["recordings"][:2]
        second["pairs"][0][name] = first["pairs"][0][name]

    return change


def _named(plan: Plan) -> None:
    plan["recordings"][1]["pairs"][0]["pair"]["recording"] = plan["recordings"][7]["pairs"][0]["pair"]["recording"]


def _swapped(plan: Plan) -> None:
    plan["recordings"][0], plan["recordings"][7] = plan["recordings"][7], plan["recordings"][0]


def _chosen(plan: Plan) -> None:
    plan["recordings"][0]["list"], plan["recordings"][7]["list"] = "test", "calibrate"


def _dropped(plan: Plan) -> None:
    del plan["recordings"][0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_shared("reference_sha256"), "shares with another: file"),
        (_shared("degraded_sha256"), "shares with another: file"),
        (_shared("reference_picture_sha256"), "shares with another: picture"),
        (_shared("degraded_picture_sha256"), "shares with another: picture"),
        (_shared("degraded_sha256"), "the digest of recording 2"),
        (_named, "shares with another: named"),
        (_swapped, "order of their digests"),
        (_chosen, "held-out list"),
        (lambda plan: plan.update(test_share=0.5), "held-out list"),
        (lambda plan: plan.update(thresholds=[3, 24]), "thresholds"),
        (lambda plan: plan.update(method="As we have always done it."), "the method is not"),
        (lambda plan: plan.update(test_share=2**53), "held-out list"),
        (_dropped, "8 pairs were given and 7 are listed"),
    ],
)
def test_lists_that_are_not_independent_or_were_chosen_are_told(
    registered: Plan, change: Callable[[Plan], None], told: str
) -> None:
    plan = deepcopy(registered)
    change(plan)
    assert any(told in one for one in faults(plan))


def _between(above: float | None, up_to: float | None, name: str | None = None) -> Plan:
    return {"name": name or f"quantiser {above:g} to {up_to:g}", "above": above, "up_to": up_to}


def test_strata_that_the_program_makes_have_no_fault(registered: Plan) -> None:
    assert list(quantisers.faults(registered)) == []
    for limits in ((51.0,), (28.0, 51.0), (1.0, 51.0), (28.000001, 28.000002, 51.0)):
        plan = deepcopy(registered) | {"strata": [one.to_record() for one in quantisers.strata_of(limits)]}
        for recording in plan["recordings"]:
            for pair in recording["pairs"]:
                (pair["stratum"],) = (one.name for one in quantisers.strata_of(limits) if one.holds(pair["quantiser"]))
        assert list(quantisers.faults(json.loads(canonical_json(plan)))) == []


@pytest.mark.parametrize(
    "strata",
    [
        [_between(0.0, 51.0), _between(0.0, 51.0, "other quantisers")],
        [_between(0.0, 20.0, "quantiser 0 to 51"), _between(0.0, 51.0)],
        [_between(0.0, 51.0), _between(0.0, 51.0)],
        [_between(None, None, "all recordings"), _between(0.0, 51.0)],
        [_between(0.0, 51.0), _between(None, None, "all recordings")],
        [_between(28.0, 51.0), _between(0.0, 28.0)],
        [_between(-50.0, 0.0), _between(0.0, 51.0)],
        [_between(0.0, 51.0, "coarse")],
        [_between(0.0, True)],
        [_between(None, None, "those that did well")],
        [],
    ],
)
def test_strata_that_let_recordings_choose_where_they_belong_are_told(registered: Plan, strata: list[Plan]) -> None:
    plan = deepcopy(registered) | {"strata": strata}
    for recording in plan["recordings"]:
        for pair in recording["pairs"]:
            pair["stratum"] = strata[-1]["name"] if strata else "all recordings"
    assert list(quantisers.faults(plan)) == ["the strata are none that this program makes"]


@pytest.mark.parametrize("quantiser", [28.0, 0.0, 51.1, None])
def test_a_pair_in_another_stratum_than_that_of_its_quantiser_is_told(
    registered: Plan, quantiser: float | None
) -> None:
    plan = deepcopy(registered) | {"strata": [one.to_record() for one in quantisers.strata_of((28.0, 51.0))]}
    plan["recordings"] = plan["recordings"][:1]
    plan["recordings"][0]["pairs"][0] |= {"stratum": "quantiser 28 to 51", "quantiser": quantiser}
    assert list(quantisers.faults(plan)) == ["a pair of recording 1 has not the quantiser of its stratum"]


@pytest.mark.parametrize(
    ("limits", "pair", "told"),
    [
        ({"middle": 5.0, "furthest": 9.0, "least_correlation": 0.1}, {}, "the limits of alignment are not"),
        (
            {},
            {"across": 0.4, "down": 0.4, "furthest": 0.57},
            "recording 1 is no pair: the frame lies 0.57",
        ),
        ({}, {"furthest": 1.01}, "recording 1 is no pair"),
        ({}, {"correlation": 0.49}, "recording 1 is no pair: frame and reference do not show the same"),
        ({}, {"across": None}, "recording 1 is no pair: frame and reference cannot be registered"),
    ],
)
def test_pairs_that_do_not_lie_on_each_other_are_told(registered: Plan, limits: Plan, pair: Plan, told: str) -> None:
    """Though the registration states limits that would let them pass."""
    assert list(alignment.faults(registered)) == []
    plan = deepcopy(registered)
    plan["alignment"] |= limits
    plan["recordings"][0]["pairs"][0]["alignment"] |= pair
    (found,) = alignment.faults(plan)
    assert found.startswith(told)


@pytest.mark.parametrize(
    "change",
    [
        {"across": "0"},
        {"gain": True},
        {"gain": None},
        {"more": 1},
        {"correlation": 1.5},
        {"furthest": 0.0, "across": 0.3},
    ],
)
def test_what_is_no_alignment_is_told(made: FinishedCalibration, registered: Plan, change: Plan) -> None:
    plan = deepcopy(registered)
    plan["recordings"][0]["pairs"][0]["alignment"] |= change
    rows = CalibrationFolder(made.folder).recordings.read_bytes()
    told = contradictions(made.calibration, canonical_json(plan), rows)
    assert told[-1].startswith("registration or table cannot be read")


def test_whoever_verifies_is_told(made: FinishedCalibration, registered: Plan) -> None:
    rows = CalibrationFolder(made.folder).recordings.read_bytes()
    assert contradictions(made.calibration, canonical_json(registered), rows) == []
    changed = deepcopy(registered)
    _shared("reference_picture_sha256")(changed)
    told = contradictions(made.calibration, canonical_json(changed), rows)
    assert any("shares with another: picture" in one for one in told)
