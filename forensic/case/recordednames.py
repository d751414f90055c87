"""Names that files of a run may have in a record, and what the names say."""

from __future__ import annotations

import re

FRAMES = "frames.jsonl"
GENERATIVE = "AI-GENERATED-NOT-EVIDENCE"
"""Stands in the name of every file of a run that shows generated detail."""
_MARKED = rf"(\.{GENERATIVE})?"
_RECORDED = re.compile(
    rf"output{_MARKED}\.mkv|(frames|notes)\.jsonl|recipe\.toml|policy\.cedar(schema)?|"
    rf"stills/[0-9]{{6,}}(\.source)?{_MARKED}\.png(\.json)?|stills/labelled-source/[0-9]{{6,}}{_MARKED}\.png|"
    rf"stills/beside/[0-9]{{6,}}\.png|risk/(regions\.json|[0-9]{{6,}}\.(risk|level|invented|overlay{_MARKED})\.png)|"
    rf"fusion/[0-9]{{6,}}\.(weights|effective|even|odd)\.png|"
    r"calibration/(calibration\.json|registration\.json|recordings\.csv|attestation\.json|report\.pdf)"
)
_HALF = re.compile(r"fusion/[0-9]{6,}\.(even|odd)\.png")
_SUPERSEDED = re.compile(r"report-superseded-[1-9][0-9]*\.pdf")


def mark(generative: bool) -> str:
    """What stands before the suffix of a file's name."""
    return f".{GENERATIVE}" if generative else ""


def says_generative(name: object) -> bool:
    """Whether the name of a file says that it shows generated detail."""
    return isinstance(name, str) and GENERATIVE in name.rpartition("/")[2].split(".")


def is_superseded_name(name: str) -> bool:
    """Whether ``name`` is exactly that of a replaced report: ``report-superseded-N.pdf``, N from 1."""
    return _SUPERSEDED.fullmatch(name) is not None


def is_half(name: str) -> bool:
    """Whether ``name`` is that of a split half of a fusion; frames of generative class have none."""
    return _HALF.fullmatch(name) is not None


def is_recorded_name(name: str) -> bool:
    """Whether a record may be about a file of this name: output, stills, maps, halves, recipe, policy, notes."""
    return _RECORDED.fullmatch(name) is not None
