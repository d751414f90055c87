"""From values to verdicts; and comparison with a master."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from forensic.hashes import canonical_json
from forensic.validation.master import Comparison, compare
from forensic.validation.suite import Acceptance, Suite, parse_suite
from forensic.validation.verdicts import Case, Result, Verdict, contradictions, judge, overall

SUITE = parse_suite(Path(__file__).with_name("mini.toml").read_bytes(), "mini")


def test_doubt_goes_against_the_program() -> None:
    accept = Acceptance(rule="mean", at_least=1.0)
    assert judge(accept, [1.2, 1.3, 1.25, 1.22], 0.95).verdict is Verdict.PASS
    assert judge(accept, [0.8, 1.6, 1.7, 0.9], 0.95).verdict is Verdict.FAIL  # mean 1.25, interval reaches below 1
    assert judge(accept, [5.0, 5.0], 0.95).verdict is Verdict.FAIL  # too few for an interval


@pytest.mark.parametrize("rule", ["mean", "every", "share"])
@pytest.mark.parametrize("values", [[], [1.0, math.nan, 1.0], [math.inf, 1.0, 1.0]])
def test_no_value_and_no_number_never_pass(rule: Any, values: list[float]) -> None:
    assert judge(Acceptance(rule=rule, at_least=0.0), values, 0.95).verdict is Verdict.FAIL


def test_every_single_value_counts() -> None:
    assert judge(Acceptance(at_most=0.0), [0.0, 0.0], 0.95).verdict is Verdict.PASS
    judged = judge(Acceptance(at_most=0.0), [0.0, 1.0], 0.95)
    assert judged.verdict is Verdict.FAIL
    assert judged.reason == "1 of 2 met it"


def test_a_share_is_stated_with_its_interval() -> None:
    judged = judge(Acceptance(rule="share", at_least=0.6), [1.0, 1.0, 0.0, 1.0], 0.95)
    assert judged.verdict is Verdict.PASS
    assert judged.estimate is not None
    assert judged.estimate["low"] < 0.75 < judged.estimate["high"]


def test_the_whole_passes_only_if_all_that_is_mandatory_passes() -> None:
    ok, bad, not_run = Verdict.PASS, Verdict.FAIL, Verdict.NOT_RUN
    assert overall([(True, ok), (False, bad)], None) is Verdict.PASS
    assert overall([(True, ok), (True, bad)], None) is Verdict.FAIL
    assert overall([(True, ok), (True, not_run)], None) is Verdict.INCOMPLETE
    assert overall([(True, ok)], False) is Verdict.FAIL
    assert overall([], None) is Verdict.INCOMPLETE


def record(value: float = 21.0) -> dict[str, Any]:
    values = {"ES-01": 0.0, "FI-01": value, "RE-01": 1.0}
    results = [Result(one, (Case("one", values[one.id]),)) for one in SUITE.requirements]
    records = [one.to_record(SUITE.confidence) for one in results]
    verdict = overall([(True, one.judged(SUITE.confidence).verdict) for one in results], None)
    return {
        "suite": SUITE.facts(),
        "requirements": SUITE.registered(),
        "pictures": [],
        "results": records,
        "recordings": [{"condition": "one", "scene": "chart 1", "decoded_sha256": "aa"}],
        "outputs": [{"condition": "one", "scene": "chart 1", "recipe": "r", "frames": [0, 1], "merkle_root": "bb"}],
        "master": None,
        "verdict": verdict.value,
    }


def test_a_record_that_follows_from_its_values_has_no_contradiction() -> None:
    assert contradictions(SUITE, record()) == []
    assert record(5.0)["verdict"] == "FAIL"
    assert contradictions(SUITE, record(5.0)) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("results", 1, "verdict"), "FAIL"),
        (("results", 1, "cases", 0, "value"), 3.0),
        (("results", 1, "cases", 0, "value"), None),
        (("results", 0, "not_run"), "no time"),
        (("requirements", 1, "accept", "at_least"), 1.0),
        (("suite", "sha256"), "0" * 64),
        (("verdict",), "FAIL"),
        (("master",), {"agrees": False}),
        (("master",), {"agrees": True, "differences": [{"what": "ES-01"}]}),
    ],
)
def test_a_record_that_was_made_up_contradicts_itself(place: tuple[Any, ...], value: Any) -> None:
    changed = copy.deepcopy(record())
    spot: Any = changed
    for key in place[:-1]:
        spot = spot[key]
    spot[place[-1]] = value
    assert contradictions(SUITE, changed)


PLATFORM = {"processor": "A", "packages": {"numpy": "2"}}
OTHER = {"processor": "B", "packages": {"numpy": "2"}}


def test_the_same_platform_must_give_the_same_pixels() -> None:
    same = compare(SUITE, record(), record(), (PLATFORM, PLATFORM))
    assert same.agrees
    assert (same.hashes_compared, same.hashes_equal, same.values_compared) == (2, 2, 3)
    changed = record()
    changed["outputs"][0]["merkle_root"] = "cc"
    other = compare(SUITE, record(), changed, (PLATFORM, PLATFORM))
    assert not other.agrees
    assert other.differences[0]["why"] == "other pixels"
    assert compare(SUITE, record(), record(21.0001), (PLATFORM, PLATFORM)).differences != []


def test_another_platform_is_held_to_the_tolerance() -> None:
    changed = record(21.04)
    changed["outputs"][0]["merkle_root"] = "cc"
    near = compare(SUITE, record(), changed, (PLATFORM, OTHER))
    assert near.agrees
    assert near.platform_changes == {"processor": {"then": "A", "now": "B"}}
    assert {one["why"] for one in near.notes} == {"other pixels", "within 0.05"}
    far = compare(SUITE, record(), record(21.06), (PLATFORM, OTHER))
    assert not far.agrees
    assert far.differences[0]["why"] == "beyond 0.05"


def test_what_is_missing_or_no_longer_passes_is_a_difference() -> None:
    lacking = record()
    lacking["outputs"] = []
    assert not compare(SUITE, record(), lacking, (PLATFORM, OTHER)).agrees
    worse = record(5.0)
    found = compare(SUITE, record(), worse, (PLATFORM, OTHER))
    assert "other verdict" in {one["why"] for one in found.differences}
    another = record()
    another["suite"] = {**another["suite"], "sha256": "0" * 64}
    assert not compare(SUITE, another, record(), (PLATFORM, PLATFORM)).agrees


def test_a_metric_that_finds_nothing_to_measure_can_be_recorded_and_is_not_met() -> None:
    case = Case("leaves 1", math.nan, {"value": math.nan, "against": math.inf, "more": [1.0, -math.inf]})
    assert case.to_record() == {
        "name": "leaves 1", "value": None, "detail": {"value": None, "against": None, "more": [1.0, None]},
    }  # fmt: skip
    canonical_json(case.to_record())
    assert judge(Acceptance(rule="mean", at_most=0.0), [1.0, math.nan, 0.0], 0.95).verdict is Verdict.FAIL


def with_pictures(names: tuple[str, ...], value: float = 21.0) -> dict[str, Any]:
    """The same, made with pictures of the laboratory's own beside it."""
    made = record(value)
    made["pictures"] = [{"file": name, "sha256": name} for name in names]
    made["recordings"] += [{"condition": "one", "scene": name, "decoded_sha256": name} for name in names]
    return made


def own_suite() -> Suite:
    """Whose condition is of own pictures."""
    return parse_suite(SUITE.data.replace(b'scene = "chart"', b'scene = "own"'), "mini")


def compared_with(then: dict[str, Any], now: dict[str, Any]) -> Comparison:
    suite = own_suite()
    then["suite"] = now["suite"] = suite.facts()
    return compare(suite, then, now, (PLATFORM, PLATFORM))


def test_what_the_master_does_not_have_is_told_and_is_no_disagreement() -> None:
    then = record()
    del then["results"][1]["cases"][0]
    found = compared_with(then, with_pictures(("a", "b")))
    assert found.agrees and found.hashes_compared == 2
    assert [one["why"] for one in found.notes] == ["not in the master"] * 3


def test_what_the_master_has_must_not_be_missing() -> None:
    now = record()
    del now["results"][1]["cases"][0]
    found = compared_with(with_pictures(("a",)), now)
    assert [one["what"] for one in found.differences] == ["recording one, a", "FI-01, one"]
    now = record()
    now["results"][1]["cases"][0]["value"] = None
    assert [one["why"] for one in compared_with(record(), now).differences] == ["missing"]


def test_other_pictures_of_one_s_own_are_not_compared_and_that_is_told() -> None:
    then, now = with_pictures(("a", "b")), with_pictures(("a", "c"), 9.0)
    assert now["results"][1]["verdict"] == "FAIL"
    found = compared_with(then, now)
    assert found.agrees and found.hashes_compared == 0 and found.values_compared == 1  # that of the refusal
    assert [(one["what"], one["why"]) for one in found.notes] == [
        ("pictures of your own", "other pictures of your own: not compared"), ("FI-01", "other verdict"),
    ]  # fmt: skip
    then["results"][2]["verdict"] = "FAIL"
    now["results"][2] |= {"verdict": "FAIL", "cases": [{"name": "one", "value": 0.0, "detail": {}}]}
    assert not compared_with(then, now).agrees  # what is not of the pictures is compared all the same


def test_the_same_pictures_are_compared() -> None:
    then, now = with_pictures(("a", "b")), with_pictures(("a", "b"), 20.0)
    now["recordings"][1]["decoded_sha256"] = "else"
    found = compared_with(then, now)
    assert [one["why"] for one in found.differences] == ["other pixels", "beyond 0.05"]
