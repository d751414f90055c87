"""Checks on what a run's record says, against itself and against the files that it is about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from forensic.case.recordednames import is_half, says_generative
from forensic.case.verification.beside import misplaced
from forensic.case.verification.heldout import held_out_faults
from forensic.errors import ForensicError, PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json, sha256_bytes
from forensic.media.label import EVERYWHERE
from forensic.media.watermark_keys import Mark, run_key
from forensic.policy.acknowledgement import WITHOUT_ACKNOWLEDGEMENT, is_acknowledged
from forensic.signing.statement import Statement


def at(value: Any, *keys: str) -> Any:
    """The value under a path of keys, or None where the path ends early."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def cited_head(predicate: dict[str, Any]) -> tuple[int, str] | None:
    """The ledger head that a run's record cites, if it is well-formed."""
    head = at(predicate, "workspace", "ledger_head")
    if not isinstance(head, dict) or not isinstance(head.get("seq"), int) or not isinstance(head.get("hash"), str):
        return None
    return head["seq"], head["hash"]


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
    generative = at(predicate, "output", "stage_class") == StageClass.GENERATIVE.label
    if generative and at(policy, "policy", "schema_sha256") not in WITHOUT_ACKNOWLEDGEMENT:
        yield from _ungated(statement)
    cited = at(predicate, "risk", "calibration")
    if cited is not None and at(cited, "sha256") != _digest_of(at(cited, "artefact")):
        yield "the digest of the calibration is not that of the artefact"
    if at(cited, "artefact", "origin") == "shipped":
        named = (at(cited, "artefact", "subject", "model"), at(cited, "sha256"))
        if named not in [(at(one, "id"), at(one, "calibration_sha256")) for one in _objects(predicate.get("models"))]:
            yield "the calibration is not the one that the model's card names"
    yield from held_out_faults(cited)
    yield from misplaced(predicate)
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
        beside = at(still, "beside")
        if (due or beside is not None) and not _is_digest_of(statement, at(still, "beside_sha256"), beside):
            yield f"the digest of what stands beside the still of frame {at(still, 'frame')} is not that of its file"


def _ungated(statement: Statement) -> Iterator[str]:
    """What a generative run since 0.3.0 owes: the sentence, names that say it, label and mark."""
    predicate = statement.predicate
    judged = at(predicate, "policy", "context", "acknowledgement")
    if not is_acknowledged(judged):
        yield "generative pixels were not acknowledged"
    if at(predicate, "run", "acknowledgement") != judged:
        yield "the policy was asked about another acknowledgement"
    stills = _objects(predicate.get("stills"))
    shown = [at(predicate, "output", "file"), *(at(still, "after") for still in stills)]
    shown += [at(frame, "files", "overlay") for frame in _objects(at(predicate, "risk", "frames"))]
    if exhibit_class(predicate) == StageClass.GENERATIVE.label:
        shown += [at(still, "before") for still in stills]
    if not all(map(says_generative, shown)):
        yield "a file of generative pixels does not say so in its name"
    if any(is_half(subject.name) for subject in statement.subjects):
        yield "there are split halves of generative frames, which bear no label"
    if at(predicate, "output", "label_form") != EVERYWHERE:
        yield "generative pixels are not said to be labelled at the edges and over the picture"
    of_run = run_key(str(at(predicate, "exhibit", "sha256")), str(at(predicate, "recipe", "sha256")))
    if at(predicate, "output", "watermark") != Mark(of_run).to_record():
        yield "generative pixels are not said to carry the mark of this run"


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
