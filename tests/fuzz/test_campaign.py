"""The share of the campaign that runs with every test run. ``make fuzz N=100000`` runs more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.campaign import counts, run
from tests.fuzz.child import DecodingChild
from tests.fuzz.corpus import build
from tests.fuzz.kinds import ACCEPTED, KINDS, Kind, Readers
from tests.fuzz.outcome import Finding, TookTooLong

INPUTS = 5000
_SHARD = 250
_SHARES = [
    pytest.param(kind, first, min(_SHARD, count - first), id=f"{kind.name}-{first}")
    for kind in KINDS
    for count in [counts(INPUTS)[kind.name]]
    for first in range(0, count, _SHARD)
]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One corpus for all processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    return build((base.parent if "popen" in base.name else base) / "fuzz-corpus")


def test_the_campaign_is_large_enough() -> None:
    total = sum(counts(INPUTS).values())
    assert total >= 5000
    assert sum(count for _, _, count in (share.values for share in _SHARES)) == total


@pytest.mark.parametrize(("kind", "first", "count"), _SHARES)
def test_changed_files_are_read_or_refused(
    kind: Kind, first: int, count: int, corpus: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tally = run(kind, first, count, corpus, tmp_path / "findings")
    record_property("fuzz", [kind.name, tally.tried, len(tally.findings), dict(tally.outcomes)])
    assert tally.tried == count
    assert not tally.findings, "\n".join(tally.findings[:5])


@pytest.mark.parametrize(
    ("defect", "word"),
    [(ValueError("a defect"), "traceback"), (TookTooLong(), "hang"), (Finding("tampering", "x"), "tampering")],
)
def test_the_campaign_notices_what_it_looks_for(
    defect: BaseException, word: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Readers, original: bytes, changed: bytes) -> None:
        raise defect

    monkeypatch.setattr(Readers, "_recipe", broken)
    (recipe,) = (kind for kind in KINDS if kind.name == "recipe")
    tally = run(recipe, 7, 1, corpus, tmp_path)
    assert [word in finding for finding in tally.findings] == [True]
    assert (tmp_path / "recipe-7").is_file()


def test_a_decoder_with_a_defect_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ends with a traceback or does not answer is a finding; one that dies of a signal is an outcome."""
    for program, word in (("raise ValueError('a defect')", "traceback"), ("import time; time.sleep(60)", "hang")):
        with DecodingChild(1.0) as child, monkeypatch.context() as patched:
            patched.setattr(DecodingChild, "COMMAND", (sys.executable, "-c", program))
            with pytest.raises(Finding, match=word):
                child.examine(b"x")
    with DecodingChild(10.0) as child, monkeypatch.context() as patched:
        patched.setattr(DecodingChild, "COMMAND", (sys.executable, "-c", "import os; os.abort()"))
        assert child.examine(b"x") == "media.decoder-crashed (SIGABRT)"


def test_seeds_themselves_are_accepted(corpus: Path) -> None:
    """A campaign over files that nobody reads would find nothing: every seed is read when unchanged."""
    with Readers(corpus, 60) as readers:
        for kind in KINDS:
            if kind.name == "run":
                continue
            for seed in readers.seeds(kind.name):
                assert readers.examine(kind, Random(0), seed, seed) == ACCEPTED, kind.name
