"""Suites: read strictly, known by their bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput, UsageError
from forensic.stages.recipe import recipe_names
from forensic.validation.recordings import degradation_of
from forensic.validation.suite import METRICS, load_suite, parse_suite, suite_names

MINI = Path(__file__).with_name("mini.toml").read_text("utf-8")


@pytest.mark.parametrize("name", ["quick", "standard"])
def test_shipped_suites_are_valid_and_name_what_exists(name: str) -> None:
    suite = load_suite(name)
    assert suite.sha256 == hashlib.sha256(suite.data).hexdigest()
    for condition in suite.conditions.values():
        assert degradation_of(condition).codec.name != "none"
    recipes = {getattr(one.method, key, None) for one in suite.requirements for key in ("recipe", "against")}
    assert recipes - {None} <= set(recipe_names())
    kinds = {one.method.kind for one in suite.requirements}
    assert {"fidelity", "determinism", "integrity", "tamper", "refusal", "decoding", "registration"} <= kinds
    assert any(one.mandatory for one in suite.requirements)


def test_the_standard_suite_covers_what_a_laboratory_files() -> None:
    suite = load_suite("standard")
    parts = [one.degradation for one in suite.conditions.values()]
    assert {part["optics"]["kind"] for part in parts} >= {"gaussian", "defocus", "airy", "motion"}
    assert {part["codec"]["name"] for part in parts} >= {"h264", "h265", "mjpeg"}
    targets = {getattr(one.method, "target", None) for one in suite.requirements}
    assert targets >= {"output", "ledger", "attestation", "report", "weights", "policy-file", "original"}
    assert {one.metric for one in suite.requirements} >= METRICS.keys()
    assert suite_names() == ["quick", "standard"]


def test_the_standard_suite_puts_questions_to_low() -> None:
    suite = load_suite("standard")
    assert suite.version == 3
    asked = {one.id: one for one in suite.requirements if one.id.startswith("RM-")}
    assert [one.method.kind for one in asked.values()] == [
        "low-present", "low-kept", "low-planted", "low-withheld", "low-withheld", "low-withheld", "low-withheld"
    ]  # fmt: skip
    assert all(one.mandatory for one in asked.values())
    assert (asked["RM-03"].metric, asked["RM-03"].accept.at_most) == ("low-tiles", 0.0)
    assert "prove no such rate" in asked["RM-02"].why
    region, few, mjpeg = (suite.conditions[name] for name in ("region", "region-few", "region-mjpeg"))
    assert few.degradation == region.degradation and few.first_seed == region.first_seed == mjpeg.first_seed


def test_a_region_of_the_risk_map_has_four_sides() -> None:
    text = Path(__file__).with_name("low.toml").read_text("utf-8")
    parse_suite(text.encode(), "low")
    with pytest.raises(BadInput) as refused:
        parse_suite(text.replace("[54, 46, 80, 56]", "[54, 46, 80]", 1).encode(), "changed")
    assert "region" in refused.value.message


@pytest.mark.parametrize("number", ["FI-16", "FI-17"])
def test_a_requirement_that_was_moved_after_it_was_missed_says_so_where_the_report_shows_it(number: str) -> None:
    (found,) = [one for one in load_suite("standard").requirements if one.id == number]
    assert "first put to the leaves" in found.why and "not met" in found.why and "moved to charts" in found.why
    assert "ptional" in found.why and not found.mandatory
    assert found.method.condition == "static"


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("at_least = 10.0", "at_least = 10.0, at_most = 11.0", "exactly one"),
        ("at_least = 10.0", 'rule = "best", at_least = 10.0', "rule"),
        ('metric = "psnr-y"', 'metric = "beauty"', "metric"),
        ('condition = "one", recipe', 'condition = "two", recipe', "does not exist"),
        ('id = "FI-01"', 'id = "ES-01"', "one id"),
        ('id = "FI-01"', 'id = "fi1"', "id"),
        ("psnr-y = 0.05", "ssim-y = 0.05", "no tolerance"),
        ("confidence = 0.95", "confidence = 2.0", "confidence"),
        ("scenes = 1", "scenes = 1.0", "scenes"),
        ("size = [256, 192]", "size = [256]", "size"),
        ("format = 1", "format = 2", "format"),
        ('why = "It is the reference."', "", "why"),
        ("at_least = 10.0", "at_least = nan", "at_least"),
    ],
)
def test_a_suite_that_is_not_exactly_as_it_must_be_is_refused(old: str, new: str, word: str) -> None:
    assert old in MINI
    with pytest.raises(BadInput) as refused:
        parse_suite(MINI.replace(old, new).encode(), "changed")
    assert refused.value.code == "suite.invalid"
    assert word in refused.value.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sampling = { factor = 4 }", "sampling = { factor = 9 }"),
        ("sampling = { factor = 4 }", "sampling = { times = 4 }"),
        ("sampling = { factor = 4 }", "weather = { rain = 4 }"),
        ('codec = { name = "h264", crf = 24.0 }', ""),
    ],
)
def test_conditions_that_the_simulator_does_not_know_are_refused(old: str, new: str) -> None:
    suite = parse_suite(MINI.replace(old, new).encode(), "changed")
    with pytest.raises(BadInput) as refused:
        degradation_of(suite.conditions["one"])
    assert refused.value.code == "suite.invalid"


def test_what_is_no_suite_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        load_suite(str(tmp_path / "none.toml"))
    assert refused.value.code == "suite.unknown"


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_otherwise(data: bytes) -> None:
    with pytest.raises(BadInput):
        parse_suite(data, "bytes")
