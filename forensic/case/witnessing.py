"""The exchange with witnesses, both sides: what a log sends and takes back, and how this workspace cosigns others.

The messages are those of C2SP tlog-witness, carried as files. A witness keeps what it cosigned in its own
ledger; there it is under chain and signature like everything else, and is written before the answer leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forensic.case.anchors import IssuedCheckpoint, anchor_folders, cosignature_entries, store_cosignatures
from forensic.case.ending import record_end
from forensic.case.layout import AnchorFolder
from forensic.case.logkeys import log_lock, signer_for
from forensic.case.lognames import (
    COSIGNATURE_REFUSED,
    COSIGNED,
    EXPORTED,
    LOG,
    LOG_ACCEPTED,
    WITNESS,
    WITNESS_REFUSED,
    WITNESSED,
    time_text,
)
from forensic.case.regularfile import read_regular
from forensic.case.workspace import Workspace, utc_now
from forensic.errors import BadInput, ForensicError, UsageError, VerificationFailed
from forensic.hashes import sha256_bytes
from forensic.signing.checkpoint import (
    WitnessRequest,
    examine_request,
    parse_signed_checkpoint,
    parse_witness_request,
)
from forensic.signing.note import (
    MAX_NOTE_BYTES,
    NoteSignature,
    SignatureType,
    VerifierKey,
    parse_note,
    parse_signature_lines,
    parse_vkey,
)

MAX_REQUEST_BYTES = MAX_NOTE_BYTES
_KEPT_NOTE_BYTES = 1 << 16  # a refused note is kept in the ledger as proof, up to this length


# The log's side --------------------------------------------------------------------------------------------------


def cosigned_size(workspace: Workspace, witness: VerifierKey | None) -> int:
    """The largest size that ``witness`` (None: any witness) is known to have cosigned; 0 if there is none."""
    sizes = (
        entry.data.get("size")
        for entry in cosignature_entries(workspace.ledger)
        if witness is None or entry.data.get("witness") == str(witness)
    )
    return max((size for size in sizes if isinstance(size, int)), default=0)


def witness_request(
    workspace: Workspace, issued: IssuedCheckpoint, *, witness: VerifierKey | None, old: int | None
) -> WitnessRequest:
    """The request for ``issued``, from ``old``, else from the size that ``witness`` cosigned last; on the record.

    Raises ``UsageError`` (``witness.old-size``) for an old size beyond the checkpoint.
    """
    start = cosigned_size(workspace, witness) if old is None else old
    if not 0 <= start <= issued.size:
        raise UsageError("witness.old-size", f"The checkpoint has {issued.size} entries; {start} cannot come before.")
    proof = tuple(workspace.ledger.consistency_proof(start, issued.size)) if 0 < start < issued.size else ()
    request = WitnessRequest(start, proof, parse_signed_checkpoint(issued.note))
    facts = {"size": issued.size, "old_size": start, "sha256": sha256_bytes(request.to_bytes())}
    workspace.ledger.append(EXPORTED, {**facts, "witness": None if witness is None else str(witness)})
    return request


@dataclass(frozen=True)
class Imported:
    """A cosignature taken in. ``new`` is False if the ledger had it already."""

    size: int
    witness: VerifierKey
    time: int
    new: bool
    folder: AnchorFolder

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "size": self.size,
            "witness": str(self.witness),
            "time": self.time,
            "utc": time_text(self.time),
            "new": self.new,
        }


def known_witnesses(workspace: Workspace) -> list[VerifierKey]:
    """The witnesses whose cosignatures the ledger holds."""
    texts = dict.fromkeys(str(entry.data.get("witness")) for entry in cosignature_entries(workspace.ledger))
    return [parse_vkey(text) for text in texts]


def import_cosignatures(workspace: Workspace, data: bytes, witness: VerifierKey | None) -> list[Imported]:
    """Take in cosignature lines or a cosigned note, after checking them against ``witness`` (or known witnesses).

    Lines by others are ignored; one by such a witness that fits no checkpoint issued here is refused, on the
    record. Raises ``VerificationFailed`` (``cosignature.invalid``), ``BadInput`` (``note.malformed``,
    ``cosignature.unknown-witness``) and ``UsageError`` (``witness.key-type``).
    """
    if witness is not None and witness.type is not SignatureType.COSIGNATURE:
        raise UsageError("witness.key-type", f"{witness} is not a witness's key: its type is not cosignature/v1.")
    with log_lock(workspace.layout):
        try:
            return _import(workspace, data, witness)
        except (VerificationFailed, BadInput) as error:
            facts = {"code": error.code, "reason": error.message, "sha256": sha256_bytes(data)}
            record_end(workspace.ledger, COSIGNATURE_REFUSED, facts, error)
            raise


def _import(workspace: Workspace, data: bytes, witness: VerifierKey | None) -> list[Imported]:
    keys = list(dict.fromkeys([*([] if witness is None else [witness]), *known_witnesses(workspace)]))
    whole = parse_note(data) if b"\n\n" in data else None
    lines = parse_signature_lines(data) if whole is None else whole.signatures
    ours = [(key, line) for line in lines for key in keys if line.is_by(key)]
    if not ours:
        names = ", ".join(sorted({line.name for line in lines}))
        raise BadInput(
            "cosignature.unknown-witness",
            f"The file is signed by {names}; no witness known here is among them.",
            "Name the witness whose key you trust with --witness-key.",
        )
    accepted = []
    for key, line in ours:
        fits = _checkpoint_of(workspace, key, line, None if whole is None else whole.text)
        if fits is None or line.time is None or time_text(line.time) is None:
            raise VerificationFailed(
                "cosignature.invalid",
                f"The cosignature by {key.name} is not over any checkpoint issued here, or is damaged.",
                "Ask the witness again; nothing was stored.",
            )
        accepted.append((key, line, line.time, *fits))
    return [_store(workspace, *one) for one in accepted]


def _checkpoint_of(
    workspace: Workspace, key: VerifierKey, line: NoteSignature, text: bytes | None
) -> tuple[int, bytes] | None:
    """Size and root of the checkpoint issued here that ``line`` signs, newest first; ``text``: it must be this."""
    for folder in reversed(anchor_folders(workspace.layout)):
        if folder.checkpoint.exists():
            signed = parse_signed_checkpoint(read_regular(folder.checkpoint, MAX_NOTE_BYTES))
            if text in (None, signed.note.text) and key.verifies(signed.note.text, line.signature):
                return signed.checkpoint.size, signed.checkpoint.root
    return None


def _store(workspace: Workspace, key: VerifierKey, line: NoteSignature, time: int, size: int, root: bytes) -> Imported:
    text = line.line.rstrip("\n")
    new = all(
        (entry.data.get("size"), entry.data.get("signature")) != (size, text)
        for entry in cosignature_entries(workspace.ledger)
    )
    if new:
        facts = {"size": size, "root": root.hex(), "witness": str(key), "time": time, "utc": time_text(time)}
        workspace.ledger.append(COSIGNED, {**facts, "signature": text})
    return Imported(size, key, time, new, store_cosignatures(workspace, size))


# The witness's side ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cosigned:
    """What a witness answers: its signature line over a checkpoint of ``origin``."""

    origin: str
    old_size: int
    size: int
    root: bytes
    time: int
    witness: VerifierKey
    line: str

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "origin": self.origin,
            "old_size": self.old_size,
            "size": self.size,
            "root": self.root.hex(),
            "time": self.time,
            "utc": time_text(self.time),
            "witness": str(self.witness),
            "signature": self.line.rstrip("\n"),
        }


def witness_key(workspace: Workspace) -> VerifierKey:
    """This workspace's key as a witness, made and introduced if there is none yet."""
    with log_lock(workspace.layout):
        return signer_for(workspace, WITNESS).verifier


def cosign_request(
    workspace: Workspace,
    data: bytes,
    *,
    log_key: VerifierKey | None,
    accept_new_key: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> Cosigned:
    """Examine a log's request and cosign its checkpoint; what was cosigned is in this ledger before the answer.

    ``log_key`` is trusted for the log at its first request, later it must be the one recorded then, unless
    ``accept_new_key``. Every refusal is recorded, with the note that was refused. Raises ``BadInput``
    (``witness.request``, ``note.malformed``, …), ``UsageError`` (``witness.log-key-needed``, ``witness.key-type``,
    ``witness.own-log``) and ``VerificationFailed`` (as ``examine_request``, and ``witness.log-key-differs``).
    """
    with log_lock(workspace.layout):
        request = None
        try:
            request = parse_witness_request(data)
            return _cosign(workspace, request, log_key, accept_new_key, now)
        except (VerificationFailed, BadInput, UsageError) as error:
            record_end(workspace.ledger, WITNESS_REFUSED, _refusal(error, data, request), error)
            raise


def _cosign(
    workspace: Workspace,
    request: WitnessRequest,
    log_key: VerifierKey | None,
    accept_new_key: bool,
    now: Callable[[], datetime],
) -> Cosigned:
    checkpoint, text = request.signed.checkpoint, request.signed.note.text
    if checkpoint.origin == LOG.name(workspace.id):
        raise UsageError(
            "witness.own-log", "This is the workspace's own log: a witness must be somebody else.", "Ask another lab."
        )
    trusted, known = _trusted_log_key(workspace, checkpoint.origin, log_key, accept_new_key)
    before = _last_cosigned(workspace, checkpoint.origin)
    examine_request(request, trusted, before)
    signer = signer_for(workspace, WITNESS)
    time = int(now().timestamp())
    line = signer.cosign(text, time).line
    if trusted != known:
        facts = {"origin": checkpoint.origin, "vkey": str(trusted)}
        workspace.ledger.append(LOG_ACCEPTED, facts if known is None else {**facts, "replaces": str(known)})
    answer = Cosigned(
        checkpoint.origin, request.old_size, checkpoint.size, checkpoint.root, time, signer.verifier, line
    )
    kept = request.signed.note.to_bytes() if len(request.signed.note.to_bytes()) <= _KEPT_NOTE_BYTES else text
    workspace.ledger.append(WITNESSED, {**answer.to_record(), "log": str(trusted), "note": kept.decode()})
    return answer


def _trusted_log_key(
    workspace: Workspace, origin: str, given: VerifierKey | None, accept_new_key: bool
) -> tuple[VerifierKey, VerifierKey | None]:
    """The key to believe for ``origin``, and the one recorded before."""
    recorded = [
        str(entry.data.get("vkey"))
        for entry in workspace.ledger.entries(event=LOG_ACCEPTED)
        if entry.data.get("origin") == origin
    ]
    known = parse_vkey(recorded[-1]) if recorded else None
    chosen = given or known
    if chosen is None:
        raise UsageError(
            "witness.log-key-needed",
            f"{origin} was never witnessed here: its key must be named once, on purpose.",
            "Get the verifier key from that laboratory itself and give it with --log-key.",
        )
    if given is not None and (given.type is not SignatureType.ED25519 or given.name != origin):
        raise UsageError("witness.key-type", f"{given} is not a key by which {origin} signs its checkpoints.")
    if given is not None and known is not None and given != known and not accept_new_key:
        raise VerificationFailed(
            "witness.log-key-differs",
            f"{origin} was accepted with the key {known}, not with {given}.",
            "If that laboratory told you that it changed its key, give --accept-new-key too.",
        )
    return chosen, known


def _last_cosigned(workspace: Workspace, origin: str) -> tuple[int, bytes] | None:
    last = None
    for entry in workspace.ledger.entries(event=WITNESSED):
        if entry.data.get("origin") == origin:
            last = (int(entry.data["size"]), bytes.fromhex(entry.data["root"]))
    return last


def _refusal(error: ForensicError, data: bytes, request: WitnessRequest | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"code": error.code, "reason": error.message, "request_sha256": sha256_bytes(data)}
    if request is not None:
        checkpoint = request.signed.checkpoint
        facts |= {
            "origin": checkpoint.origin[:2000],
            "old_size": request.old_size,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
        }
        note = request.signed.note.to_bytes()
        if len(note) <= _KEPT_NOTE_BYTES:
            facts["note"] = note.decode()  # signed by the log: with another note it can prove a rewritten history
    return facts
