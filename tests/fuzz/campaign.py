"""Runs a share of the campaign: input by input, each under the clock."""

from __future__ import annotations

import random
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz.kinds import KINDS, Kind, Readers
from tests.fuzz.outcome import Finding, Tally, TookTooLong

LIMIT_S = 60.0  # wall, on a machine that does other things too


def counts(total: int) -> dict[str, int]:
    """How many inputs of each kind make at least ``total``."""
    whole = sum(kind.share for kind in KINDS)
    return {kind.name: -(-total * kind.share // whole) for kind in KINDS}


@contextmanager
def _clock(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run(kind: Kind, first: int, count: int, corpus: Path, keep: Path | None = None) -> Tally:
    """Inputs ``first`` to ``first + count`` of ``kind``. An input follows from its number and the seeds.

    What leads to a finding is written to ``keep``.
    """
    tally = Tally(kind.name)
    with Readers(corpus, LIMIT_S) as readers:
        originals = readers.seeds(kind.name)
        for number in range(first, first + count):
            rng = random.Random(f"{kind.name}:{number}")
            original = rng.choice(originals)
            changed = kind.mutate(rng, original)
            tally.tried += 1
            try:
                tally.outcomes[_examined(readers, kind, rng, original, changed)] += 1
                continue
            except (Finding, TookTooLong) as finding:
                told = str(finding) or f"hang: longer than {LIMIT_S} s"
            except Exception:  # noqa: BLE001 - any error that is none of ours is what the campaign looks for
                told = "traceback: " + traceback.format_exc(limit=-6)
            tally.findings.append(f"{kind.name} {number}: {told}")
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{kind.name}-{number}").write_bytes(changed)
    return tally


def _examined(readers: Readers, kind: Kind, rng: random.Random, original: bytes, changed: bytes) -> str:
    if kind.own_clock:
        return readers.examine(kind, rng, original, changed)
    with _clock(LIMIT_S):
        return readers.examine(kind, rng, original, changed)


def timed(name: str, first: int, count: int, corpus: Path, keep: Path | None = None) -> tuple[Tally, float]:
    """As :func:`run` for the kind of that name, with the seconds that it took."""
    (kind,) = (one for one in KINDS if one.name == name)
    start = time.monotonic()
    return run(kind, first, count, corpus, keep), time.monotonic() - start
