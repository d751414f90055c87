"""The held-out test of a shipped calibration: read from its table for the record, held against itself by verify."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from forensic.case.calibrating import heldout
from forensic.case.calibrating.heldout import FILE, held_out_of
from forensic.case.verification.heldout import held_out_faults
from forensic.hashes import sha256_file
from forensic.registry.cards import CARD_FILE
from forensic.resources import models_dir
from forensic.risk.calibration.artefact import Calibration
from forensic.risk.calibration.shelf import FILE as CALIBRATION
from forensic.risk.calibration.shelf import read_calibration

MODELS = sorted(path.parent.name for path in models_dir().glob(f"*/{CALIBRATION}"))


def _shipped(model: str) -> Calibration:
    found = read_calibration(models_dir() / model / CALIBRATION)
    assert found is not None
    return found


def _cited(model: str = "light-x4") -> dict[str, Any]:
    made = _shipped(model)
    return {
        "sha256": made.sha256,
        "artefact": made.model_dump(mode="json", by_alias=True),
        "held_out": held_out_of(made),
    }


@pytest.mark.parametrize("model", MODELS)
def test_every_shipped_calibration_has_held_out_numbers_for_all_of_its_strata(model: str) -> None:
    made, told = _shipped(model), held_out_of(_shipped(model))
    assert told["why_none"] is None and told["sha256"] == sha256_file(models_dir() / model / FILE)
    assert [one["stratum"] for one in told["strata"]] == [one.name for one in made.strata]
    for one, stratum in zip(told["strata"], made.strata, strict=True):
        assert bool(one["shown"]) == (stratum.threshold is not None)
    assert list(held_out_faults(_cited(model))) == []


def test_the_numbers_are_those_of_the_table() -> None:
    first, second, third = held_out_of(_shipped("light-x4"))["strata"]
    assert (first["n"], first["outside"], first["abstained"], first["any_claim"]["n"]) == (200, 15, 129, 56)
    assert (second["failures"], third["failures"]) == ([1, 0, 0], [2, 0, 0])
    assert (third["any_claim"]["failures"], third["any_claim"]["n"]) == (2, 17)
    assert third["low_area"] == 0.015
    writing = [one for one in third["shown"] if (one["name"], one["tolerance"]) == ("text-like", 32)]
    assert [(one["failed"]["failures"], one["failed"]["n"]) for one in writing] == [(1, 1)]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the table of light-x4, which is read in place of the shipped one; beside it the card."""
    (tmp_path / "light-x4").mkdir()
    for name in (FILE, CARD_FILE):
        (tmp_path / "light-x4" / name).write_bytes((models_dir() / "light-x4" / name).read_bytes())
    monkeypatch.setattr(heldout, "models_dir", lambda: tmp_path)
    return tmp_path / "light-x4" / FILE


def _pin(table: Path) -> None:
    """Have the card name ``table`` as it is now."""
    card = table.with_name(CARD_FILE)
    pinned = f'held_out_sha256 = "{sha256_file(table)}"'
    card.write_text(re.sub(r'held_out_sha256 = "\w+"', pinned, card.read_text("utf-8")), "utf-8")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"any claim failed, in the domain",1/186', '"any claim failed, in the domain",0/186', "agree with itself"),
        ("1/186,0.0,0.03,186", "1/186,0.0,0.02,186", "agree with itself"),
        ("outside the domain,0.075", "outside the domain,0.175", "agree with itself"),
        ('"LOW area, in the domain",0.026', '"LOW area, in the domain",much', "agree with itself"),
        ("LOW area, in the domain", "LOW somewhere", "no row 'LOW area, in the domain'"),
        ("quantiser 34 to 44", "quantiser 34 to 51", "no row 'quantiser 34 to 44'"),
        ("stratum,what", "what,stratum", "no row"),
    ],
)
def test_a_table_that_does_not_agree_with_itself_gives_no_numbers_and_says_so(
    table: Path, old: str, new: str, why: str
) -> None:
    text = table.read_text("utf-8")
    assert old in text
    table.write_text(text.replace(old, new), "utf-8")
    _pin(table)
    told = held_out_of(_shipped("light-x4"))
    assert told["strata"] == [] and why in told["why_none"] and told["sha256"] == told["pinned"] == sha256_file(table)


def test_numbers_of_a_table_that_the_card_does_not_name_are_not_told(table: Path) -> None:
    """One failure more in a row that agrees with itself."""
    text = table.read_text("utf-8")
    old, new = '"claim failed, share 16, all",1/200,0.0,0.028,200', '"claim failed, share 16, all",0/200,0.0,0.018,200'
    assert old in text
    table.write_text(text.replace(old, new), "utf-8")
    told = held_out_of(_shipped("light-x4"))
    assert told["strata"] == [] and "not the one that the model's card names" in told["why_none"]
    assert told["pinned"] != told["sha256"] == sha256_file(table)
    _pin(table)
    assert held_out_of(_shipped("light-x4"))["strata"]


def test_a_card_that_names_no_table_is_told_and_gives_the_numbers(table: Path) -> None:
    card = table.with_name(CARD_FILE)
    card.write_text(re.sub(r"held_out_sha256.*\n", "", card.read_text("utf-8")), "utf-8")
    told = held_out_of(_shipped("light-x4"))
    assert told["pinned"] is None and told["why_none"] is None and len(told["strata"]) == 3


@pytest.mark.parametrize("data", [None, b"x" * ((1 << 20) + 1), b"\xff\xfe", b""])
def test_a_table_that_cannot_be_read_stops_nothing(table: Path, data: bytes | None) -> None:
    table.unlink()
    if data is not None:
        table.write_bytes(data)
        _pin(table)
    told = held_out_of(_shipped("light-x4"))
    assert told["strata"] == [] and FILE in told["why_none"]
    cited = {**_cited(), "held_out": told}
    assert list(held_out_faults(cited)) == []


def test_records_without_held_out_numbers_have_no_fault() -> None:
    cited = _cited()
    del cited["held_out"]
    assert [*held_out_faults(cited), *held_out_faults(None), *held_out_faults("none")] == []


def test_verify_finds_numbers_that_do_not_follow_from_their_counts() -> None:
    cited = _cited()

    def with_(**changes: Any) -> list[str]:
        other = deepcopy(cited)
        other["held_out"] |= changes
        return list(held_out_faults(other))

    def with_first(**changes: Any) -> list[str]:
        first, *others = deepcopy(cited["held_out"]["strata"])
        return with_(strata=[first | changes, *others])

    assert with_() == []
    assert with_first(failures=[1, 0, 0]) and with_first(stratum="other") and with_first(n="200") and with_first(more=1)
    assert with_(strata=cited["held_out"]["strata"][:2]) and with_(strata=None) and with_(strata=[7])
    assert with_(strata=[]) and with_(why_none="it is gone") and with_(pinned="ab" * 32)
    assert with_(pinned=None) == []
    assert list(held_out_faults({**cited, "held_out": 7}))
    assert list(held_out_faults({**cited, "artefact": {**cited["artefact"], "origin": "laboratory"}}))
    assert list(held_out_faults({**cited, "artefact": {"origin": "shipped"}}))
