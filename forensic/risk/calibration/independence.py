"""Whether what was registered are independent recordings, split by their digests: needs only the registration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from forensic.hashes import canonical_json, sha256_bytes
from forensic.risk.calibration.criteria import METHOD, THRESHOLDS

CALIBRATE, TEST = "calibrate", "test"


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
    share = plan["test_share"]
    first = len(recordings) - round(len(recordings) * share)
    lists = [TEST if place >= first else CALIBRATE for place in range(len(recordings))]
    if not 0 < share < 1 or [one["list"] for one in recordings] != lists:
        yield "the held-out list is not the last of the recordings"
    if list(plan["thresholds"]) != list(THRESHOLDS):
        yield "the thresholds are not those of this program"
    if plan["method"] != METHOD:
        yield "the method is not this program's"
    listed = sum(len(one["pairs"]) + len(one["repeated"]) for one in recordings) + len(plan["refused"])
    if plan["given"]["pairs"] != listed:
        yield f"{plan['given']['pairs']} pairs were given and {listed} are listed"
