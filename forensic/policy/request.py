"""What a policy is asked: a stage with its facts, and the circumstances stated by the examiner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from forensic.frames.stageclass import StageClass


class Mode(StrEnum):
    """``forensic``: may be offered as evidence. ``creative``: no evidence, and labelled so."""

    FORENSIC = "forensic"
    CREATIVE = "creative"


class Purpose(StrEnum):
    """What the examiner says the output is for; ``unstated`` if nobody said."""

    UNSTATED = "unstated"
    INVESTIGATION = "investigation"
    EVIDENCE = "evidence"
    IDENTIFICATION = "identification"
    COMPARISON = "comparison"
    ILLUSTRATION = "illustration"
    VALIDATION = "validation"


@dataclass(frozen=True)
class Approval:
    """An approval recorded for the run, as the ledger holds it: entry ``seq`` with ``hash``.

    ``by`` names who gave it: the name on the certificate of the key ``key_id`` that signed the entry.
    ``role`` is the role under which the ledger introduced that key. ``certified``: the laboratory's authority
    vouches for key, name and role; ``certified_detail`` says why not. Without ``key_id`` it is a claim.
    """

    by: str
    role: str = ""
    note: str = ""
    key_id: str = ""
    certified: bool = False
    certified_detail: str = ""
    seq: int | None = None
    hash: str = ""


@dataclass(frozen=True)
class StageRequest:
    """One stage of a recipe, as it would be applied.

    ``stage_class`` may be text from outside: an unknown class is denied. ``scale`` is the linear
    scale factor (1.0 for no change of size). ``model`` holds the facts of the model card (``id``,
    ``version``, ``class``, ``scale``, ``weights_sha256``, ``card_sha256``, ``licence``) and
    ``digest_verified``, which only ``True`` itself satisfies. ``parameters`` are the effective
    parameters; policies see the numeric ones.
    """

    stage: str
    stage_class: StageClass | str
    learned: bool
    scale: float = 1.0
    model: Mapping[str, Any] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PolicyContext:
    """The circumstances of a run, as they go on the record.

    Mode, purpose and reason are the examiner's statements. Examiner, ``role`` and ``key_id`` are those of
    the key that signs, as the ledger introduced it; ``authority_pinned`` whether the ledger names a
    laboratory's authority that vouches for people.
    ``exhibit_class`` is the class that the exhibit's pixels already carry: ``presentation`` for a
    recording as acquired, higher where an earlier output is processed again. ``acknowledgement`` is what was
    typed, as it was typed; whether it is the sentence is found by whoever judges.
    """

    examiner: str
    lab: str = ""
    role: str = ""
    mode: str = Mode.FORENSIC
    purpose: str = Purpose.UNSTATED
    reason: str = ""
    approval: Approval | None = None
    recipe: str = ""
    exhibit_class: StageClass | str = StageClass.PRESENTATION
    key_id: str = ""
    authority_pinned: bool = False
    acknowledgement: str = ""
