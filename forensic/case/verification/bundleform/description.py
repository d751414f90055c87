"""What a bundle says about itself, derived from the ledger extract that it carries.

Writer and verifier derive it alike: the writer signs it in ``bundle.json``, the verifier compares. Light.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from forensic.case.acquired import AcquiredExhibit, parse_acquired
from forensic.case.custodyorder import DESTROYED, DESTRUCTION_STARTED
from forensic.case.verification.bundleform.bag import EXHIBITS, MODELS, RUNS, VALIDATIONS
from forensic.case.verification.bundleform.names import slug
from forensic.case.verification.custody import FINISHED, Custody, RunEntries
from forensic.frames.stageclass import StageClass
from forensic.ledger.entry import LedgerEntry

PREDICATE = "tag:forensic-tool,2026:bundle/v1"
INCLUDE, HASH_ONLY = "include", "hash-only"
LABEL = "AI-GENERATED DETAIL — NOT EVIDENCE"
UNFINISHED = "unfinished"
ENDING = frozenset({DESTRUCTION_STARTED, DESTROYED})
"""Events after which an exhibit's original is no longer disclosed."""
_MARK = "AI-GENERATED-NOT-EVIDENCE-"


@dataclass(frozen=True)
class Disclosed:
    """The exhibits and runs that a bundle is about. ``originals`` says whether their files are in it."""

    issued: LedgerEntry
    exhibits: tuple[tuple[LedgerEntry, AcquiredExhibit], ...]
    runs: tuple[tuple[str, LedgerEntry], ...]
    other_runs: tuple[tuple[str, str], ...]
    destroyed: frozenset[str]

    @classmethod
    def of(cls, issued: LedgerEntry, custody: Custody, destroyed: frozenset[str]) -> Disclosed:
        """From the ``bundle.issued`` entry and what the entries before it say.

        Raises ``VerificationFailed`` (``exhibit.record-invalid``) for an acquisition of another form.
        """
        exhibits = tuple((entry, parse_acquired(entry.data)) for entry in custody.exhibits)
        inside, others = [], []
        for run_id, run in sorted(custody.runs.items()):
            if run.finished and issued.run in (None, run_id):
                inside.append((run_id, run.finished[0]))
            else:
                others.append((run_id, _end(run)))
        return cls(issued, exhibits, tuple(inside), tuple(others), destroyed)

    @property
    def with_originals(self) -> bool:
        """Whether the originals go along."""
        return self.issued.data.get("originals") == INCLUDE

    @property
    def stage_class(self) -> StageClass:
        """Highest class of a run in it. Raises ``PolicyRefused`` (``class.unknown``)."""
        classes = [StageClass.parse(entry.data.get("stage_class")) for _, entry in self.runs]
        classes += [acquired.stage_class for _, acquired in self.exhibits]  # an exhibit may be generative itself
        return max(classes, default=StageClass.PRESENTATION)

    @property
    def generative(self) -> bool:
        """Whether it must be labelled as a whole."""
        return self.stage_class is StageClass.GENERATIVE

    @property
    def name(self) -> str:
        """Name of the bundle and of the folder inside its archive."""
        what = self.issued.run or f"case-{slug(self.issued.case or '')}"
        return f"{_MARK if self.generative else ''}bundle-{what}-{self.issued.seq:06d}"

    @property
    def summary(self) -> str:
        """One line of ASCII for ``bag-info.txt``."""
        counts = f"{len(self.exhibits)} exhibits, {len(self.runs)} finished runs, {len(self.other_runs)} other runs"
        label = "AI-GENERATED DETAIL, NOT EVIDENCE. " if self.generative else ""
        about = f"run {self.issued.run}" if self.issued.run else "a case"
        return f"{label}Disclosure of {about}: {counts}; originals: {self.issued.data.get('originals')}"

    @property
    def validations(self) -> list[dict[str, Any]]:
        """The validations that go along, as ``bundle.issued`` lists them; empty if none was asked for."""
        listed = self.issued.data.get("validations")
        return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []

    def original(self, entry: LedgerEntry, acquired: AcquiredExhibit) -> str | None:
        """Where an exhibit's original lies in the bag; None if it is not in it."""
        if not self.with_originals or entry.exhibit in self.destroyed:
            return None
        return f"{exhibit_folder(acquired)}original{acquired.suffix}"

    def exhibit_files(self) -> dict[str, str]:
        """Every file of the exhibits that must be in the bag, with its digest."""
        files = {}
        for entry, acquired in self.exhibits:
            folder = exhibit_folder(acquired)
            files[f"{folder}frames.jsonl"] = acquired.manifest_sha256
            files[f"{folder}acquisition.json"] = acquired.acquisition_sha256
            if (original := self.original(entry, acquired)) is not None:
                files[original] = acquired.sha256
        return files

    def record(self) -> dict[str, Any]:
        """The part of the predicate of ``bundle.json`` that follows from the extract."""
        issued = self.issued
        validations = {"validations": self.validations} if "validations" in issued.data else {}
        return {
            "schema": PREDICATE,
            "name": self.name,
            "scope": "run" if issued.run else "case",
            "case": issued.case,
            "exhibit": issued.exhibit,
            "run": issued.run,
            "issued": {"seq": issued.seq, "hash": issued.hash, "utc": issued.utc},
            "originals": issued.data.get("originals"),
            "stage_class": self.stage_class.label,
            "label": LABEL if self.generative else None,
            "exhibits": [
                {
                    "id": entry.exhibit,
                    "case": entry.case,
                    "sha256": acquired.sha256,
                    "size": acquired.size,
                    "original": self.original(entry, acquired),
                    "destroyed": entry.exhibit in self.destroyed,
                }
                for entry, acquired in self.exhibits
            ],
            "runs": [
                {
                    "id": run_id,
                    "exhibit": entry.exhibit,
                    "folder": run_folder(run_id),
                    "stage_class": entry.data.get("stage_class"),
                }
                for run_id, entry in self.runs
            ],
            "other_runs": [{"id": run_id, "end": end} for run_id, end in self.other_runs],
            **validations,
        }


def _end(run: RunEntries) -> str:
    return FINISHED if run.finished else run.end or UNFINISHED


def exhibit_folder(acquired: AcquiredExhibit) -> str:
    """Folder of an exhibit in the bag, with the slash."""
    return f"{EXHIBITS}{acquired.sha256}/"


def run_folder(run_id: str) -> str:
    """Folder of a run in the bag, with the slash."""
    return f"{RUNS}{run_id}/"


def validation_folder(validation: str) -> str:
    """Folder of a validation in the bag, with the slash."""
    return f"{VALIDATIONS}{validation}/"


def card_name(model_id: str) -> str:
    """Where a model's card lies in the bag."""
    return f"{MODELS}{model_id}/card.toml"


def is_original(name: str) -> bool:
    """Whether a file of the bag is an exhibit's original."""
    return name.startswith(EXHIBITS) and PurePosixPath(name).name.startswith("original")


def models_of(predicates: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The models that the records of runs name: id, digest of the card, digest of the weights; each pair once."""
    found = set()
    for predicate in predicates:
        for model in predicate.get("models") or []:
            found.add((str(model["id"]), str(model["card_sha256"]), str(model["weights_sha256"])))
    return [{"id": one, "card_sha256": card, "weights_sha256": weights} for one, card, weights in sorted(found)]
