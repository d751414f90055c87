"""Checks on what a run's record says, against itself and against the files that it is about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from forensic.errors import ForensicError, PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json, sha256_bytes
from forensic.signing.statement import Statement


def at(value: Any, *keys: str) -> Any:
    """The value under a path of keys, or None where the path ends early."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def exhibit_class(predicate: dict[str, Any]) -> Any:
    """Class that the record gives the exhibit; where it is silent (records of older versions), presentation."""
    exhibit = predicate.get("exhibit")
    default = StageClass.PRESENTATION.label
    return exhibit.get("stage_class", default) if isinstance(exhibit, dict) else None


def labelled(predicate: dict[str, Any]) -> bool:
    """A6: the output's class is at least the exhibit's and every stage's; generative output is labelled."""
    stages = at(predicate, "recipe", "stages")
    if not isinstance(stages, list):
        return False
    try:
        touched = [
            StageClass.parse(exhibit_class(predicate)),
            *(StageClass.parse(at(stage, "class")) for stage in stages),
        ]
        output = StageClass.parse(at(predicate, "output", "stage_class"))
    except PolicyRefused:
        return False
    if output is StageClass.GENERATIVE and at(predicate, "output", "labelled") is not True:
        return False
    return output >= max(touched)


def contradictions(statement: Statement) -> list[str]:
    """A7: what the record says of policy, recipe, output and stills that the record itself contradicts."""
    return list(_contradictions(statement))


def _contradictions(statement: Statement) -> Iterator[str]:
    predicate = statement.predicate
    policy, recipe = predicate.get("policy"), predicate.get("recipe")
    verdicts, stages = _objects(at(policy, "stages")), _objects(at(recipe, "stages"))
    if at(policy, "allowed") is not True or not verdicts or not all(at(each, "allowed") is True for each in verdicts):
        yield "the policy did not allow it"
    asked = [(at(verdict, "stage"), at(verdict, "request", "class")) for verdict in verdicts]
    if asked != [(at(stage, "name"), at(stage, "class")) for stage in stages]:
        yield "the policy was asked about other stages than those of the recipe"
    for name, judged, recorded in (
        ("mode", at(policy, "context", "mode"), at(predicate, "run", "mode")),
        ("recipe", at(policy, "context", "recipe"), at(recipe, "name")),
        ("exhibit's class", at(policy, "context", "exhibit_class"), exhibit_class(predicate)),
    ):
        if judged is None or judged != recorded:
            yield f"the policy was asked about another {name}"
    for name, claimed, file in (
        ("policy", at(policy, "policy", "sha256"), "policy.cedar"),
        ("policy schema", at(policy, "policy", "schema_sha256"), "policy.cedarschema"),
        ("recipe", at(recipe, "sha256"), "recipe.toml"),
        ("output", at(predicate, "output", "sha256"), at(predicate, "output", "file")),
    ):
        if not _is_digest_of(statement, claimed, file):
            yield f"the digest of the {name} is not that of its file"
    cited = at(predicate, "risk", "calibration")
    if cited is not None and at(cited, "sha256") != _digest_of(at(cited, "artefact")):
        yield "the digest of the calibration is not that of the artefact"
    stills = predicate.get("stills")
    if not isinstance(stills, list):
        yield "the stills are not listed"
        return
    for still in stills:
        if not _is_digest_of(statement, at(still, "sha256"), at(still, "after")) or not _is_digest_of(
            statement, at(still, "before_sha256"), at(still, "before")
        ):
            yield f"the digest of the still of frame {at(still, 'frame')} is not that of its file"
        due = predicate.get("beside") is not None and at(predicate, "beside", "why_none") is None
        named = at(still, "beside")
        if (due or named is not None) and not _is_digest_of(statement, at(still, "beside_sha256"), named):
            yield f"the digest of what stands beside the still of frame {at(still, 'frame')} is not that of its file"


def _digest_of(value: Any) -> str | None:
    """SHA-256 of a part of the record in its canonical form, None where it has none."""
    try:
        return sha256_bytes(canonical_json(value))
    except (ForensicError, TypeError, ValueError):
        return None


def _objects(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_digest_of(statement: Statement, claimed: Any, name: Any) -> bool:
    return isinstance(name, str) and isinstance(claimed, str) and statement.sha256_of(name) == claimed
