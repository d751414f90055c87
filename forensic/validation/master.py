"""Comparison of a validation with a master result: pixel for pixel on the same platform, by tolerance on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from forensic.validation.suite import OWN, Requirement, Suite

_MOST_LISTED = 200
_OTHER_PICTURES, _NEW = "other pictures of your own: not compared", "not in the master"


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
    differ are noted. Verdicts that were PASS must not have become another, values and hashes of the master must not be
    missing. What the master does not have is noted; so is what is of the laboratory's own pictures, where other ones
    were given then.
    """
    then, now = platforms
    changes = {key: {"then": then.get(key), "now": now[key]} for key in now if then.get(key) != now[key]}
    found = Comparison(not changes, changes)
    if master["suite"]["sha256"] != suite.sha256:
        found.differences.append(
            {"what": "suite", "then": master["suite"]["sha256"], "now": suite.sha256, "why": "another suite"}
        )
        return found
    apart = _apart(suite, master["pictures"], present["pictures"])
    if apart:
        told = [len(one["pictures"]) for one in (master, present)]
        found.notes.append({"what": "pictures of your own", "then": told[0], "now": told[1], "why": _OTHER_PICTURES})
    _hashes(found, _pixels(master), _pixels(present), apart)
    _values(found, suite, master, present, apart)
    return found


def _apart(suite: Suite, then: list[Any], now: list[Any]) -> frozenset[str]:
    """Conditions of the laboratory's own pictures, where other ones are given now than for the master. Where none are
    given now, what the master has of them is missing."""
    if then == now or not then or not now:
        return frozenset()
    return frozenset(one.id for one in suite.conditions.values() if one.scene == OWN)


def _pixels(record: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Every pixel hash by its condition and by what it is of; of runs that differ in workers or repetition alone, all
    that there are."""
    found: dict[tuple[str, str], set[str]] = {}
    for one in record["recordings"]:
        name = f"recording {one['condition']}, {one['scene']}"
        found.setdefault((one["condition"], name), set()).add(one["decoded_sha256"])
    for one in record["outputs"]:
        first, stop = one["frames"]
        name = f"output {one['condition']}, {one['scene']}, {one['recipe']}, frames {first}:{stop}"
        found.setdefault((one["condition"], name), set()).add(one["merkle_root"])
    return {name: ", ".join(sorted(hashes)) for name, hashes in found.items()}


def _hashes(
    found: Comparison,
    then: Mapping[tuple[str, str], str],
    now: Mapping[tuple[str, str], str],
    apart: frozenset[str],
) -> None:
    for key in sorted(then.keys() | now.keys()):
        condition, name = key
        if condition in apart:
            continue
        before, after = then.get(key), now.get(key)
        difference = {"what": name, "then": before, "now": after}
        if before is None:
            found.notes.append({**difference, "why": _NEW})
        elif after is None:
            found.differences.append({**difference, "why": "missing"})
        else:
            found.hashes_compared += 1
            found.hashes_equal += before == after
            if before != after:
                target = found.differences if found.same_platform else found.notes
                target.append({**difference, "why": "other pixels"})


def _values(
    found: Comparison, suite: Suite, master: Mapping[str, Any], present: Mapping[str, Any], apart: frozenset[str]
) -> None:
    earlier = {one["id"]: one for one in master["results"]}
    for requirement, one in zip(suite.requirements, present["results"], strict=True):
        before = earlier.get(requirement.id)
        if before is None:
            found.differences.append({"what": requirement.id, "then": None, "now": one["verdict"], "why": "missing"})
            continue
        own = getattr(requirement.method, "condition", None) in apart
        if before["verdict"] != one["verdict"]:
            change = {"what": requirement.id, "then": before["verdict"], "now": one["verdict"], "why": "other verdict"}
            (found.differences if before["verdict"] == "PASS" and not own else found.notes).append(change)
        if own:
            continue
        of_others = tuple(f"{condition} " for condition in apart)
        then, now = (
            {case["name"]: case["value"] for case in each["cases"] if not case["name"].startswith(of_others)}
            for each in (before, one)
        )
        _cases(found, suite, requirement, then, now)


def _cases(
    found: Comparison,
    suite: Suite,
    requirement: Requirement,
    then: Mapping[str, float | None],
    now: Mapping[str, float | None],
) -> None:
    limit = 0.0 if requirement.metric is None else suite.tolerance[requirement.metric]
    for name in sorted(then.keys() | now.keys()):
        before, after = then.get(name), now.get(name)
        change = {"what": f"{requirement.id}, {name}", "then": before, "now": after}
        if name not in then:
            found.notes.append({**change, "why": _NEW})
            continue
        found.values_compared += 1
        if before == after:
            continue  # both may be without a value
        if before is None or after is None:
            found.differences.append({**change, "why": "missing"})
        elif abs(before - after) > limit:
            found.differences.append({**change, "why": f"beyond {limit:g}"})
        else:
            (found.differences if found.same_platform else found.notes).append({**change, "why": f"within {limit:g}"})
