"""C2SP signed notes: a text, and lines below it that sign it (https://c2sp.org/signed-note).

Two kinds of signature are known: plain Ed25519 (type 0x01), and the timestamped cosignature of a witness
(``cosignature/v1``, type 0x04, https://c2sp.org/tlog-cosignature). Nothing here reads or writes files. Stricter
than the specification where it leaves room: base64 and hexadecimal in their one form only, bounded sizes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from forensic.errors import BadInput, InternalError, VerificationFailed

MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 100
MAX_TIME = (1 << 63) - 1
"""Latest time that a cosignature may state, in POSIX seconds."""

_DASH = "— "
_HEX_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)
_ED25519_BYTES = 64
_TIME_BYTES = 8


class SignatureType(IntEnum):
    """Type bytes of the specification that this program knows."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name and use: what a *vkey* says (``name+hexid+base64``)."""

    name: str
    type: SignatureType
    public_key: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name) or len(self.public_key) != 32:
            raise InternalError("note.vkey", f"No verifier key can be made of the name {self.name!r}.")

    @property
    def id(self) -> bytes:
        """The key ID, 4 bytes: SHA-256(name || 0x0A || type || public key), shortened."""
        return hashlib.sha256(self.name.encode() + b"\n" + self._material).digest()[:4]

    @property
    def _material(self) -> bytes:
        return bytes([self.type]) + self.public_key

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self._material).decode('ascii')}"

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether ``signature`` (the bytes after the key ID) over the note text ``text`` is this key's."""
        message = text
        if self.type is SignatureType.COSIGNATURE:
            if len(signature) != _TIME_BYTES + _ED25519_BYTES:
                return False
            time = int.from_bytes(signature[:_TIME_BYTES], "big")
            if time > MAX_TIME:
                return False
            message, signature = _cosigned_message(time, text), signature[_TIME_BYTES:]
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: who says to have signed, with which key, and the signature itself."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line, with its line break."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode('ascii')}\n"

    @property
    def time(self) -> int | None:
        """For a signature of the length of a cosignature: the time it states, in POSIX seconds."""
        if len(self.signature) != _TIME_BYTES + _ED25519_BYTES:
            return None
        return int.from_bytes(self.signature[:_TIME_BYTES], "big")

    def is_by(self, key: VerifierKey) -> bool:
        """Whether it names ``key``; says nothing about its being valid."""
        return self.name == key.name and self.key_id == key.id


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note. ``text`` ends with a line break; nothing is verified yet."""

    text: bytes
    signatures: tuple[NoteSignature, ...]

    def to_bytes(self) -> bytes:
        """The note as it is stored and sent."""
        return self.text + b"\n" + "".join(signature.line for signature in self.signatures).encode()

    def signed_by(self, keys: Iterable[VerifierKey]) -> list[tuple[VerifierKey, NoteSignature]]:
        """The signatures by any of ``keys``, all of them valid; signatures by other keys are ignored.

        Raises ``VerificationFailed`` (``note.signature``) if one that names such a key does not hold, or two
        of ``keys`` have one name and key ID.
        """
        known: dict[tuple[str, bytes], VerifierKey] = {}
        for key in keys:
            if known.setdefault((key.name, key.id), key) != key:
                raise VerificationFailed("note.signature", f"Two different keys are called {key.name}+{key.id.hex()}.")
        found = []
        for signature in self.signatures:
            by = known.get((signature.name, signature.key_id))
            if by is None:
                continue
            if not by.verifies(self.text, signature.signature):
                raise VerificationFailed("note.signature", f"The signature by {by} does not match the note.")
            found.append((by, signature))
        return found

    def with_signatures(self, more: Iterable[NoteSignature]) -> Note:
        """The note with further signatures below; lines that it has already are not added again."""
        return Note(self.text, tuple(dict.fromkeys((*self.signatures, *more))))


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A private Ed25519 key under a name, for one use."""

    name: str
    type: SignatureType
    private_key: ed25519.Ed25519PrivateKey = field(repr=False)

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        raw = self.private_key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return VerifierKey(self.name, self.type, raw)

    def sign(self, text: bytes) -> NoteSignature:
        """Sign a note text (ends with a line break) as its author. Raises ``InternalError`` for a cosigner's key."""
        if self.type is not SignatureType.ED25519 or not text.endswith(b"\n"):
            raise InternalError("note.signer", "This key does not sign notes of its own.")
        return NoteSignature(self.name, self.verifier.id, self.private_key.sign(text))

    def cosign(self, text: bytes, time: int) -> NoteSignature:
        """Cosign a checkpoint's text as of ``time`` (POSIX seconds). Raises ``InternalError`` for an author's key."""
        if self.type is not SignatureType.COSIGNATURE or not 0 < time <= MAX_TIME or not text.endswith(b"\n"):
            raise InternalError("note.signer", "This key does not cosign notes, or not at this time.")
        stamp = time.to_bytes(_TIME_BYTES, "big")
        return NoteSignature(self.name, self.verifier.id, stamp + self.private_key.sign(_cosigned_message(time, text)))


def _cosigned_message(time: int, text: bytes) -> bytes:
    return b"cosignature/v1\ntime %d\n" % time + text


def is_key_name(name: str) -> bool:
    """Whether a key may be called so: not empty, no white space, no ``+``, no control characters, encodable."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return name != "" and "+" not in name and not any(c.isspace() or c < " " or c == "\x7f" for c in name)


def parse_vkey(text: str) -> VerifierKey:
    """Read a verifier key. Raises ``BadInput`` (``note.vkey``, ``note.vkey-type``)."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    material = _base64(encoded)
    if not is_key_name(name) or not _HEX_ID.fullmatch(key_id) or not material:
        raise BadInput("note.vkey", f"{text[:200]!r} is not a verifier key (name+id+key).", "Copy the whole line.")
    if hashlib.sha256(name.encode() + b"\n" + material).digest()[:4].hex() != key_id:
        raise BadInput("note.vkey", f"The verifier key {text[:200]!r} is misspelt: name, id and key do not match.")
    try:
        kind = SignatureType(material[0])
    except ValueError as error:
        raise BadInput(
            "note.vkey-type", f"The verifier key {text[:200]!r} is of type {material[0]:#04x}, which is not known here."
        ) from error
    if len(material) != 33:
        raise BadInput("note.vkey", f"The verifier key {text[:200]!r} does not hold a key of 32 bytes.")
    return VerifierKey(name, kind, material[1:])


def parse_note(data: bytes) -> Note:
    """Read a signed note strictly. Its signatures are not verified. Raises ``BadInput`` (``note.malformed``)."""
    if len(data) > MAX_NOTE_BYTES:
        raise _malformed(f"it is longer than {MAX_NOTE_BYTES} bytes")
    try:
        decoded = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed("it is not UTF-8") from error
    if any(character < " " and character != "\n" for character in decoded):
        raise _malformed("it holds control characters")
    text, separator, lines = decoded.rpartition("\n\n")
    if not separator:
        raise _malformed("no empty line stands before the signatures")
    return Note((text + "\n").encode(), parse_signature_lines(lines.encode()))


def parse_signature_lines(data: bytes) -> tuple[NoteSignature, ...]:
    """Read one or more signature lines, each with its line break. Raises ``BadInput`` (``note.malformed``)."""
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise _malformed("it is not UTF-8") from error
    if lines.pop() != "" or not lines:
        raise _malformed("it does not end with a whole signature line")
    if len(lines) > MAX_SIGNATURES:
        raise _malformed(f"it has more than {MAX_SIGNATURES} signatures")
    return tuple(_signature(line) for line in lines)


def _signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = _base64(encoded)
    if not line.startswith(_DASH) or not is_key_name(name) or raw is None or len(raw) < 5:
        raise _malformed("a line below the text is not a signature line")
    return NoteSignature(name, raw[:4], raw[4:])


def _base64(text: str) -> bytes | None:
    """Standard base64 in its one form, or None."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode("ascii") == text else None


def _malformed(reason: str) -> BadInput:
    return BadInput("note.malformed", f"Not a valid signed note: {reason}.")
