"""From a request, which may hold anything, to facts fit to be judged, or built-in denials.

Taint and enlargement add up along the recipe here: a stage after a generative one works on
generative pixels, and two enlargements by 4 are one by 16.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from numbers import Real

from forensic.errors import PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.policy import builtin
from forensic.policy.acknowledgement import is_acknowledged
from forensic.policy.decision import RuleRef
from forensic.policy.request import Approval, Mode, PolicyContext, Purpose, StageRequest

# Cedar's decimal holds four decimals and 64 bits; this bound keeps products inside it.
_LARGEST = Decimal(10) ** 12
_STEP = Decimal("0.0001")
# A computed factor such as 1440/360 may miss its value by rounding; so much more is not an excess.
_SLACK = 1 - Decimal("1e-9")
# Letters by Unicode category, but drawn as nothing (the Hangul fillers).
_INVISIBLE_LETTERS = "\u115f\u1160\u3164\uffa0"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelFacts:
    """Facts of a model card in the form in which policies see them."""

    id: str
    version: str
    model_class: StageClass
    scale: Decimal
    weights_sha256: str
    card_sha256: str
    licence: str
    digest_verified: bool


@dataclass(frozen=True)
class StageFacts:
    """One stage as policies see it; decimals are already rounded to what Cedar can hold."""

    stage: str
    stage_class: StageClass
    result_class: StageClass
    learned: bool
    scale: Decimal
    enlargement: Decimal
    model: ModelFacts | None
    numbers: dict[str, Decimal]


@dataclass(frozen=True)
class ContextFacts:
    """The circumstances as policies see them. ``reason_length`` counts letters and digits."""

    examiner: str
    lab: str
    role: str
    mode: Mode
    purpose: Purpose
    reason: str
    reason_length: int
    approval: Approval | None
    second_person: bool
    recipe: str
    exhibit_class: StageClass
    authority_pinned: bool
    acknowledged: bool


@dataclass(frozen=True)
class Trail:
    """What the pixels carry when a stage gets them: highest class and product of enlargements."""

    pixel_class: StageClass
    enlargement: Decimal = Decimal(1)
    unjudged: bool = False  # an earlier stage could not be judged: the class is the worst case


def reason_length(reason: str) -> int:
    """Letters and digits in ``reason``: dots, blanks and invisible characters explain nothing."""
    return sum(character.isalnum() and character not in _INVISIBLE_LETTERS for character in reason)


def _is_text(value: object) -> bool:
    """True for text that can be written down as UTF-8 (no lone surrogates)."""
    if not isinstance(value, str):
        return False
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _class(value: object) -> StageClass | None:
    if isinstance(value, StageClass):
        return value
    try:
        return StageClass.parse(value)
    except PolicyRefused:
        return None


def _number(value: object) -> Decimal | None:
    """``value`` as a finite decimal within ±``_LARGEST``, or None for anything that is no number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if not isinstance(value, int):
        value = float(value)
        if not math.isfinite(value):
            return None
    return min(max(Decimal(repr(value)), -_LARGEST), _LARGEST)


def _factor(value: object) -> Decimal | None:
    number = _number(value)
    return number if number is not None and 0 < number < _LARGEST else None


def _rounded_up(factor: Decimal) -> Decimal:
    return (factor * _SLACK).quantize(_STEP, ROUND_CEILING)


def read_context(context: PolicyContext) -> tuple[ContextFacts | None, list[RuleRef]]:
    """Check the circumstances. Facts are None where a violation leaves nothing to judge."""
    violations: list[RuleRef] = []
    mode = context.mode if context.mode in Mode.__members__.values() else None
    purpose = context.purpose if context.purpose in Purpose.__members__.values() else None
    exhibit_class = _class(context.exhibit_class)
    if mode is None:
        violations.append(builtin.UNKNOWN_MODE.because(f"The mode given is {context.mode!r}."))
    if purpose is None:
        violations.append(builtin.UNKNOWN_PURPOSE.because(f"The purpose given is {context.purpose!r}."))
    if exhibit_class is None:
        violations.append(builtin.UNKNOWN_CLASS.because(f"The exhibit's class is {context.exhibit_class!r}."))
    violations += [
        builtin.MALFORMED_REQUEST.because(f"The {name} is not text.")
        for name in ("examiner", "lab", "role", "reason", "recipe", "key_id", "acknowledgement")
        if not _is_text(getattr(context, name))
    ]
    if isinstance(context.examiner, str) and not reason_length(context.examiner):
        violations.append(builtin.NO_EXAMINER.because("The examiner's name is empty."))
    approval = context.approval
    if approval is not None and not (
        isinstance(approval, Approval)
        and all(map(_is_text, (approval.by, approval.role, approval.note, approval.key_id)))
    ):
        violations.append(builtin.MALFORMED_REQUEST.because("The approval is not an approval by a named person."))
    if violations or mode is None or purpose is None or exhibit_class is None:
        return None, violations
    # An approval by nobody is no approval: it is left out, so that "context has approval" is false.
    if approval is not None and not reason_length(approval.by):
        approval = None
    facts = ContextFacts(
        examiner=context.examiner,
        lab=context.lab,
        role=context.role,
        mode=Mode(mode),
        purpose=Purpose(purpose),
        reason=context.reason.strip(),
        reason_length=reason_length(context.reason),
        approval=approval,
        second_person=approval is not None and _is_second_person(approval, context),
        recipe=context.recipe,
        exhibit_class=exhibit_class,
        authority_pinned=context.authority_pinned is True,
        acknowledged=is_acknowledged(context.acknowledgement),
    )
    return facts, violations


def _is_second_person(approval: Approval, context: PolicyContext) -> bool:
    """Another key and another name. Where either key is not known, nobody has shown to be a second person."""
    keys = {approval.key_id, context.key_id}
    return len(keys) == 2 and "" not in keys and _same_name(approval.by) != _same_name(context.examiner)


def names_differ(approval: Approval, examiner: str) -> bool:
    """What the schema of release 0.1.0 called a second person: another name, as claimed."""
    return _same_name(approval.by) != _same_name(examiner)


def _same_name(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _read_model(model: object) -> tuple[ModelFacts | None, list[RuleRef]]:
    if not isinstance(model, Mapping):
        return None, [builtin.UNVERIFIED_MODEL.because("No model card came with the learned stage.")]
    model_class = _class(model.get("class"))
    if model_class is None:
        return None, [builtin.UNKNOWN_CLASS.because(f"The model's class is {model.get('class')!r}.")]
    scale = _factor(model.get("scale"))
    texts = {name: model.get(name) for name in ("id", "weights_sha256", "card_sha256")}
    missing = [name for name, value in texts.items() if not _is_text(value) or not value]
    digests = [name for name in ("weights_sha256", "card_sha256") if name not in missing]
    missing += [name for name in digests if not _SHA256.fullmatch(str(texts[name]))]
    missing += ["scale"] if scale is None else []
    version, licence = str(model.get("version", "")), str(model.get("licence", ""))
    missing += [name for name, value in (("version", version), ("licence", licence)) if not _is_text(value)]
    if missing or scale is None:
        return None, [builtin.UNVERIFIED_MODEL.because(f"Missing or unusable on the card: {', '.join(missing)}.")]
    facts = ModelFacts(
        id=str(texts["id"]),
        version=version,
        model_class=model_class,
        scale=scale,
        weights_sha256=str(texts["weights_sha256"]),
        card_sha256=str(texts["card_sha256"]),
        licence=licence,
        digest_verified=model.get("digest_verified") is True,
    )
    if not facts.digest_verified:
        return facts, [builtin.UNVERIFIED_MODEL.because(f"The weights of model {facts.id!r} were not verified.")]
    return facts, []


def read_stage(
    request: StageRequest, trail: Trail, mode: Mode | None, *, acknowledged: bool
) -> tuple[StageFacts | None, list[RuleRef], Trail]:
    """Check one stage, given what the pixels carry; also return what they carry after it.

    Facts are None where nothing is left to judge; the pixels then count as generative from there
    on, because what an unreadable stage would do to them is unknown. ``mode`` is None if unknown;
    ``acknowledged``: whoever asks has acknowledged what generative pixels are.
    """
    violations: list[RuleRef] = []
    stage_class, factor = _class(request.stage_class), _factor(request.scale)
    if stage_class is None:
        violations.append(builtin.UNKNOWN_CLASS.because(f"The stage's class is {request.stage_class!r}."))
    if factor is None:
        violations.append(builtin.MALFORMED_REQUEST.because(f"The scale is {request.scale!r}."))
    if not _is_text(request.stage) or not request.stage:
        violations.append(builtin.MALFORMED_REQUEST.because("The stage has no name."))
    if not isinstance(request.learned, bool):
        violations.append(builtin.MALFORMED_REQUEST.because("Whether the stage is learned is not said."))
    numbers, unusable = _numeric_parameters(request.parameters)
    violations += unusable

    # A stage that brings a model is learned, whatever it says of itself.
    learned = request.learned is True or request.model is not None
    model = None
    if learned:
        model, objections = _read_model(request.model)
        violations += objections
    if stage_class is None or factor is None or any(rule.id == builtin.MALFORMED_REQUEST.id for rule in violations):
        return None, violations, Trail(StageClass.GENERATIVE, trail.enlargement, unjudged=True)

    if model is not None:
        if model.model_class > stage_class:
            detail = f"The stage says {stage_class.label}, its model's card says {model.model_class.label}."
            violations.append(builtin.CLASS_BELOW_MODEL.because(detail))
        # A stage may shrink again what its model enlarged, but the model's own factor counts.
        factor = max(factor, model.scale)
    result_class = max(trail.pixel_class, stage_class, model.model_class if model else stage_class)
    if result_class is StageClass.GENERATIVE and mode is not Mode.CREATIVE:
        violations.append(builtin.GENERATIVE_NEEDS_CREATIVE_MODE.because(_source_of_taint(trail)))
    elif result_class is StageClass.GENERATIVE and not acknowledged:
        violations.append(builtin.GENERATIVE_NEEDS_ACKNOWLEDGEMENT.because(_source_of_taint(trail)))
    # Shrinking gives no room back: what was enlarged before stays enlarged.
    enlargement = trail.enlargement * max(factor, Decimal(1))
    if enlargement >= _LARGEST:
        violations.append(builtin.MALFORMED_REQUEST.because("The enlargement in all is beyond any measure."))
        return None, violations, Trail(StageClass.GENERATIVE, trail.enlargement, unjudged=True)
    facts = StageFacts(
        stage=request.stage,
        stage_class=stage_class,
        result_class=result_class,
        learned=learned,
        scale=_rounded_up(factor),
        enlargement=_rounded_up(enlargement),
        model=model,
        numbers=numbers,
    )
    if learned and model is None:  # what a model without usable facts does to the pixels is unknown
        return facts, violations, Trail(StageClass.GENERATIVE, enlargement, unjudged=True)
    return facts, violations, Trail(result_class, enlargement, trail.unjudged)


def _source_of_taint(trail: Trail) -> str:
    if trail.pixel_class < StageClass.GENERATIVE:
        return "The stage is generative."
    if trail.unjudged:
        return "A stage before it cannot be judged, so the pixels it would work on count as generative."
    return "The pixels it would work on are generative."


def _numeric_parameters(parameters: object) -> tuple[dict[str, Decimal], list[RuleRef]]:
    if not isinstance(parameters, Mapping):
        return {}, [builtin.MALFORMED_REQUEST.because("The parameters are not a table of names and values.")]
    numbers, violations = {}, []
    for name, value in parameters.items():
        if not _is_text(name):
            violations.append(builtin.MALFORMED_REQUEST.because(f"The parameter name {name!r} is not text."))
        elif isinstance(value, Real) and not isinstance(value, bool):
            number = _number(value)
            if number is None:
                violations.append(builtin.MALFORMED_REQUEST.because(f"The parameter {name!r} is {value!r}."))
            else:
                numbers[name] = number.quantize(_STEP, ROUND_HALF_EVEN)
    return numbers, violations
