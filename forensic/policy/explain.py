"""Why a policy permits or refuses, in plain words, and what would have to be different."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, product
from typing import Any, Literal, NamedTuple

from forensic.frames.stageclass import StageClass
from forensic.policy.acknowledgement import SENTENCE, is_acknowledged
from forensic.policy.engine import evaluate
from forensic.policy.request import Approval, Mode, PolicyContext, Purpose, StageRequest
from forensic.policy.store import Policy

_LONG_REASON = "Reason given for trial of the policy " * 12
_TRIAL_DIGEST = "0" * 64
_OWN_KEY = "1" * 64
_REVIEWER = Approval("Second Person", "reviewer", key_id="2" * 64, certified=True)


class _Change(NamedTuple):
    """One change to try: the field ``name`` of the request or the context gets ``value``."""

    target: Literal["request", "context"]
    name: str
    value: object
    words: str


def explain(policy: Policy, request: StageRequest, context: PolicyContext) -> str:
    """Explain the verdict on one stage, as text with line ends, free of control characters.

    Says the verdict, each determining rule with its explanation and its text, and, for a refusal,
    the smallest set of changes under which this policy would permit the stage. Those changes are
    found by asking the policy again, not by reading its rules.
    """
    decision = evaluate(policy, [request], context)
    verdict = decision.verdicts[0]
    asked = verdict.request
    kind = "with a learned model" if request.learned or request.model is not None else "without a learned model"
    lines = [
        f"Policy {policy.name}: stage {_shown(verdict.stage)} is {'PERMITTED' if verdict.allowed else 'REFUSED'}.",
        "",
        f"  asked about   class {_shown(asked['class'])}, {kind}, scale {_shown(asked['scale'])}",
        f"  circumstances mode {_shown(decision.context['mode'])}, purpose {_shown(decision.context['purpose'])}, "
        f"exhibit class {_shown(decision.context['exhibit_class'])}",
        "",
        "Rules that decided:",
    ]
    for rule in verdict.rules:
        lines += ["", f"  {rule.id} ({rule.effect})", f"    {_shown(rule.sentence)}"]
        lines += [f"      | {_shown(line)}" for line in rule.text.splitlines()]
    if not verdict.allowed:
        lines += ["", "What would have to change:"]
        lines += [f"  - {text}" for text in _what_would_have_to_change(policy, request, context)]
        if verdict.remedy:
            lines += ["", f"What can be done: {verdict.remedy}"]
    lines += ["", f"Policy SHA-256 {policy.sha256}", f"Schema SHA-256 {policy.schema_sha256}"]
    return "\n".join(lines) + "\n"


def highest_class(policy: Policy) -> StageClass | None:
    """Highest class that ``policy`` permits to a stage at scale 1 when every demand is met.

    Found by trial over modes, purposes, and stages with and without a verified model, with a long
    reason, a second person's approval and the acknowledgement; a rule that asks for a certain examiner, laboratory,
    stage name or model is not met by such a trial. None if every trial is refused.
    """
    for stage_class in sorted(StageClass, reverse=True):
        for learned, mode, purpose in product((False, True), Mode, Purpose):
            model = {
                "id": "trial",
                "version": "1",
                "class": stage_class.label,
                "scale": 1,
                "weights_sha256": _TRIAL_DIGEST,
                "card_sha256": _TRIAL_DIGEST,
                "digest_verified": True,
            }
            request = StageRequest("trial", stage_class, learned, 1.0, model if learned else None)
            context = PolicyContext(
                "trial", mode=mode, purpose=purpose, reason=_LONG_REASON, approval=_REVIEWER, key_id=_OWN_KEY,
                acknowledgement=SENTENCE,
            )  # fmt: skip
            if evaluate(policy, [request], context).allowed:
                return stage_class
    return None


def _shown(value: object) -> str:
    """Text for a terminal: what is not printable is escaped."""
    text = str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _changes(request: StageRequest, context: PolicyContext) -> list[list[_Change]]:
    """Per circumstance, the single changes worth trying."""
    purposes = [purpose for purpose in Purpose if purpose not in (context.purpose, Purpose.UNSTATED)]
    own_key = context.key_id or _OWN_KEY
    approvals = {
        "the examiner approves, signed and recorded": Approval(context.examiner, context.role, key_id=own_key),
        "a second person, whoever it is, approves": replace(_REVIEWER, role="", certified=False),
        "a reviewer who is a second person approves": replace(_REVIEWER, certified=False),
        "a reviewer who is a second person and whom the laboratory's authority certified approves": _REVIEWER,
    }
    scale = request.scale if isinstance(request.scale, (int, float)) else 0
    changes = [
        [_Change("context", "mode", mode, f"the mode is {mode}") for mode in Mode if mode != context.mode],
        [_Change("context", "purpose", purpose, f"the purpose truly is {purpose}") for purpose in purposes],
        [_Change("context", "reason", _LONG_REASON, "a written reason, long enough for the policy, is given")],
        [_Change("context", "approval", approval, words) for words, approval in approvals.items()],
        [_Change("request", "scale", s, f"the scale is {s:g} or less") for s in (8.0, 4.0, 3.0, 2.0, 1.0) if s < scale],
    ]
    if not is_acknowledged(context.acknowledgement):
        words = f"the acknowledgement is typed in full: {SENTENCE!r}"
        changes.append([_Change("context", "acknowledgement", SENTENCE, words)])
    if isinstance(request.model, Mapping) and request.model.get("digest_verified") is not True:
        verified = {**request.model, "digest_verified": True}
        changes.append([_Change("request", "model", verified, "the model's weights match its card")])
    return [options for options in changes if options]


def _trials(request: StageRequest, context: PolicyContext) -> Iterator[tuple[list[str], StageRequest, PolicyContext]]:
    """Every combination of changes, fewest first: what is changed, and what to ask then."""
    circumstances = _changes(request, context)
    for count in range(1, len(circumstances) + 1):
        for chosen in combinations(circumstances, count):
            for changes in product(*chosen):
                asked: dict[str, Any] = {change.name: change.value for change in changes if change.target == "request"}
                stated: dict[str, Any] = {change.name: change.value for change in changes if change.target == "context"}
                known = context if context.key_id else replace(context, key_id=_OWN_KEY)
                yield [change.words for change in changes], replace(request, **asked), replace(known, **stated)


def _what_would_have_to_change(policy: Policy, request: StageRequest, context: PolicyContext) -> list[str]:
    for words, asked, stated in _trials(request, context):
        if evaluate(policy, [asked], stated).allowed:
            together = "All of these together:" if len(words) > 1 else "This alone:"
            return [f"{together} {'; '.join(words)}."]
    return [
        "Nothing that an examiner states about the run makes this policy permit the stage: "
        "leave the stage out, or choose a policy that permits it."
    ]
