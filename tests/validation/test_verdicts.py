"""From values to verdicts; and comparison with a master."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from forensic.hashes import canonical_json
from forensic.validation.master import Comparison, compare
from forensic.validation.suite import Acceptance, parse_suite
from forensic.validation.verdicts import Case, NoCase, Result, Verdict, contradictions, judge, overall

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


def test_what_is_no_case_is_told_and_counts_neither_way() -> None:
    requirement = SUITE.requirements[2]
    none = NoCase("chart 2", "its map has no LOW")
    told = Result(requirement, (Case("chart 1", 1.0),), no_case=(none,)).to_record(0.95)
    assert (told["verdict"], told["no_case"]) == ("PASS", [{"name": "chart 2", "why": "its map has no LOW"}])
    alone = Result(requirement, (), no_case=(none,)).to_record(0.95)
    assert (alone["verdict"], alone["reason"]) == ("FAIL", "nothing was measured")
    assert "no_case" not in Result(requirement, (Case("chart 1", 1.0),)).to_record(0.95)
    made = record()
    made["results"][2]["no_case"] = [none.to_record()]
    assert contradictions(SUITE, made) == []
    made["results"][2]["no_case"] = [{"name": "one", "why": "it failed"}]
    assert contradictions(SUITE, made) == ["RE-01: a case that is told to be none"]


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


def test_regions_of_one_recording_are_compared_each_with_itself() -> None:
    made = record()
    (whole,) = made["outputs"]
    made["outputs"] += [{**whole, "region": [0, 0, 8, side], "merkle_root": str(side)} for side in (8, 16)]
    changed = copy.deepcopy(made)
    changed["outputs"][2]["merkle_root"] = "other"
    found = compare(SUITE, made, changed, (PLATFORM, PLATFORM))
    assert (found.hashes_compared, found.hashes_equal) == (4, 3)
    assert [one["what"] for one in found.differences] == ["output one, chart 1, r, frames 0:1, region 0,0,8,16"]


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


def with_pictures(names: str, value: float = 21.0) -> dict[str, Any]:
    """Made with pictures of the laboratory's own: files named by single letters, of which each has its own content."""
    made = record(value)
    made["pictures"] = [{"file": name, "sha256": name.lower()} for name in names]
    used = names[:3]
    made["recordings"] = [{"condition": "one", "scene": name, "decoded_sha256": name.lower()} for name in used]
    made["outputs"] = [
        {"condition": "one", "scene": name, "recipe": "r", "frames": [0, 1], "merkle_root": name.lower()}
        for name in used
    ]
    made["results"][1]["cases"] = [{"name": name, "value": value, "detail": {}} for name in used]
    return made


def compared_with(then: dict[str, Any], now: dict[str, Any], now_on: dict[str, Any] | None = None) -> Comparison:
    """By a suite whose condition is of at most three own pictures."""
    text = SUITE.data.replace(b'scene = "chart"', b'scene = "own"').replace(b"scenes = 1", b"scenes = 3")
    suite = parse_suite(text, "mini")
    then["suite"] = now["suite"] = suite.facts()
    return compare(suite, then, now, (PLATFORM, now_on or PLATFORM))


def without_any() -> dict[str, Any]:
    made = with_pictures("")
    for place in (0, 1):
        made["results"][place] = {**made["results"][place], "verdict": "NOT RUN", "cases": []}
    return made


def test_what_the_master_does_not_have_is_told_and_is_no_disagreement() -> None:
    found = compared_with(without_any(), with_pictures("abc"))
    assert found.agrees and found.hashes_compared == 0
    assert [one["why"] for one in found.notes[:2]] == ["other verdict", "not in the master"]
    assert len(found.notes) == 2 + 1 + 3 + 6  # two verdicts, a case of decoding, three values, six hashes


@pytest.mark.parametrize("now", ["", "x", "xy"])
def test_what_the_master_has_must_not_be_missing(now: str) -> None:
    """None of one's own, or too few to be measured."""
    made = without_any()
    made["pictures"] = [{"file": name, "sha256": name} for name in now]
    found = compared_with(with_pictures("abc"), made)
    assert {one["why"] for one in found.differences} == {"other verdict", "missing"}
    assert len(found.differences) == 2 + 1 + 3 + 6


def test_a_case_without_a_value_then_that_is_gone_is_missing() -> None:
    then, now = record(), record()
    then["results"][1]["cases"].append({"name": "two", "value": None, "detail": {}})
    assert [one["why"] for one in compare(SUITE, then, now, (PLATFORM, PLATFORM)).differences] == ["missing"]
    now["results"][1]["cases"].append({"name": "two", "value": None, "detail": {}})
    assert compare(SUITE, then, now, (PLATFORM, PLATFORM)).agrees
    now["results"][1]["cases"][1]["value"] = 20.0
    assert [one["why"] for one in compare(SUITE, then, now, (PLATFORM, PLATFORM)).differences] == ["no value then"]


def test_other_pictures_of_one_s_own_are_not_compared_and_that_is_told() -> None:
    then, now = with_pictures("abc"), with_pictures("abd", 9.0)
    assert now["results"][1]["verdict"] == "FAIL"
    found = compared_with(then, now)
    assert found.agrees and found.hashes_compared == 0 and found.values_compared == 1  # that of the refusal
    assert [(one["what"], one["why"]) for one in found.notes] == [
        ("condition one", "other pictures of your own: not compared"), ("FI-01", "other verdict"),
    ]  # fmt: skip
    now["results"][2]["cases"][0]["value"] = 0.0
    assert not compared_with(then, now).agrees  # what is not of the pictures is compared all the same


@pytest.mark.parametrize("now", ["abc", "abcd", "ABC"])
def test_the_same_pictures_are_compared(now: str) -> None:
    """Also with more than the condition takes, and under other names."""
    assert compared_with(with_pictures("abcx"), with_pictures(now)).agrees
    changed = with_pictures(now, 20.0)
    changed["recordings"][0]["decoded_sha256"] = "else"
    found = compared_with(with_pictures("abcx"), changed)
    assert [one["why"] for one in found.differences] == ["beyond 0.05"] * 3 + ["other pixels"]
    elsewhere = compared_with(with_pictures("abcx"), changed, OTHER)
    assert [one["why"] for one in elsewhere.differences] == ["beyond 0.05"] * 3


def test_scenes_and_files_that_are_called_like_a_condition_are_compared() -> None:
    """Drawn scenes and attacked files have names like "chart 1" and "output at 0.5"."""
    text = SUITE.data.replace(b'"one"', b'"drawn"')
    own = text[text.index(b"[[condition]]") : text.index(b"[[requirement]]")].replace(b'"drawn"', b'"chart"')
    text = text.replace(b"[[requirement]]", own.replace(b'scene = "chart"', b'scene = "own"') + b"[[requirement]]", 1)
    suite = parse_suite(text, "mini")
    then, now = record(), record(11.0)
    for made, names in ((then, "abc"), (now, "def")):
        made["suite"] = suite.facts()
        made["pictures"] = [{"file": name, "sha256": name} for name in names]
        made["results"][1]["cases"][0]["name"] = "chart 1"
    found = compare(suite, then, now, (PLATFORM, OTHER))
    assert [one["what"] for one in found.differences] == ["FI-01, chart 1"]
