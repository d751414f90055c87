"""Comparison of a validation with a master result: pixel for pixel on the same platform, by tolerance on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from forensic.validation.suite import Suite

_MOST_LISTED = 200


@dataclass
class Comparison:
    """``differences`` are against the rule; ``notes`` are differences that the rule allows. All are told."""

    same_platform: bool
    platform_changes: dict[str, Any]
    differences: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    hashes_compared: int = 0
    hashes_equal: int = 0
    values_compared: int = 0

    @property
    def agrees(self) -> bool:
        """Whether the rule is kept."""
        return not self.differences

    def to_record(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """JSON-able. ``about``: what the master is."""
        return {
            **about,
            "agrees": self.agrees,
            "rule": "pixel hashes equal" if self.same_platform else "values within the suite's tolerance",
            "same_platform": self.same_platform,
            "platform_changes": self.platform_changes,
            "hashes_compared": self.hashes_compared,
            "hashes_equal": self.hashes_equal,
            "values_compared": self.values_compared,
            "differences": self.differences[:_MOST_LISTED],
            "notes": self.notes[:_MOST_LISTED],
            "not_listed": sum(max(0, len(part) - _MOST_LISTED) for part in (self.differences, self.notes)),
        }


def compare(
    suite: Suite, master: Mapping[str, Any], present: Mapping[str, Any], platforms: tuple[Mapping[str, Any], ...]
) -> Comparison:
    """``present`` against ``master``, both predicates of a validation (docs/formats/validation.md).

    ``platforms``: what identical pixels depend on, then and now. On the same platform every pixel hash must be equal,
    recordings and results. On another a value may differ by the suite's tolerance, each scene by itself; hashes that
    differ are noted. Verdicts that were PASS must not have become another, values of the master must not be missing.
    """
    then, now = platforms
    changes = {key: {"then": then.get(key), "now": now[key]} for key in now if then.get(key) != now[key]}
    found = Comparison(not changes, changes)
    if master["suite"]["sha256"] != suite.sha256:
        found.differences.append(
            {"what": "suite", "then": master["suite"]["sha256"], "now": suite.sha256, "why": "another suite"}
        )
        return found
    _hashes(found, _pixels(master), _pixels(present))
    _values(found, suite, master, present)
    return found


def _pixels(record: Mapping[str, Any]) -> dict[str, str]:
    """Every pixel hash by what it is of; of runs that differ in workers or repetition alone, all that there are."""
    found: dict[str, set[str]] = {}
    for one in record["recordings"]:
        found.setdefault(f"recording {one['condition']}, {one['scene']}", set()).add(one["decoded_sha256"])
    for one in record["outputs"]:
        first, stop = one["frames"]
        name = f"output {one['condition']}, {one['scene']}, {one['recipe']}, frames {first}:{stop}"
        found.setdefault(name, set()).add(one["merkle_root"])
    return {name: ", ".join(sorted(hashes)) for name, hashes in found.items()}


def _hashes(found: Comparison, then: Mapping[str, str], now: Mapping[str, str]) -> None:
    for name in sorted(then.keys() | now.keys()):
        before, after = then.get(name), now.get(name)
        found.hashes_compared += 1
        found.hashes_equal += before == after
        if before != after:
            difference = {"what": name, "then": before, "now": after, "why": "other pixels"}
            missing = before is None or after is None
            if missing:
                difference["why"] = "only in one of both"
            (found.differences if found.same_platform or missing else found.notes).append(difference)


def _values(found: Comparison, suite: Suite, master: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    earlier = {one["id"]: one for one in master["results"]}
    for requirement, one in zip(suite.requirements, present["results"], strict=True):
        before = earlier.get(requirement.id)
        if before is None:
            found.differences.append({"what": requirement.id, "then": None, "now": one["verdict"], "why": "missing"})
            continue
        if before["verdict"] != one["verdict"]:
            change = {"what": requirement.id, "then": before["verdict"], "now": one["verdict"], "why": "other verdict"}
            (found.differences if before["verdict"] == "PASS" else found.notes).append(change)
        limit = 0.0 if requirement.metric is None else suite.tolerance[requirement.metric]
        values = {case["name"]: case["value"] for case in before["cases"]}
        for name in sorted(values.keys() - {case["name"] for case in one["cases"]}):
            gone = {"what": f"{requirement.id}, {name}", "then": values[name], "now": None, "why": "missing"}
            found.differences.append(gone)
        for case in one["cases"]:
            found.values_compared += 1
            old = values.get(case["name"])
            if old is None and case["value"] is None and case["name"] in values:
                continue  # without a value then and now
            change = {"what": f"{requirement.id}, {case['name']}", "then": old, "now": case["value"]}
            if old is None or case["value"] is None or abs(old - case["value"]) > limit:
                found.differences.append({**change, "why": "missing" if old is None else f"beyond {limit:g}"})
            elif old != case["value"]:
                target = found.differences if found.same_platform else found.notes
                target.append({**change, "why": f"within {limit:g}"})
