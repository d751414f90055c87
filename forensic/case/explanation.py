"""``forensic policy explain``: what policy would say to a stage, before anybody runs it."""

from __future__ import annotations

from typing import Any

from forensic.case.plan import DEFAULT_POLICY
from forensic.errors import ForensicError
from forensic.policy.explain import explain
from forensic.policy.request import Mode, PolicyContext, StageRequest
from forensic.policy.store import load_policy
from forensic.registry.cards import load_card, model_ids, verify_card
from forensic.stages.catalogue import build, stage_type
from forensic.stages.stage import Stage


def explain_stage(
    stage: str, *, mode: str, policy: str | None, reason: str, purpose: str, acknowledgement: str = ""
) -> str:
    """Plain words on ``stage`` with its default parameters (a learned stage: with the first model)."""
    described = stage_type(stage)
    built = _with_defaults(stage)
    model: dict[str, Any] | None = None
    if built is not None and built.model is not None:
        card = load_card(built.model.id)
        verify_card(card)
        model = {**card.facts(), "digest_verified": True}
    request = StageRequest(
        stage=stage,
        stage_class=described.stage_class if built is None else built.effective_class,
        learned=False if built is None else built.learned,
        scale=float((built.scale if built is not None else None) or 1.0),
        model=model,
    )
    context = PolicyContext(
        examiner="(nobody yet)", mode=mode, reason=reason, purpose=purpose, recipe="(none: a question)",
        acknowledgement=acknowledgement,
    )  # fmt: skip
    return explain(load_policy(policy or DEFAULT_POLICY[Mode(mode)]), request, context)


def _with_defaults(stage: str) -> Stage[Any] | None:
    """The stage with default parameters; None where some must be given (crop, for example)."""
    try:
        return build(stage, {})
    except ForensicError:
        pass
    for model_id in model_ids():
        try:
            return build(stage, {"model": model_id})
        except ForensicError:
            continue
    return None
