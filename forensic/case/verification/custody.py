"""What an audited ledger says about exhibits and runs, read once; a run's record is compared with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forensic.case.acquired import parse_acquired
from forensic.case.interruptions import interruptions
from forensic.case.layout import INCOMPLETE, RunFolder
from forensic.case.regularfile import digest_regular
from forensic.case.verification.handling import Handling
from forensic.case.verification.records import at, exhibit_class
from forensic.case.verification.signers import Signing
from forensic.case.verification.timestamps import RECEIVED
from forensic.errors import ForensicError
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import ACQUIRED, INTERRUPTED, RESUMED, STARTED, TERMINAL
from forensic.ledger.reading import audited_entries

FINISHED = "run.finished"
VALIDATION = "validation."
CALIBRATION = "calibration."


@dataclass
class RunEntries:
    """What the ledger says about one run; ``end`` is the event that ended it, if any has."""

    started: bool = False
    begun: LedgerEntry | None = None
    end: str | None = None
    decided: list[LedgerEntry] = field(default_factory=list)
    finished: list[LedgerEntry] = field(default_factory=list)
    issued: list[LedgerEntry] = field(default_factory=list)
    breaks: list[LedgerEntry] = field(default_factory=list)


@dataclass
class Custody:
    """Exhibits in the order of their acquisition, and runs by their id."""

    exhibits: list[LedgerEntry] = field(default_factory=list)
    runs: dict[str, RunEntries] = field(default_factory=dict)
    handling: Handling = field(default_factory=Handling)
    signing: Signing = field(default_factory=Signing)
    timestamps: list[LedgerEntry] = field(default_factory=list)
    validations: dict[str, list[LedgerEntry]] = field(default_factory=dict)
    """All entries about a validation, by its id."""
    calibrations: dict[str, list[LedgerEntry]] = field(default_factory=dict)
    """All entries about a laboratory's own calibration, by its id."""
    complete: bool = True
    """Whether this is a whole ledger; False for an extract, from which entries are missing."""

    @classmethod
    def read(cls, ledger: Path) -> Custody:
        """Read a ledger that the audit has found sound. Raises as ``audited_entries`` does."""
        custody = cls()
        for entry in audited_entries(ledger):
            custody.take(entry)
        return custody

    def take_aside(self, entry: LedgerEntry) -> None:
        """Add what the next entry says about keys, custody and validations alone: it is about other exhibits."""
        self.handling.admit(entry)
        self.signing.admit(entry)
        if entry.event.startswith(VALIDATION) and isinstance(named := entry.data.get("validation"), str):
            self.validations.setdefault(named, []).append(entry)
        if entry.event.startswith(CALIBRATION) and isinstance(named := entry.data.get("calibration"), str):
            self.calibrations.setdefault(named, []).append(entry)

    def take(self, entry: LedgerEntry) -> None:
        """Add what the next entry says."""
        self.take_aside(entry)
        if entry.event == ACQUIRED:
            self.exhibits.append(entry)
        if entry.event == RECEIVED:
            self.timestamps.append(entry)
        if entry.run is not None:
            self._about_run(entry, self.runs.setdefault(entry.run, RunEntries()))

    @staticmethod
    def _about_run(entry: LedgerEntry, run: RunEntries) -> None:
        if entry.event == STARTED:
            run.started, run.begun = True, entry
        elif entry.event in TERMINAL:
            run.end = entry.event
        if entry.event == FINISHED:
            run.finished.append(entry)
        elif entry.event in (INTERRUPTED, RESUMED):
            run.breaks.append(entry)
        elif entry.event == "report.issued":
            run.issued.append(entry)
        elif entry.event == "policy.decided":
            run.decided.append(entry)

    def newest(self, run_id: str | None = None) -> int:
        """Number of the newest entry that brought evidence: an exhibit, the end of a run, a report; 0 if there is none.

        With ``run_id`` that of this run alone.
        """
        runs = self.runs.values() if run_id is None else [self.runs.get(run_id, RunEntries())]
        entries = [entry for run in runs for entry in (*run.finished, *run.issued)]
        return max((entry.seq for entry in (*entries, *(self.exhibits if run_id is None else ()))), default=0)

    def reports(self) -> set[str]:
        """SHA-256 of every report that was ever issued for a run, a validation or a calibration."""
        issued = [entry for run in self.runs.values() for entry in (*run.finished, *run.issued)]
        filed = (*self.validations.values(), *self.calibrations.values())
        completed = [entry for about in filed for entry in about]
        return {str(entry.data.get("report_sha256")) for entry in (*issued, *completed)}

    def is_dated(self, run_id: str) -> bool:
        """Whether the run ended when entries had format version 1, before records told the exhibit's history."""
        return all(entry.tree is None for entry in self.runs.get(run_id, RunEntries()).finished)

    def finished(self) -> set[str]:
        """Ids of the runs that finished."""
        return {run_id for run_id, run in self.runs.items() if run.finished}


def run_id_of(folder: RunFolder) -> str:
    """The run that a folder's name stands for, also while it is called incomplete."""
    return folder.root.name.removesuffix(INCOMPLETE)


def end_differences(custody: Custody, folder: RunFolder, predicate: dict[str, Any]) -> list[str]:
    """C2: where the files and the record differ from the ledger's entry on the run's end, or its latest report."""
    run = custody.runs.get(run_id_of(folder), RunEntries())
    if len(run.finished) != 1:
        return ["the ledger does not say that this run finished"]
    finished = run.finished[0].data
    latest = run.issued[-1].data if run.issued else finished
    pairs: list[tuple[str, Any, Any]] = [
        ("attestation.json", finished.get("attestation_sha256"), digest_regular(folder.attestation)),
        ("report.pdf", latest.get("report_sha256"), digest_regular(folder.report)),
        ("manifest.sha256", latest.get("manifest_sha256"), digest_regular(folder.manifest)),
        ("output", finished.get("output_sha256"), at(predicate, "output", "sha256")),
        ("output's Merkle root", finished.get("output_merkle_root"), at(predicate, "output", "frames", "merkle_root")),
        ("number of frames", finished.get("frames"), at(predicate, "output", "frames", "count")),
        ("class", finished.get("stage_class"), at(predicate, "output", "stage_class")),
    ]
    if "cost" in finished:  # absent in entries before 0.3.0
        pairs.append(("cost", finished["cost"], at(predicate, "run", "cost")))
    if run.begun is not None and "calibration" in run.begun.data:  # absent in entries before 0.3.0
        pairs.append(("calibration", run.begun.data["calibration"], at(predicate, "risk", "calibration", "sha256")))
    differ = [name for name, recorded, found in pairs if recorded != found]
    reports = [finished.get("report_sha256")]
    for issue in run.issued:
        reports += [at(issue.data, "superseded", "sha256"), issue.data.get("report_sha256")]
    return differ + [path.name for path in folder.superseded_reports() if digest_regular(path) not in reports]


def interruption_differences(custody: Custody, folder: RunFolder, predicate: dict[str, Any]) -> list[str]:
    """C4: interruptions that the record does not tell as the ledger does; frames taken over without any."""
    recorded = interruptions(custody.runs.get(run_id_of(folder), RunEntries()).breaks)
    claimed = at(predicate, "run", "interruptions") or []
    differ = [] if claimed == recorded else [f"the ledger has {len(recorded)}, the record does not tell them so"]
    if at(predicate, "run", "frames_reused") and not recorded:
        differ.append("frames taken over from a run that was never interrupted")
    return differ


def exhibit_differences(custody: Custody, folder: RunFolder, predicate: dict[str, Any]) -> list[str]:
    """C3: where the record's exhibit, case and policy decision are not those of the ledger."""
    exhibit_id, case = at(predicate, "exhibit", "id"), at(predicate, "case", "id")
    known = [entry for entry in custody.exhibits if (entry.case, entry.exhibit) == (case, exhibit_id)]
    if len(known) != 1:
        return ["the ledger does not know this exhibit in this case"]
    try:
        acquired = parse_acquired(known[0].data)
    except ForensicError as error:
        return [error.message]
    run = custody.runs.get(run_id_of(folder), RunEntries())
    exhibit = predicate["exhibit"]
    pairs: list[tuple[str, Any, Any]] = [
        ("SHA-256 of the exhibit", acquired.sha256, exhibit.get("sha256")),
        ("size of the exhibit", acquired.size, exhibit.get("size")),
        ("frames of the exhibit", acquired.frame_count, at(exhibit, "frames", "count")),
        ("Merkle root of the exhibit", acquired.merkle_root, at(exhibit, "frames", "merkle_root")),
        ("manifest of the exhibit", acquired.manifest_sha256, at(exhibit, "frames", "manifest_sha256")),
        ("class of the exhibit", acquired.stage_class.label, exhibit_class(predicate)),
        ("time of acquisition", known[0].utc, exhibit.get("acquired_utc")),
    ]
    if "acquisition_sha256" in exhibit:
        pairs.append(("acquisition record", acquired.acquisition_sha256, exhibit["acquisition_sha256"]))
    differ = [name for name, recorded, found in pairs if recorded != found]
    if [entry.data.get("decision") for entry in run.decided] != [predicate.get("policy")]:
        differ.append("policy decision")
    if any((entry.case, entry.exhibit) != (case, exhibit_id) for entry in (*run.decided, *run.finished)):
        differ.append("the run's own case and exhibit")
    return differ
