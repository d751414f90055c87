"""Whether what was registered are independent recordings, split by their digests: needs only the registration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from forensic.hashes import canonical_json, sha256_bytes
from forensic.risk.calibration.criteria import METHOD, THRESHOLDS

CALIBRATE, TEST = "calibrate", "test"
_ROUNDED = 5e-5


def pair_key(pair: Mapping[str, Any]) -> list[str]:
    """What makes a registered pair this pair: both files and which frame of each."""
    return [str(pair[name]) for name in ("reference_sha256", "reference_frame", "degraded_sha256", "frame")]


def pair_origins(pair: Mapping[str, Any]) -> Iterator[str]:
    """Whatever a registered pair shares with another makes both one recording: file or decoded picture."""
    for side in ("degraded", "reference"):
        yield f"file {pair[f'{side}_sha256']}"
        yield f"picture {pair[f'{side}_picture_sha256']}"


def origins(recording: Mapping[str, Any]) -> set[str]:
    """Names, files and decoded pictures of a registered recording."""
    given = [*(pair["pair"] for pair in recording["pairs"]), *recording["repeated"]]
    found = {f"named {pair['recording']}" for pair in given}
    return found.union(*(pair_origins(pair) for pair in recording["pairs"]))


def faults(plan: Mapping[str, Any]) -> Iterator[str]:
    """Where the lists of ``plan`` (``registration.json``) are not of independent recordings, or not split by digest.

    Raises ``KeyError`` and ``TypeError`` for what is no registration.
    """
    recordings = plan["recordings"]
    digests = [one["recording"] for one in recordings]
    owner: dict[str, int] = {}
    for place, one in enumerate(recordings):
        keys = [pair_key(pair) for pair in one["pairs"]]
        if not keys or keys != sorted(keys) or sha256_bytes(canonical_json(keys)) != one["recording"]:
            yield f"the digest of recording {place + 1} is not that of its pairs"
        shared = {origin for origin in origins(one) if owner.setdefault(origin, place) != place}
        if shared:
            yield f"recording {place + 1} shares with another: {min(shared)}"
    if any(first >= second for first, second in pairwise(digests)):
        yield "the recordings are not in the order of their digests"
    tests = round(len(recordings) * plan["test_share"])
    if [one["list"] for one in recordings] != [CALIBRATE] * (len(recordings) - tests) + [TEST] * tests:
        yield "the held-out list is not the last of the recordings"
    if list(plan["thresholds"]) != list(THRESHOLDS):
        yield "the thresholds are not those of this program"
    if plan["method"] != METHOD:
        yield "the method is not this program's"
    limits = {one["name"]: (one["above"], one["up_to"]) for one in plan["strata"]}
    for place, one in enumerate(recordings, start=1):
        if not all(_holds(*limits[pair["stratum"]], pair["quantiser"]) for pair in one["pairs"]):
            yield f"a pair of recording {place} has not the quantiser of its stratum"
    listed = sum(len(one["pairs"]) + len(one["repeated"]) for one in recordings) + len(plan["refused"])
    if plan["given"]["pairs"] != listed:
        yield f"{plan['given']['pairs']} pairs were given and {listed} are listed"


def _holds(above: float | None, up_to: float | None, quantiser: float | None) -> bool:
    """Whether ``quantiser``, which is registered to four digits, lies in (``above``, ``up_to``]."""
    if above is None or up_to is None:
        return True
    return quantiser is not None and above - _ROUNDED < quantiser <= up_to + _ROUNDED
