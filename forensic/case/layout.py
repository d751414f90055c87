"""Where everything lies in a workspace and in a run folder.

No other module spells these names, but for ``recordednames``: those that a record may be about.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from forensic.case.plainfolders import AnchorFolder as AnchorFolder
from forensic.case.plainfolders import ExhibitFolder as ExhibitFolder
from forensic.case.plainfolders import WorkingFolder as WorkingFolder
from forensic.case.recordednames import FRAMES as FRAMES
from forensic.case.recordednames import GENERATIVE, mark
from forensic.case.recordednames import is_recorded_name as is_recorded_name
from forensic.case.recordednames import is_superseded_name as is_superseded_name
from forensic.frames.stageclass import StageClass

ATTESTATION = "attestation.json"
MANIFEST = "manifest.sha256"
REPORT = "report.pdf"
OUTPUT = "output.mkv"
GENERATIVE_OUTPUT = f"output.{GENERATIVE}.mkv"
REGIONS = "risk/regions.json"
RESULT = "result.json"
SUITE = "suite.toml"
CALIBRATION, REGISTRATION, RECORDINGS = "calibration.json", "registration.json", "recordings.csv"
CALIBRATION_FILES = (CALIBRATION, REGISTRATION, RECORDINGS, ATTESTATION)
"""What a laboratory's calibration consists of beside its report, in its own folder and in that of a run by it."""
INCOMPLETE = ".incomplete"
SCRATCH = ".scratch-"
INCOMING = ".incoming-"
WORKING = ".working-"
REFUSED = ".refused"


@dataclass(frozen=True)
class WorkspaceLayout:
    """Paths of a workspace rooted at ``root``."""

    root: Path

    @property
    def ledger(self) -> Path:
        """The custody ledger."""
        return self.root / "ledger.sqlite"

    @property
    def identity(self) -> Path:
        """Folder of the signing key and its certificate."""
        return self.root / "identity"

    @property
    def identities(self) -> Path:
        """Folder of further identities: reviewers, former keys."""
        return self.root / "identities"

    def further_identity(self, name: str) -> Path:
        """Folder of the further identity called ``name``."""
        return self.identities / name

    @property
    def log_key(self) -> Path:
        """Ed25519 key that signs checkpoints (PEM, protected as the identity is)."""
        return self.root / "log" / "key.pem"

    @property
    def witness_key(self) -> Path:
        """Ed25519 key that cosigns the checkpoints of others (PEM, protected as the identity is)."""
        return self.root / "log" / "witness.pem"

    @property
    def settings(self) -> Path:
        """The laboratory's settings for this workspace (TOML): timestamp authority."""
        return self.root / "settings.toml"

    @property
    def anchors(self) -> Path:
        """Folder of the checkpoints issued, a folder each."""
        return self.root / "anchors"

    def anchor(self, size: int) -> AnchorFolder:
        """Folder of the checkpoint over the first ``size`` entries."""
        return AnchorFolder(self.anchors / f"{size:010d}")

    def document_timestamp(self, sha256: str) -> Path:
        """RFC 3161 response about the document (a report) with this digest."""
        return self.root / "timestamps" / f"{sha256}.tsr"

    def refused_timestamp(self, sha256: str, number: int) -> Path:
        """What lay in the place of a timestamp over something with this digest, and was not taken for one."""
        return self.root / "timestamps" / f"{sha256}.{number}{REFUSED}"

    @property
    def disclosures(self) -> Path:
        """Folder of the bundles given out, and of their signed lists."""
        return self.root / "disclosures"

    def disclosed_statement(self, seq: int) -> Path:
        """Signed list of the bundle that entry ``seq`` issued, kept so that it can be written again."""
        return self.disclosures / f"{seq:010d}.bundle.json"

    @property
    def exhibits(self) -> Path:
        """Folder of the exhibits, content-addressed."""
        return self.root / "exhibits"

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.root / "runs"

    @property
    def validations(self) -> Path:
        """Folder of the validations, where no other place is named."""
        return self.root / "validations"

    @property
    def calibrations(self) -> Path:
        """Folder of the laboratory's own calibrations, where no other place is named."""
        return self.root / "calibrations"

    def name(self, path: Path) -> str:
        """How the ledger's entries name ``path``: relative to the workspace if inside, so that both can move.

        Where it really lies counts (:func:`real`).
        """
        place = real(path)
        for own in (self.validations, self.calibrations):  # each may be a link to another disk
            if place.parent == real(own):
                return f"{own.name}/{place.name}"
        root = real(self.root)
        return place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)

    def validation_named(self, name: str) -> Path:
        """The folder of a validation that an entry of the ledger calls ``name``.

        Entries of early 0.3.0 name it absolutely: where the workspace has moved since, it is looked for inside.
        """
        path = self.root / name  # an absolute name stays as it is
        moved = self.validations / path.name
        if path.parent.name != moved.parent.name or _begun(path):
            return path
        return moved if _begun(moved) else path

    def exhibit(self, sha256: str) -> ExhibitFolder:
        """Folder of the exhibit whose original has this digest."""
        return ExhibitFolder(self.exhibits / sha256)

    def incoming(self, attempt: str) -> ExhibitFolder:
        """The exhibit that acquisition ``attempt`` is making, renamed to its digest at the end."""
        return ExhibitFolder(self.exhibits / f"{INCOMING}{attempt}")

    def working(self, name: str) -> WorkingFolder:
        """Folder of a run or acquisition under way: lock, journal, reserve. Gone when it has ended."""
        return WorkingFolder(self.root / f"{WORKING}{name}")

    def run(self, run_id: str) -> RunFolder:
        """Folder of a finished run."""
        return RunFolder(self.runs / run_id)

    def incomplete_run(self, run_id: str) -> RunFolder:
        """Folder of a run under way, broken off, or finished in the ledger and not renamed yet."""
        return RunFolder(self.runs / f"{run_id}{INCOMPLETE}")


def real(path: Path) -> Path:
    """Where ``path`` really lies, whatever links and ``..`` are on the way; nothing need be there yet."""
    return Path(os.path.realpath(path))


def is_anchor_name(name: str) -> bool:
    """Whether a folder of a checkpoint may be called so: its size in ten digits, more only if it needs more."""
    return name.isascii() and name.isdigit() and len(name) <= 16 and int(name) > 0 and name == f"{int(name):010d}"


def _begun(folder: Path) -> bool:
    """Whether the folder is there, be it under the name that it has until it is finished."""
    return folder.exists() or folder.with_name(f"{folder.name}{INCOMPLETE}").exists()


@dataclass(frozen=True)
class SignedFolder:
    """Paths that a run and a validation have in common: record, report, and a list of all files."""

    root: Path

    @property
    def attestation(self) -> Path:
        """The signed record."""
        return self.root / ATTESTATION

    @property
    def report(self) -> Path:
        """The signed report."""
        return self.root / REPORT

    @property
    def manifest(self) -> Path:
        """Digests of all other files, for ``sha256sum -c``."""
        return self.root / MANIFEST

    def name(self, path: Path) -> str:
        """Name of a file as it stands in records: relative, forward slashes."""
        return path.relative_to(self.root).as_posix()

    def files(self) -> list[Path]:
        """All regular files and links below the folder, sorted by name."""
        return sorted((p for p in self.root.rglob("*") if not p.is_dir() or p.is_symlink()), key=self.name)


@dataclass(frozen=True)
class RunFolder(SignedFolder):
    """Paths of one run. ``generative``: its output shows generated detail; ``from_generative``: its exhibit did too.

    Files that show such detail are then named so; those of runs before 0.3.0 are not.
    """

    generative: bool = False
    from_generative: bool = False

    def holding(self, output: StageClass, exhibit: StageClass) -> RunFolder:
        """The folder for an output and an exhibit of these classes."""
        return RunFolder(self.root, output is StageClass.GENERATIVE, exhibit is StageClass.GENERATIVE)

    @property
    def output(self) -> Path:
        """The enhanced video."""
        return self.root / (GENERATIVE_OUTPUT if self.generative else OUTPUT)

    @property
    def outputs(self) -> tuple[Path, Path]:
        """Where the enhanced video may lie, of whatever class it is."""
        return self.root / OUTPUT, self.root / GENERATIVE_OUTPUT

    def output_named(self, name: object) -> Path:
        """The enhanced video of the record that calls it ``name``; no name leads elsewhere."""
        return self.root / (GENERATIVE_OUTPUT if name == GENERATIVE_OUTPUT else OUTPUT)

    @property
    def frames(self) -> Path:
        """Frame manifest of the output."""
        return self.root / FRAMES

    @property
    def regions(self) -> Path:
        """Regions and statistics of the risk maps."""
        return self.root / REGIONS

    @property
    def policy(self) -> Path:
        """Text of the policy that decided."""
        return self.root / "policy.cedar"

    @property
    def policy_schema(self) -> Path:
        """Schema that the policy was validated against."""
        return self.root / "policy.cedarschema"

    @property
    def recipe(self) -> Path:
        """The recipe as read; effective parameters stand in the record."""
        return self.root / "recipe.toml"

    @property
    def notes(self) -> Path:
        """What stages measured frame by frame (weights, estimates), canonical JSON Lines."""
        return self.root / "notes.jsonl"

    @property
    def stills(self) -> Path:
        """Folder of the stills."""
        return self.root / "stills"

    @property
    def risk(self) -> Path:
        """Folder of the risk maps."""
        return self.root / "risk"

    def superseded_report(self, number: int) -> Path:
        """A report replaced by a reissue."""
        return self.root / f"report-superseded-{number}.pdf"

    def superseded_reports(self) -> list[Path]:
        """The replaced reports that lie in the folder, and nothing that is merely called alike."""
        return sorted(path for path in self.root.glob("report-superseded-*.pdf") if is_superseded_name(path.name))

    def still(self, frame: int) -> Path:
        """Enhanced still of a frame."""
        return self.stills / f"{frame:06d}{mark(self.generative)}.png"

    def source_still(self, frame: int) -> Path:
        """The same frame of the exhibit, untouched."""
        return self.stills / f"{frame:06d}.source{mark(self.from_generative)}.png"

    def labelled_source_still(self, frame: int) -> Path:
        """The frame of a generative exhibit whose pixels lacked the label; with it, it is no frame of the exhibit."""
        return self.stills / "labelled-source" / f"{frame:06d}{mark(self.from_generative)}.png"

    def beside_still(self, frame: int) -> Path:
        """Beside a generative still: the same input without what invents (``case.beside``)."""
        return self.stills / "beside" / f"{frame:06d}.png"

    def risk_map(self, frame: int) -> Path:
        """Risk in 1/256 grey level, 16-bit."""
        return self.risk / f"{frame:06d}.risk.png"

    def level_map(self, frame: int) -> Path:
        """LOW, MEDIUM, HIGH, not assessed."""
        return self.risk / f"{frame:06d}.level.png"

    def invention_map(self, frame: int) -> Path:
        """Where a generative stage invents; it shows marks and no picture."""
        return self.risk / f"{frame:06d}.invented.png"

    def overlay(self, frame: int) -> Path:
        """Picture for the eye."""
        return self.risk / f"{frame:06d}.overlay{mark(self.generative)}.png"

    @property
    def calibration(self) -> CalibrationFolder:
        """The laboratory's own calibration that the risk maps were judged by, where there is one."""
        return CalibrationFolder(self.root / "calibration")

    @property
    def fusion(self) -> Path:
        """Folder of what a stage that combines frames tells of its pictures."""
        return self.root / "fusion"

    def combined(self, frame: int, kind: str) -> Path:
        """``weights``, ``effective`` number of frames, or the picture of the ``even`` or ``odd`` half of them."""
        return self.fusion / f"{frame:06d}.{kind}.png"


@dataclass(frozen=True)
class CalibrationFolder(SignedFolder):
    """Paths of a laboratory's own calibration."""

    @property
    def calibration(self) -> Path:
        """The artefact."""
        return self.root / CALIBRATION

    @property
    def registration(self) -> Path:
        """What was registered before anything was measured."""
        return self.root / REGISTRATION

    @property
    def recordings(self) -> Path:
        """The counts of every recording."""
        return self.root / RECORDINGS


@dataclass(frozen=True)
class ValidationFolder(SignedFolder):
    """Paths of one validation."""

    @property
    def result(self) -> Path:
        """The record as plain canonical JSON, for other programs."""
        return self.root / RESULT

    @property
    def suite(self) -> Path:
        """The suite as it was read."""
        return self.root / SUITE

    @property
    def master(self) -> Path:
        """The signed record that this one was compared with."""
        return self.root / "master.json"


def timestamp_beside(report: Path) -> Path:
    """RFC 3161 response about a report that is given out alone."""
    return report.with_name(f"{report.name}.tsr")


def sidecar(still: Path) -> Path:
    """The proof that belongs to a still."""
    return still.with_name(still.name + ".json")
