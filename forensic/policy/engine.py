"""The gate: every stage of a recipe is judged before a pixel is touched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from forensic.frames.stageclass import StageClass
from forensic.policy import builtin
from forensic.policy.acknowledgement import WITHOUT_ACKNOWLEDGEMENT
from forensic.policy.cedar import ask, cedar_request, engine_name
from forensic.policy.decision import PolicyDecision, RuleRef, StageVerdict
from forensic.policy.facts import Trail, read_context, read_stage
from forensic.policy.request import Approval, Mode, PolicyContext, StageRequest
from forensic.policy.rules import PolicyRule
from forensic.policy.store import Policy

__all__ = ["Approval", "PolicyContext", "PolicyDecision", "StageRequest", "StageVerdict", "evaluate"]

_LARGEST_INTEGER = 2**53 - 1  # RFC 8785 records hold no larger one exactly


def _recordable(value: Any) -> Any:
    """``value`` as it can stand in canonical JSON; what cannot is written out as text, not dropped."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, StageClass):
        return value.label
    if isinstance(value, str):
        return str(value.encode("utf-8", "backslashreplace").decode("utf-8"))
    if isinstance(value, int) and abs(value) <= _LARGEST_INTEGER:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping):
        return {_recordable(str(key)): _recordable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_recordable(item) for item in value]
    return _recordable(repr(value))


def _record_request(request: StageRequest) -> dict[str, Any]:
    return {
        "stage": _recordable(request.stage),
        "class": _recordable(request.stage_class),
        "learned": _recordable(request.learned),
        "scale": _recordable(request.scale),
        "model": _recordable(request.model),
        "parameters": _recordable(request.parameters),
    }


def _record_context(context: PolicyContext) -> dict[str, Any]:
    record = {one.name: _recordable(getattr(context, one.name)) for one in fields(context) if one.name != "approval"}
    approval = context.approval
    if isinstance(approval, Approval):
        record["approval"] = {one.name: _recordable(getattr(approval, one.name)) for one in fields(approval)}
    else:
        record["approval"] = _recordable(approval)
    return record


def _reference(rule: PolicyRule) -> RuleRef:
    return RuleRef(rule.id, rule.effect, rule.explanation, rule.remedy, rule.text)


def _verdict(
    request: StageRequest, violations: list[RuleRef], policy: Policy, question: dict[str, Any] | None
) -> StageVerdict:
    rules = list(violations)
    allowed = False
    if question is not None:
        answer = ask(policy, question)
        references = [_reference(rule) for rule in answer.rules]
        if answer.errors:
            rules.append(builtin.EVALUATION_ERROR.because("; ".join(answer.errors)))
        elif not references:
            rules.append(builtin.DEFAULT_DENY)
        rules += references
        # Allowed needs all of: no built-in rule, a clear Allow, a permit that can be named.
        allowed = not violations and answer.allowed and not answer.errors and bool(references)
    decisive = [rule for rule in rules if allowed or rule.effect == "forbid"]
    named = ", ".join(dict.fromkeys(rule.id for rule in decisive))
    reason = f"{'permitted' if allowed else 'refused'} by {named}. " + " ".join(rule.sentence for rule in decisive)
    stage = str(_recordable(request.stage))
    return StageVerdict(stage, allowed, tuple(rules), str(_recordable(reason)), _record_request(request), question)


def evaluate(policy: Policy, requests: Sequence[StageRequest], context: PolicyContext) -> PolicyDecision:
    """Judge every stage of a recipe, in recipe order, under ``policy``.

    Never raises for a bad request: whatever cannot be judged is denied, with the rule that says so
    (``built-in:…``), so that the refusal can go on the record like any other. Classes and
    enlargements add up from stage to stage, starting with the exhibit's class. All stages are
    judged even after a refusal. An empty recipe is not allowed. A policy with the schema of an earlier
    release is judged as that release did, so that its runs can be repeated.

    Returns a decision whose ``to_record()`` depends on nothing but the arguments and the version
    of Cedar.
    """
    facts, objections = read_context(context)
    trail = Trail(facts.exhibit_class if facts else StageClass.GENERATIVE)
    mode: Mode | None = facts.mode if facts else None
    acknowledged = facts is None or facts.acknowledged or policy.schema_sha256 in WITHOUT_ACKNOWLEDGEMENT
    verdicts = []
    for request in requests:
        stage, violations, trail = read_stage(request, trail, mode, acknowledged=acknowledged)
        if facts is None:
            # With the circumstances unknown, what they would have implied is not worth telling.
            violations = [rule for rule in violations if rule.id != builtin.GENERATIVE_NEEDS_CREATIVE_MODE.id]
        question = cedar_request(stage, facts, policy) if stage is not None and facts is not None else None
        verdicts.append(_verdict(request, objections + violations, policy, question))
    return PolicyDecision(
        policy=policy.name,
        origin=policy.origin,
        policy_sha256=policy.sha256,
        schema_sha256=policy.schema_sha256,
        engine=engine_name(),
        context=_record_context(context),
        verdicts=tuple(verdicts),
    )
