"""Checks on what stands beside the stills of a generative run: it is there, of the same frame, and not invented.

Without the exhibit nobody can tell whether the picture is what the recording gives: ``forensic reproduce`` makes it
again and compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from forensic.case.layout import RunFolder, is_recorded_name
from forensic.case.regularfile import STILL_LIMIT, read_regular
from forensic.case.verification.checks import Verification
from forensic.errors import ForensicError, PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.frames.still import Still, read_still
from forensic.media.label import shows_label

NOT_REMADE = (
    "that the pictures beside the generative stills are what the recording gives: forensic reproduce makes them"
)

_ENLARGEMENT = "resize", StageClass.GEOMETRIC  # what may stand for a generative stage; else nothing does
#: By generative stage, what of it invents nothing and has to stand for it, with all of its parameters but two.
_UNINVENTED = {"inpaint": ("fill-from-neighbours", StageClass.FIDELITY)}
_OF_THE_MODEL = frozenset({"model", "step"})


def _class(word: Any) -> StageClass | None:
    try:
        return StageClass.parse(word)
    except PolicyRefused:
        return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_due(predicate: dict[str, Any]) -> bool:
    """Whether the output is generative while the exhibit is not; a class that cannot be read counts as generative."""
    exhibit = _dict(predicate.get("exhibit")).get("stage_class", StageClass.PRESENTATION.label)
    output = _dict(predicate.get("output")).get("stage_class")
    return _class(output) in (None, StageClass.GENERATIVE) and _class(exhibit) not in (None, StageClass.GENERATIVE)


def misplaced(predicate: dict[str, Any]) -> Iterator[str]:
    """A7: what the record says of the pictures beside its stills that the rest of it contradicts."""
    told = predicate.get("beside")
    stills = [still for still in _list(predicate.get("stills")) if isinstance(still, dict)]
    if not _is_due(predicate):
        if any(still.get("beside") is not None for still in stills) or _dict(told).get("stages"):
            yield "pictures stand beside stills that are not generative or have no recording behind them"
        return
    if not isinstance(told, dict) or told.get("why_none") is not None:
        yield "nothing is said to stand beside the generative stills"
        return
    stage_class = _class(told.get("class"))
    if stage_class is None or stage_class >= StageClass.GENERATIVE or stage_class is not _due_class(predicate, told):
        yield f"what stands beside the generative stills cannot be of class {told.get('class')}"
    if not _agree(_list(told.get("stages")), _stages(predicate)):
        yield "what stands beside the generative stills was made by other stages than the recipe's"
    for still in stills:
        number = still.get("frame")
        if not isinstance(number, int) or still.get("beside") != f"stills/beside/{number:06d}.png":
            yield f"what stands beside the still of frame {number} is missing or another frame's"


def _stages(predicate: dict[str, Any]) -> list[dict[str, Any]]:
    return [_dict(stage) for stage in _list(_dict(predicate.get("recipe")).get("stages"))]


def _due_class(predicate: dict[str, Any], told: dict[str, Any]) -> StageClass | None:
    """The highest class among the exhibit and what was made of it beside the stills."""
    kept = [_class(stage.get("class")) for stage in _stages(predicate) if not _invents(stage)]
    exhibit = _class(_dict(predicate.get("exhibit")).get("stage_class", StageClass.PRESENTATION.label))
    stand_ins = dict([_ENLARGEMENT, *_UNINVENTED.values()])
    names = [_dict(entry).get("shown_as") for entry in _list(told.get("stages"))]
    standing = [stand_ins[name] for name in names if isinstance(name, str) and name in stand_ins]
    return max((one for one in (exhibit, *kept, *standing) if one is not None), default=None)


def _invents(stage: dict[str, Any]) -> bool:
    return _class(stage.get("class")) in (None, StageClass.GENERATIVE)


def _agree(shown: list[Any], stages: list[dict[str, Any]]) -> bool:
    """Whether every stage of the recipe is shown as itself, and one that invents as what of it does not, as enlargement
    or as nothing.
    """
    if len(shown) != len(stages):
        return False
    for position, (entry, stage) in enumerate(zip(shown, stages, strict=True), start=1):
        entry = _dict(entry)
        if (entry.get("position"), entry.get("name")) != (position, stage.get("name")):
            return False
        effective = {name: _dict(value).get("value") for name, value in _dict(stage.get("parameters")).items()}
        if _invents(stage):
            stands = _UNINVENTED.get(str(stage.get("name")))
            values = {name: value for name, value in effective.items() if name not in _OF_THE_MODEL}
            if stands is None and entry.get("shown_as") not in (None, _ENLARGEMENT[0]):
                return False
            if stands is not None and (entry.get("shown_as"), entry.get("parameters")) != (stands[0], values):
                return False
            continue
        if entry.get("shown_as") != stage.get("name") or entry.get("parameters") != effective:
            return False
    return True


def check_beside(verification: Verification, folder: RunFolder, predicate: dict[str, Any]) -> None:
    """S9, for every still of a run that owes a picture beside it. Their digests were checked before (A4, A7)."""
    if not _is_due(predicate):
        return
    wrong = []
    for still in _list(predicate.get("stills")):
        reason = _amiss(folder, _dict(still), _dict(predicate.get("beside")))
        if reason is not None:
            wrong.append(f"frame {_dict(still).get('frame')}: {reason}")
    verification.record(
        "S9", "what stands beside each generative still is its frame, and not invented", not wrong, "; ".join(wrong[:5])
    )
    verification.not_checked.append(NOT_REMADE)


def _amiss(folder: RunFolder, still: dict[str, Any], told: dict[str, Any]) -> str | None:
    """What is wrong with the picture beside ``still``, or None."""
    names = still.get("beside"), still.get("after")
    if not all(isinstance(name, str) and is_recorded_name(name) for name in names):
        return "there is none, or no still"
    try:
        shown, after = (read_still(read_regular(folder.root / str(name), STILL_LIMIT)) for name in names)
        if not shown.rgb_matches:
            return "its pixels do not follow from its planes"
        if shown.stage_class is StageClass.GENERATIVE or shown.stage_class.label != told.get("class"):
            return f"it is of class {shown.stage_class.label}, the record says {told.get('class')}"
        if (shown.timing, *_size(shown)) != (after.timing, *_size(after)):
            return "it has another time or size than the still"
        if shown.planes_sha256 == after.planes_sha256 or shows_label(shown.planes, shown.geometry, shown.colour):
            return "it is a generative picture"
    except OSError as error:
        return f"a picture cannot be read: {error.strerror}"
    except ForensicError as error:
        return f"a picture cannot be read: {error.message}"
    return None


def _size(still: Still) -> tuple[int, int]:
    return still.geometry.width, still.geometry.height
