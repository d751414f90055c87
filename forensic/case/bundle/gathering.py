"""The files of a bundle's payload: what they are, where they come from, which digest each must have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic import resources
from forensic.case.anchors import anchor_folders, cosignature_entries
from forensic.case.bundle.selecting import Selection
from forensic.case.bundle.writing import Part
from forensic.case.filelist import read_manifest_file
from forensic.case.identities import IdentityRegister
from forensic.case.layout import AnchorFolder, SignedFolder, ValidationFolder
from forensic.case.regularfile import digest_regular, read_regular
from forensic.case.storage import create_file, is_regular
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform.bag import anchor_folder, proof_name
from forensic.case.verification.bundleform.certificates import certificate_files
from forensic.case.verification.bundleform.description import (
    ENDING,
    Disclosed,
    card_name,
    exhibit_folder,
    models_of,
    run_folder,
    validation_folder,
)
from forensic.case.verification.custody import Custody
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError, VerificationFailed
from forensic.hashes import canonical_json
from forensic.ledger.entry import LedgerEntry
from forensic.registry.cards import CARD_FILE
from forensic.registry.external.shelf import external_root
from forensic.signing.checkpoint import InclusionProof, SignedCheckpoint, WitnessRequest, parse_signed_checkpoint
from forensic.signing.note import MAX_NOTE_BYTES
from forensic.signing.statement import RUN_PREDICATE, verify_statement

_TIMESTAMP_LIMIT = 1 << 20


@dataclass(frozen=True)
class Anchored:
    """The checkpoint that the entries are proved under, and where it lies."""

    folder: AnchorFolder
    signed: SignedCheckpoint
    note: bytes

    @classmethod
    def read(cls, folder: AnchorFolder) -> Anchored:
        """Raises ``BadInput`` (``note.malformed``, ``checkpoint.malformed``) and ``OSError``."""
        note = read_regular(folder.checkpoint, MAX_NOTE_BYTES)
        return cls(folder, parse_signed_checkpoint(note), note)

    def with_cosignatures(self) -> SignedCheckpoint:
        """The note with the cosignatures received, or as issued where there are none."""
        if not is_regular(self.folder.cosigned):
            return self.signed
        return parse_signed_checkpoint(read_regular(self.folder.cosigned, MAX_NOTE_BYTES))


@dataclass
class Payload:
    """Gathers the parts of one bundle. ``scratch`` is a folder for what is made for it."""

    workspace: Workspace
    selection: Selection
    issued: LedgerEntry
    anchored: Anchored
    scratch: Path

    def disclosed(self) -> Disclosed:
        """The exhibits and runs that it is about."""
        custody, destroyed = Custody(), set()
        for entry in self._thread():
            custody.take(entry)
            if entry.event in ENDING and entry.exhibit is not None:
                destroyed.add(entry.exhibit)
        return Disclosed.of(self.issued, custody, frozenset(destroyed))

    def _thread(self) -> Iterator[LedgerEntry]:
        for seq in self.selection.thread:
            yield self.workspace.ledger.entry(seq)
        yield self.issued

    def parts(self, disclosed: Disclosed) -> list[Part]:
        """Every file of the payload. Raises ``VerificationFailed`` for material that is not what is on record."""
        return [
            *self._ledger(),
            *self._anchors(),
            *self._certificates(),
            *self._exhibits(disclosed),
            *(part for run_id, _ in disclosed.runs for part in self._run(run_id)),
            *(part for one in disclosed.validations for part in self._validation(one)),
            *self._models(disclosed),
        ]

    def _ledger(self) -> Iterator[Part]:
        ledger, cosigned = self.workspace.ledger, self.anchored.with_cosignatures()
        size = self.anchored.signed.checkpoint.size
        extract = self.scratch / "entries.jsonl"
        with create_file(extract) as stream:
            for seq in self.selection.numbers(self.issued.seq):
                entry, envelope = ledger.entry(seq), ledger.envelope(seq)
                stream.write(canonical_json({"entry": entry.canonical.decode(), "envelope": envelope.decode()}) + b"\n")
                proof = InclusionProof(seq - 1, tuple(ledger.inclusion_proof(seq, size)), cosigned)
                yield Part.of(proof_name(seq), proof.to_bytes())
        yield _made(names.ENTRIES, extract)
        yield Part.of(names.CHECKPOINT, self.anchored.note)
        yield from _beside(self.anchored.folder, names.COSIGNED, names.CHECKPOINT_TIMESTAMP)

    def _anchors(self) -> Iterator[Part]:
        """Every other checkpoint of this ledger, with the proof of consistency between it and the bundle's."""
        own = self.anchored.signed
        for folder in anchor_folders(self.workspace.layout):
            if folder.root == self.anchored.folder.root or not folder.checkpoint.exists():
                continue
            other = Anchored.read(folder)
            old, new = sorted((own, other.signed), key=lambda signed: signed.checkpoint.size)
            sizes = old.checkpoint.size, new.checkpoint.size
            proof = tuple(self.workspace.ledger.consistency_proof(*sizes))
            place = anchor_folder(other.signed.checkpoint.size)
            yield Part.of(f"{place}checkpoint", other.note)
            yield Part.of(f"{place}consistency", WitnessRequest(sizes[0], proof, new).to_bytes())
            yield from _beside(folder, f"{place}cosigned", f"{place}checkpoint.tsr")

    def witnesses(self) -> list[str]:
        """Verifier keys of all whose cosignatures the ledger says it received."""
        return sorted({str(entry.data.get("witness")) for entry in cosignature_entries(self.workspace.ledger)})

    def _certificates(self) -> Iterator[Part]:
        register = IdentityRegister.read(map(self.workspace.ledger.entry, self.selection.key_entries))
        for name, data in certificate_files(register).items():
            yield Part.of(name, data)

    def _exhibits(self, disclosed: Disclosed) -> Iterator[Part]:
        files = disclosed.exhibit_files()
        for acquired in {one.sha256: one for _, one in disclosed.exhibits}.values():
            source, place = self.workspace.layout.exhibit(acquired.sha256), exhibit_folder(acquired)
            for path in (source.original(acquired.suffix), source.frames, source.acquisition):
                if (name := f"{place}{path.name}") in files:
                    yield _recorded(name, files[name], path)

    def _run(self, run_id: str) -> Iterator[Part]:
        yield from self._signed(self.workspace.layout.run(run_id), f"Run {run_id}", run_folder(run_id))

    def _signed(self, folder: SignedFolder, what: str, place: str) -> Iterator[Part]:
        """A run or validation as it lies there, with the timestamps over its reports."""
        try:
            listed = read_manifest_file(folder.manifest)
        except (OSError, ValueError) as error:
            raise _changed(what, folder, f"its list of files cannot be read: {error}") from error
        present = {folder.name(path) for path in folder.files()} - {folder.manifest.name}
        if present != listed.keys():
            odd = ", ".join(sorted(present ^ listed.keys())[:5])
            raise _changed(what, folder, f"files are missing or added: {odd}")
        for name, digest in {**listed, folder.manifest.name: digest_regular(folder.manifest)}.items():
            yield _recorded(f"{place}{name}", digest, folder.root / name)
        yield from self._timestamps(folder, listed)

    def _validation(self, listed: dict[str, Any]) -> Iterator[Part]:
        completed = self.workspace.ledger.entry(listed["completed"])
        folder = ValidationFolder(self.workspace.layout.validation_named(str(completed.data["folder"])))
        yield from self._signed(folder, f"Validation {listed['id']}", validation_folder(listed["id"]))

    def _timestamps(self, folder: SignedFolder, listed: dict[str, str]) -> Iterator[Part]:
        for name, digest in listed.items():
            response = self.workspace.layout.document_timestamp(digest)
            if name.endswith(".pdf") and is_regular(response):
                yield Part.of(f"{names.TIMESTAMPS}{digest}.tsr", read_regular(response, _TIMESTAMP_LIMIT))

    def models(self, disclosed: Disclosed) -> list[dict[str, str]]:
        """The models that the runs' records name."""
        predicates: list[dict[str, Any]] = []
        for run_id, _ in disclosed.runs:
            data = read_regular(self.workspace.layout.run(run_id).attestation, 64 << 20)
            predicates.append(verify_statement(data, predicate_type=RUN_PREDICATE)[0].predicate)
        return models_of(predicates)

    def _models(self, disclosed: Disclosed) -> Iterator[Part]:
        """The cards of the models, where the very card of the run is still installed."""
        for (model_id, digest), path in self._cards(disclosed).items():
            if path is not None:
                yield _recorded(card_name(model_id), digest, path)

    def cards_missing(self, disclosed: Disclosed) -> list[dict[str, str]]:
        """The cards that do not go along: models of the runs (id, digest) whose very card is not installed here,
        nor enrolled in the models store of this command.
        """
        cards = self._cards(disclosed)
        return [{"id": one, "card_sha256": digest} for (one, digest), path in cards.items() if path is None]

    def _cards(self, disclosed: Disclosed) -> dict[tuple[str, str], Path | None]:
        """Where each card of the runs lies, by id and digest: of one id, several may have run, and one can lie here."""
        cards: dict[tuple[str, str], Path | None] = {}
        taken: set[str] = set()
        for key in sorted({(model["id"], model["card_sha256"]) for model in self.models(disclosed)}):
            model_id, digest = key
            places = [root / model_id / CARD_FILE for root in (resources.models_dir(), external_root())]
            cards[key] = next((path for path in places if digest_regular(path) == digest), None)
            if model_id in taken:  # the bag has one place for an id
                cards[key] = None
            elif cards[key] is not None:
                taken.add(model_id)
        return cards


def _beside(folder: AnchorFolder, cosigned: str, timestamp: str) -> Iterator[Part]:
    if is_regular(folder.cosigned):
        yield Part.of(cosigned, read_regular(folder.cosigned, MAX_NOTE_BYTES))
    if is_regular(folder.timestamp):
        yield Part.of(timestamp, read_regular(folder.timestamp, _TIMESTAMP_LIMIT))


def _recorded(name: str, sha256: str, path: Path) -> Part:
    """A file that is on record with this digest; it is held against it while it is copied."""
    try:
        return Part(name, sha256, path.lstat().st_size, path)
    except OSError as error:
        raise VerificationFailed(
            "bundle.source-changed",
            f"{path} cannot be read: {error.strerror}.",
            "Nothing was disclosed. Restore it, or verify the workspace: forensic verify DIR",
        ) from error


def _made(name: str, path: Path) -> Part:
    return Part(name, digest_regular(path), path.stat().st_size, path)


def _changed(what: str, folder: SignedFolder, reason: str) -> ForensicError:
    return VerificationFailed(
        "bundle.source-changed",
        f"{what} is not what was recorded: {reason}.",
        f"Nothing was disclosed. See: forensic verify {folder.root}",
    )
