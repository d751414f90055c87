"""C2SP transparency-log texts: checkpoints, requests to a witness, inclusion proofs.

Sources: https://c2sp.org/tlog-checkpoint, tlog-cosignature, tlog-witness (``add-checkpoint``) and tlog-proof. The
trees are those of RFC 9162. Nothing here reads or writes files or knows the time: what was cosigned before comes
in as an argument, so that every rule can be tested alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forensic.errors import BadInput, InternalError, VerificationFailed
from forensic.hashes import EMPTY_ROOT, verify_consistency, verify_inclusion
from forensic.signing.note import Note, NoteSignature, NoteSigner, SignatureType, VerifierKey, parse_note

MAX_PROOF_LINES = 63
MAX_SIZE = (1 << 53) - 1
"""Largest size or index read: the largest integer of canonical JSON, in which sizes are recorded."""
PROOF_HEADER = "c2sp.org/tlog-proof@v1"

_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_HEX_ROOT = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's state: the root (32 bytes) over its first ``size`` entries. ``extensions`` are opaque further lines."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> bytes:
        """The note text that is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode("ascii"), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode()


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A note whose text is a checkpoint. Its signatures are not verified by reading it."""

    checkpoint: Checkpoint
    note: Note

    def require_log(self, keys: Iterable[VerifierKey]) -> VerifierKey:
        """The key among ``keys`` that signed as the log. Raises ``VerificationFailed`` (``note.signature``,
        ``checkpoint.unsigned``)."""
        log_keys = [key for key in keys if key.type is SignatureType.ED25519 and key.name == self.checkpoint.origin]
        signed = self.note.signed_by(log_keys)
        if not signed:
            raise VerificationFailed(
                "checkpoint.unsigned",
                f"The checkpoint of {self.checkpoint.origin} is not signed by a key known for this log.",
                "Compare the verifier key with the one that the laboratory gave you.",
            )
        return signed[0][0]

    def cosignatures(self, keys: Iterable[VerifierKey]) -> list[tuple[VerifierKey, NoteSignature]]:
        """Valid cosignatures by any of ``keys``. Raises ``VerificationFailed`` (``note.signature``)."""
        return self.note.signed_by(key for key in keys if key.type is SignatureType.COSIGNATURE)


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read the text of a checkpoint (all before the empty line). Raises ``BadInput`` (``checkpoint.malformed``)."""
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise _malformed("it is not UTF-8") from error
    if lines.pop() != "" or len(lines) < 3 or not all(lines):
        raise _malformed("it does not have at least three lines, none of them empty")
    if any(character < " " for line in lines for character in line):
        raise _malformed("it holds control characters")
    size, root = parse_number(lines[1]), parse_hash(lines[2])
    if size is None or root is None:
        raise _malformed("its second line is not a size or its third not a SHA-256 in base64")
    return Checkpoint(lines[0], size, root, tuple(lines[3:]))


def parse_signed_checkpoint(data: bytes) -> SignedCheckpoint:
    """Read a signed checkpoint. Raises ``BadInput`` (``note.malformed``, ``checkpoint.malformed``)."""
    note = parse_note(data)
    return SignedCheckpoint(parse_checkpoint(note.text), note)


def parse_kept_checkpoint(data: bytes) -> tuple[Checkpoint, Note | None]:
    """Read what somebody kept: a signed checkpoint, or its bare text as copied from paper.

    In a bare text the root may also be hexadecimal, in groups. Raises ``BadInput`` as the other readers do.
    """
    if b"\n\n" in data.strip(b"\n"):
        signed = parse_signed_checkpoint(data)
        return signed.checkpoint, signed.note
    try:
        lines = [line.strip() for line in data.decode("utf-8").strip().splitlines()]
    except UnicodeDecodeError as error:
        raise _malformed("it is not UTF-8") from error
    if len(lines) >= 3 and _HEX_ROOT.fullmatch(digits := "".join(lines[2:]).replace(" ", "").lower()):
        lines = [*lines[:2], base64.b64encode(bytes.fromhex(digits)).decode("ascii")]
    return parse_checkpoint("".join(f"{line}\n" for line in lines).encode()), None


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> Note:
    """The checkpoint as a note signed by its log. The signer MUST carry the log's name. Ed25519 is deterministic:
    the same checkpoint and key give the same bytes."""
    if signer.name != checkpoint.origin or parse_checkpoint(checkpoint.text()) != checkpoint:
        raise InternalError("checkpoint.signer", "A checkpoint is signed by its own log only, in its strict form.")
    return Note(checkpoint.text(), (signer.sign(checkpoint.text()),))


# Requests to a witness (tlog-witness, add-checkpoint) ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WitnessRequest:
    """What a log sends to a witness: the size that the witness cosigned last, the way from there, the checkpoint."""

    old_size: int
    proof: tuple[bytes, ...]
    signed: SignedCheckpoint

    def to_bytes(self) -> bytes:
        """The body of ``add-checkpoint``."""
        return b"old %d\n" % self.old_size + _hash_lines(self.proof) + b"\n" + self.signed.note.to_bytes()


def parse_witness_request(data: bytes) -> WitnessRequest:
    """Read a request. Raises ``BadInput`` (``witness.request``, ``note.malformed``, ``checkpoint.malformed``)."""
    head, separator, note = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise BadInput("witness.request", "Not a request to a witness: it does not begin with plain text.") from error
    old_size = parse_number(first.removeprefix("old "))
    if not separator or not first.startswith("old ") or old_size is None:
        raise BadInput("witness.request", "Not a request to a witness: it does not begin with an old size.")
    proof = _hashes(lines)
    if proof is None:
        raise BadInput(
            "witness.request", f"The consistency proof is not one of at most {MAX_PROOF_LINES} SHA-256 in base64."
        )
    signed = parse_signed_checkpoint(note)
    if old_size > signed.checkpoint.size:
        raise BadInput("witness.request", "The request's old size is larger than the checkpoint's.")
    return WitnessRequest(old_size, proof, signed)


def examine_request(request: WitnessRequest, log_key: VerifierKey, cosigned: tuple[int, bytes] | None) -> None:
    """Decide as a witness who trusts ``log_key`` and last cosigned ``cosigned`` (size, root) for this origin.

    Returns if the checkpoint may be cosigned. Raises ``VerificationFailed``: ``note.signature`` and
    ``checkpoint.unsigned`` (403 of tlog-witness), ``witness.split-view`` (the log signed two roots for one size),
    ``witness.conflict`` (409), ``witness.inconsistent`` (422).
    """
    checkpoint = request.signed.checkpoint
    request.signed.require_log([log_key])
    size, root = cosigned or (0, EMPTY_ROOT)
    if cosigned is not None and checkpoint.size == size and checkpoint.root != root:
        raise VerificationFailed(
            "witness.split-view",
            f"{checkpoint.origin} signed two different histories of {size} entries: root {root.hex()} was cosigned "
            f"before, root {checkpoint.root.hex()} is shown now.",
            "Both are signed by the log: together they prove that its history was rewritten. Keep them.",
        )
    if request.old_size != size:
        raise VerificationFailed(
            "witness.conflict",
            f"The request starts from size {request.old_size}, but this witness knows {checkpoint.origin} "
            f"with size {size}.",
            f"Export again from there: forensic anchor --export FILE --old {size}",
        )
    if not verify_consistency(size, checkpoint.size, request.proof, root, checkpoint.root):
        raise VerificationFailed(
            "witness.inconsistent",
            f"The checkpoint of size {checkpoint.size} does not contain the {size} entries that this witness "
            f"cosigned for {checkpoint.origin}: history was rewritten, or the proof is damaged.",
            "Nothing was cosigned. Ask the laboratory.",
        )


# Inclusion proofs (tlog-proof) ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That an entry (``index`` counts from 0) is in the tree of a checkpoint. ``extra`` is not authenticated."""

    index: int
    path: tuple[bytes, ...]
    signed: SignedCheckpoint
    extra: bytes | None = None

    def to_bytes(self) -> bytes:
        """The text of a ``.tlog-proof`` file."""
        extra = b"" if self.extra is None else b"extra %s\n" % base64.b64encode(self.extra)
        head = PROOF_HEADER.encode() + b"\n" + extra + b"index %d\n" % self.index
        return head + _hash_lines(self.path) + b"\n" + self.signed.note.to_bytes()

    def includes(self, leaf: bytes) -> bool:
        """Whether the checkpoint's tree has ``leaf`` (its data, not its hash) at this index."""
        checkpoint = self.signed.checkpoint
        return verify_inclusion(leaf, self.index, checkpoint.size, self.path, checkpoint.root)


def parse_inclusion_proof(data: bytes) -> InclusionProof:
    """Read a ``.tlog-proof``. Raises ``BadInput`` (``proof.malformed``, and as ``parse_signed_checkpoint``)."""
    head, separator, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise BadInput("proof.malformed", "Not an inclusion proof: it does not begin with plain text.") from error
    if not separator or lines.pop(0) != PROOF_HEADER:
        raise BadInput("proof.malformed", f"Not an inclusion proof: it does not begin with {PROOF_HEADER}.")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _strict_base64(lines.pop(0).removeprefix("extra "))
        if extra is None:
            raise BadInput("proof.malformed", "The inclusion proof's extra data are not strict base64.")
    index = parse_number(lines[0].removeprefix("index ")) if lines and lines[0].startswith("index ") else None
    path = _hashes(lines[1:])
    if index is None or path is None:
        raise BadInput("proof.malformed", "The inclusion proof's index or one of its hashes is malformed.")
    return InclusionProof(index, path, parse_signed_checkpoint(note), extra)


# Lines ------------------------------------------------------------------------------------------------------------


def parse_number(text: str) -> int | None:
    """A size or index: decimal, no leading zeros, at most ``MAX_SIZE``. None for anything else."""
    value = int(text) if _NUMBER.fullmatch(text) else None
    return value if value is not None and value <= MAX_SIZE else None


def parse_hash(text: str) -> bytes | None:
    """A SHA-256 in strict base64, or None."""
    data = _strict_base64(text)
    return data if data is not None and len(data) == 32 else None


def _hash_lines(hashes: Sequence[bytes]) -> bytes:
    return b"".join(base64.b64encode(digest) + b"\n" for digest in hashes)


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...] | None:
    found = [parse_hash(line) for line in lines[: MAX_PROOF_LINES + 1]]
    if len(found) > MAX_PROOF_LINES:
        return None
    hashes = tuple(digest for digest in found if digest is not None)
    return hashes if len(hashes) == len(found) else None


def _strict_base64(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode("ascii") == text else None


def _malformed(reason: str) -> BadInput:
    return BadInput("checkpoint.malformed", f"Not a valid checkpoint: {reason}.")
