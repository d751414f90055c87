"""What is registered of a calibration, and its record (docs/formats/calibration.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forensic import __version__
from forensic.case.calibrating.events import REGISTERED, course
from forensic.case.calibrating.pairs import Given
from forensic.case.calibrating.preparing import Preparation
from forensic.case.environment import environment
from forensic.case.workspace import Workspace, utc_now, utc_text
from forensic.errors import UsageError
from forensic.hashes import canonical_json
from forensic.ledger.entry import MAX_ENTRY_BYTES
from forensic.media import software_facts
from forensic.risk.calibration.alignment import LIMITS
from forensic.risk.calibration.artefact import QUANTILE, SUM, Calibration, Subject
from forensic.risk.calibration.binomial import fewest
from forensic.risk.calibration.criteria import METHOD, THRESHOLDS
from forensic.risk.calibration.drawn import described
from forensic.risk.calibration.independence import CALIBRATE, TEST, origins
from forensic.risk.calibration.quantisers import Stratum
from forensic.risk.calibration.software import versions_of
from forensic.risk.calibration.strata import CLAIMS
from forensic.risk.calibration.testing import DELTA, EPSILON
from forensic.signing.statement import CALIBRATION_PREDICATE

MOST_TOLD = 500
_REST_OF_ENTRY = 64 << 10  # what an entry has beside its data
_SIDES = ("reference_sha256", "degraded_sha256")
NOT_SHOWN = (
    "That any place in a picture is correct: the statements are about recordings, each taken as a whole.",
    "That the pairs are recordings of class S, drawn without choice, and that the references are true: that rests on "
    "the laboratory's word and records.",
    "Anything about recordings unlike the class in ways that the measured envelope does not see.",
    "Anything about another model, scale, precision, recipe or score.",
)


@dataclass(frozen=True)
class Method:
    """What decides about the result, settled before a pair is looked at. ``head_sha256``: of the learned score's."""

    recipe: str
    subject: Subject
    head_sha256: str | None
    recordings_class: str
    strata: tuple[Stratum, ...]
    test_share: float
    defaults: tuple[str, ...]
    deviations: tuple[str, ...]
    command: tuple[str, ...]

    @property
    def score(self) -> str:
        """Its name."""
        return SUM if self.head_sha256 is None else QUANTILE


@dataclass(frozen=True)
class Registered:
    """The registration: entry of the ledger and its data."""

    identifier: str
    seq: int
    hash: str
    utc: str
    data: dict[str, Any]


def registration(
    workspace: Workspace, identifier: str, method: Method, given: Given, found: Preparation, folder: str
) -> dict[str, Any]:
    """Lists, claims, strata and method, as ``calibration.registered`` holds them before anything is scored."""
    earlier = earlier_calibrations(workspace, method.subject)
    seen: set[str] = set().union(*(one.pop("origins") for one in earlier))
    units = [unit.to_record() for unit in found.units]
    data = {
        "calibration": identifier,
        "class": method.recordings_class,
        "recipe": method.recipe,
        "subject": method.subject.model_dump(mode="json"),
        "score": method.score,
        "head_sha256": method.head_sha256,
        "claims": [claim.model_dump(mode="json") for claim in CLAIMS],
        "epsilon": EPSILON,
        "delta": DELTA,
        "thresholds": list(THRESHOLDS),
        "strata": [one.to_record() for one in method.strata],
        "test_share": method.test_share,
        "regions": None if found.seed is None else described(found.seed),
        "method": METHOD,
        "alignment": dict(LIMITS),
        "given": {
            "by": given.named_by,
            "sha256": given.sha256,
            "pairs": len(given.pairs),
            "ignored": list(given.ignored),
        },
        "recordings": units,
        "merged": found.merged,
        "refused": list(found.refused),
        "earlier": earlier,
        "seen_before": sum(not seen.isdisjoint(origins(unit)) for unit in units),
        "software": {"forensic": __version__, **{key: str(value) for key, value in software_facts().items()}},
        "score_software": {"forensic": __version__, **versions_of(method.score, method.subject.precision)},
        "remarks": [],
        "defaults": list(method.defaults),
        "deviations": list(method.deviations),
        "command": list(method.command),
        "folder": folder,
    }
    size = len(canonical_json(data))
    if size > MAX_ENTRY_BYTES - _REST_OF_ENTRY:
        raise UsageError(
            "calibration.pairs", f"The lists take {size} bytes; an entry of the ledger holds {MAX_ENTRY_BYTES}.",
            "Give fewer pairs, or shorter names.",
        )  # fmt: skip
    return data


def refused_in_short(found: Preparation) -> dict[str, Any]:
    """Why pairs were refused, for the entry on a calibration that did not begin: how many for each code, and each pair
    with its reason, the first :data:`MOST_TOLD` of them."""
    return {
        "count": len(found.refused),
        "by_code": dict(sorted(Counter(str(one["code"]) for one in found.refused).items())),
        "first": list(found.refused[:MOST_TOLD]),
    }


def earlier_calibrations(workspace: Workspace, subject: Subject) -> list[dict[str, Any]]:
    """Every calibration of the same subject, of pictures or regions, that was registered here before, and how it ended.

    ``origins``: names, files and decoded pictures of its recordings, and the files of its refused pairs.
    """
    ends = course(workspace.ledger)
    wanted = subject.model_dump(mode="json", exclude={"region"})
    found = []
    for entry in workspace.ledger.entries(event=REGISTERED):
        if {name: value for name, value in entry.data["subject"].items() if name != "region"} == wanted:
            identifier = str(entry.data.get("calibration"))
            listed: set[str] = set().union(*(origins(one) for one in entry.data["recordings"]))
            for one in entry.data["refused"]:
                listed |= {f"file {digest}" for side in _SIDES if (digest := one[side]) is not None}
            found.append(
                {"calibration": identifier, "seq": entry.seq, "utc": entry.utc,
                 "end": ends.get(identifier, "registered, not completed"), "origins": listed}
            )  # fmt: skip
    return found


def expectations(method: Method, found: Preparation) -> list[str]:
    """What can come of it, for the person at the terminal, before the long part begins."""
    floor = fewest(EPSILON, DELTA / len(method.strata))
    lines = []
    for stratum in method.strata:
        counts = {which: _of(found, stratum.name, which) for which in (CALIBRATE, TEST)}
        told = f"{stratum.name}: {counts[CALIBRATE]} recordings to calibrate with, {counts[TEST]} held out"
        if counts[CALIBRATE] < floor:
            told += f"; fewer than the {floor} that zero failures need: there will be no LOW label here"
        lines.append(told)
    return lines


def _of(found: Preparation, stratum: str, which: str) -> int:
    return sum(
        unit.which == which and any(one.facts["stratum"] == stratum for one in unit.pairs) for unit in found.units
    )


def build_record(
    workspace: Workspace,
    registered: Registered,
    calibration: Calibration,
    engines: tuple[str, ...],
    seconds: float,
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The record that is signed together with the files of the calibration."""
    return {
        "schema": CALIBRATION_PREDICATE,
        "tool": {"name": "forensic", "version": __version__},
        "calibration": {
            "id": registered.identifier,
            "sha256": calibration.sha256,
            "low": calibration.has_low,
            "registered": {"seq": registered.seq, "hash": registered.hash, "utc": registered.utc},
            "finished_utc": utc_text(utc_now()),
            "duration_s": round(seconds, 3),
            "command": registered.data["command"],
        },
        **workspace.signing_facts(),
        "strata": [
            {"name": one.name, "n": one.n, "threshold": None if calibration.contradicted(one) else one.threshold,
             "refused": one.refused}
            for one in calibration.strata
        ],
        "refused": registered.data["refused"],
        "merged": registered.data["merged"],
        "earlier": registered.data["earlier"],
        "environment": environment(engines=engines),
        "deviations": registered.data["deviations"],
        "defaults": [*workspace.facts["defaults"], *registered.data["defaults"]],
        "warnings": [*workspace.warnings, *warnings],
        "not_shown": list(NOT_SHOWN),
    }  # fmt: skip
