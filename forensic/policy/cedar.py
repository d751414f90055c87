"""Facts into Cedar's JSON, and Cedar's answer back. Everything that is not a clear Allow is not one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from importlib import metadata
from typing import Any

import cedarpy

from forensic.frames.stageclass import StageClass
from forensic.policy.acknowledgement import FIRST_SCHEMA_SHA256, WITHOUT_ACKNOWLEDGEMENT
from forensic.policy.facts import ContextFacts, ModelFacts, StageFacts, names_differ
from forensic.policy.rules import PolicyRule
from forensic.policy.store import Policy


@dataclass(frozen=True)
class CedarAnswer:
    """``allowed`` as Cedar decided, the rules that determined it in file order, and its errors."""

    allowed: bool
    rules: tuple[PolicyRule, ...]
    errors: tuple[str, ...]


@cache
def engine_name() -> str:
    """Implementation and version that evaluates, for the record."""
    return f"Cedar policy language, cedarpy {metadata.version('cedarpy')}"


def _entity(kind: str, name: str) -> dict[str, Any]:
    return {"__entity": {"type": kind, "id": name}}


def _class(value: StageClass) -> dict[str, Any]:
    return _entity("StageClass", value.label)


def _decimal(value: Decimal) -> dict[str, Any]:
    return {"__extn": {"fn": "decimal", "arg": f"{value:.4f}"}}


def _model(model: ModelFacts) -> dict[str, Any]:
    return {
        "id": model.id,
        "version": model.version,
        "class": _class(model.model_class),
        "scale": _decimal(model.scale),
        "weightsSha256": model.weights_sha256,
        "cardSha256": model.card_sha256,
        "licence": model.licence,
        "digestVerified": model.digest_verified,
    }


def _circumstances(context: ContextFacts, schema_sha256: str) -> dict[str, Any]:
    """What the schema with this digest knows of the circumstances."""
    circumstances: dict[str, Any] = {
        "mode": _entity("Mode", context.mode.value),
        "purpose": _entity("Purpose", context.purpose.value),
        "reason": context.reason,
        "reasonLength": context.reason_length,
        "recipe": context.recipe,
        "exhibitClass": _class(context.exhibit_class),
    }
    approval = context.approval
    if schema_sha256 == FIRST_SCHEMA_SHA256:
        if approval is not None:
            circumstances["approval"] = {
                "by": approval.by,
                "role": approval.role,
                "note": approval.note,
                "secondPerson": names_differ(approval, context.examiner),
            }
        return circumstances
    circumstances["authorityPinned"] = context.authority_pinned
    if schema_sha256 not in WITHOUT_ACKNOWLEDGEMENT:
        circumstances["acknowledged"] = context.acknowledged
    if approval is not None:
        circumstances["approval"] = {
            "by": approval.by,
            "role": approval.role,
            "note": approval.note,
            "keyId": approval.key_id,
            "certified": approval.certified is True,
            "secondPerson": context.second_person,
        }
    return circumstances


def cedar_request(stage: StageFacts, context: ContextFacts, policy: Policy) -> dict[str, Any]:
    """The request and its entities in Cedar's JSON format, as the policy's schema has them.

    Keys ``request`` and ``entities``.
    """
    examiner = {"type": "Examiner", "id": context.examiner}
    resource = {"type": "Stage", "id": stage.stage}
    attributes: dict[str, Any] = {
        "class": _class(stage.stage_class),
        "resultClass": _class(stage.result_class),
        "learned": stage.learned,
        "scale": _decimal(stage.scale),
        "enlargement": _decimal(stage.enlargement),
    }
    if stage.model is not None:
        attributes["model"] = _model(stage.model)
    return {
        "request": {
            "principal": examiner,
            "action": {"type": "Action", "id": "apply"},
            "resource": resource,
            "context": _circumstances(context, policy.schema_sha256),
        },
        "entities": [
            {"uid": examiner, "attrs": {"lab": context.lab, "role": context.role}, "parents": []},
            {
                "uid": resource,
                "attrs": attributes,
                "parents": [],
                "tags": {name: _decimal(value) for name, value in sorted(stage.numbers.items())},
            },
        ],
    }


@lru_cache(maxsize=8)
def _prepared(text: str, schema_text: str) -> tuple[cedarpy.PolicySet, cedarpy.Schema]:
    """Parsed once per text: parsing takes ten times as long as deciding."""
    return cedarpy.PolicySet.from_str(text), cedarpy.Schema.from_str(schema_text)


def ask(policy: Policy, question: dict[str, Any]) -> CedarAnswer:
    """Evaluate ``question`` (see :func:`cedar_request`) with request and entities checked by schema.

    Cedar skips a rule that fails, so that a failing prohibition prohibits nothing: any error at
    all is reported, and the caller denies.
    """
    try:
        policies, schema = _prepared(policy.text, policy.schema_text)
        result = cedarpy.is_authorized(question["request"], policies, question["entities"], schema)
    except (ValueError, TypeError) as error:
        return CedarAnswer(False, (), (str(error),))
    try:
        determining = sorted(int(reason.removeprefix("policy")) for reason in result.diagnostics.reasons)
        rules = tuple(policy.rules[number] for number in determining)
    except (ValueError, IndexError):
        return CedarAnswer(False, (), ("Cedar named a rule that the policy file does not hold",))
    return CedarAnswer(result.allowed, rules, tuple(result.diagnostics.errors))
