"""Comparison of a validation with a master result: pixel for pixel on the same platform, by tolerance on another."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from forensic.validation.suite import OWN, Integrity, Requirement, Suite
from forensic.validation.verdicts import FEWEST_FOR_A_MEAN

_MOST_LISTED = 200
_OTHER_PICTURES = "other pictures of your own: not compared"
_NEW, _MISSING = "not in the master", "missing"


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
    own = {one.id: one.scenes for one in suite.conditions.values() if one.scene == OWN}
    apart = set()
    for condition, most in own.items():
        before, after = ([one["sha256"] for one in record["pictures"]][:most] for record in (master, present))
        # With too few to be measured, what the master has of them is missing.
        if before and before != after and len(after) >= FEWEST_FOR_A_MEAN:
            apart.add(condition)
            change = {"what": f"condition {condition}", "then": len(before), "now": len(after)}
            found.notes.append({**change, "why": _OTHER_PICTURES})
    _values(found, suite, master, present, _Own(frozenset(own), frozenset(apart)))
    _hashes(found, _pixels(master, own), _pixels(present, own), apart)
    return found


@dataclass(frozen=True)
class _Own:
    """Conditions of the laboratory's own pictures, and those of them whose pictures are others than the master's."""

    conditions: frozenset[str]
    apart: frozenset[str]


def _places(record: Mapping[str, Any]) -> dict[str, str]:
    """By the file's name, which says nothing: the picture's place in the list."""
    return {one["file"]: f"picture {place}" for place, one in enumerate(record["pictures"], start=1)}


def _pixels(record: Mapping[str, Any], own: Container[str]) -> dict[tuple[str, str], str]:
    """Every pixel hash by its condition and by what it is of; of runs that differ in workers or repetition alone, all
    that there are."""
    places, found = _places(record), dict[tuple[str, str], set[str]]()

    def keep(one: Mapping[str, Any], what: str, where: str, digest: str) -> None:
        condition = one["condition"]
        scene = places[one["scene"]] if condition in own else one["scene"]
        found.setdefault((condition, f"{what} {condition}, {scene}{where}"), set()).add(digest)

    for one in record["recordings"]:
        keep(one, "recording", "", one["decoded_sha256"])
    for one in record["outputs"]:
        first, stop = one["frames"]
        part = f", region {','.join(map(str, one['region']))}" if one.get("region") else ""
        keep(one, "output", f", {one['recipe']}, frames {first}:{stop}{part}", one["merkle_root"])
    return {name: ", ".join(sorted(hashes)) for name, hashes in found.items()}


def _hashes(
    found: Comparison,
    then: Mapping[tuple[str, str], str],
    now: Mapping[tuple[str, str], str],
    apart: Container[str],
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
            found.differences.append({**difference, "why": _MISSING})
        else:
            found.hashes_compared += 1
            found.hashes_equal += before == after
            if before != after:
                target = found.differences if found.same_platform else found.notes
                target.append({**difference, "why": "other pixels"})


def _values(found: Comparison, suite: Suite, master: Mapping[str, Any], present: Mapping[str, Any], own: _Own) -> None:
    earlier = {one["id"]: one for one in master["results"]}
    for requirement, one in zip(suite.requirements, present["results"], strict=True):
        before = earlier.get(requirement.id)
        if before is None:
            found.differences.append({"what": requirement.id, "then": None, "now": one["verdict"], "why": _MISSING})
            continue
        condition = getattr(requirement.method, "condition", None)
        if before["verdict"] != one["verdict"]:
            change = {"what": requirement.id, "then": before["verdict"], "now": one["verdict"], "why": "other verdict"}
            bad = before["verdict"] == "PASS" and condition not in own.apart
            (found.differences if bad else found.notes).append(change)
        if condition not in own.apart:
            then, now = (
                _cases_of(requirement, result["cases"], record, own)
                for result, record in ((before, master), (one, present))
            )
            _cases(found, suite, requirement, then, now)


def _cases_of(
    requirement: Requirement, cases: list[Any], record: Mapping[str, Any], own: _Own
) -> dict[str, float | None]:
    """Values by case: of own pictures by their places, without files whose pictures are not the master's."""
    values = {one["name"]: one["value"] for one in cases}
    method = requirement.method
    if isinstance(method, Integrity) and method.check in ("original-untouched", "copy-verified"):
        # Cases are files, named by condition and place.
        return {name: value for name, value in values.items() if name.partition(" ")[0] not in own.apart}
    if getattr(method, "condition", None) in own.conditions:
        places = _places(record)
        return {places.get(name, name): value for name, value in values.items()}
    return values


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
        if name not in now:
            found.differences.append({**change, "why": _MISSING})
            continue
        found.values_compared += 1
        if before == after:
            continue  # both may be without a value
        if before is None or after is None:
            found.differences.append({**change, "why": "no value then" if before is None else "no value now"})
        elif abs(before - after) > limit:
            found.differences.append({**change, "why": f"beyond {limit:g}"})
        else:
            (found.differences if found.same_platform else found.notes).append({**change, "why": f"within {limit:g}"})
