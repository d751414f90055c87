"""Whether what a record says of the held-out test of its shipped calibration agrees with itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from forensic.risk.calibration.laboratory import HeldOut

_WRONG = "the held-out numbers of the calibration"


def held_out_faults(cited: Any) -> Iterator[str]:
    """What is wrong with ``held_out`` of ``cited``, which is ``risk.calibration`` of a record; nothing without it.

    Records made before it was there have none. That the numbers are those of the table whose digest is named is not
    checked: the table is no file of the run.
    """
    told = cited.get("held_out") if isinstance(cited, dict) else None
    if told is None:
        return
    artefact = cited.get("artefact")
    if not isinstance(artefact, dict) or artefact.get("origin") != "shipped":
        yield f"{_WRONG} stand beside one that is not shipped"
    elif not isinstance(told, dict) or not isinstance(strata := told.get("strata"), list):
        yield f"{_WRONG} are not listed"
    elif (told.get("why_none") is None) == (not strata):
        yield f"{_WRONG} are neither there nor told to be missing"
    elif strata and told.get("pinned") not in (None, told.get("sha256")):
        yield f"{_WRONG} are those of a table that the model's card does not name"
    elif strata and not _agree(strata, artefact):
        yield f"{_WRONG} do not follow from their counts"


def _agree(strata: list[Any], artefact: dict[str, Any]) -> bool:
    try:
        found = [HeldOut.model_validate(one) for one in strata]
        names = [one["name"] for one in artefact["strata"]]
        claims = len(artefact["claims"])
    except (ValidationError, KeyError, TypeError):
        return False
    return [one.stratum for one in found] == names and all(len(one.failures) == claims for one in found)
