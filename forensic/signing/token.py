"""Keys on a PKCS#11 token (OASIS PKCS #11 v3.1): a smart card, an HSM, or SoftHSM2. The key never leaves it.

``token.toml`` says where the key is and holds no PIN. ``python-pkcs11`` is an optional extra
(``pkcs11``), loaded only when a token is used.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from forensic.errors import BadInput, ForensicError, StorageFailed, UsageError, VerificationFailed
from forensic.hashes import sha256_bytes
from forensic.signing.certificate import Certificate, PublicKey, public_key_id, signature_by_key_is_valid

TOKEN_FILE = "token.toml"  # noqa: S105 - a file name
MODULE_VARIABLE = "FORENSIC_PKCS11_MODULE"
_COORDINATE = 32  # bytes of r and of s on P-256
_FIELDS = ("module", "token_label", "token_serial", "key_label", "key_id")
_LONGEST = 4096
_HEX = re.compile(r"(?:[0-9a-f]{2})+")


@dataclass(frozen=True)
class TokenPlace:
    """Where a key is: the PKCS#11 module (a library), the token in it, the key on that.

    ``key_id`` is CKA_ID in hexadecimal. Empty fields are not compared; what the rest leaves must be
    one token and one key.
    """

    module: str
    token_label: str = ""
    token_serial: str = ""
    key_label: str = ""
    key_id: str = ""

    def __post_init__(self) -> None:
        values = [getattr(self, name) for name in _FIELDS]
        if not all(isinstance(value, str) and value.isprintable() for value in values):
            raise _unusable("its values must be text without control characters")
        if not Path(self.module).is_absolute():
            raise _unusable("module must be an absolute path")
        if not (self.token_label or self.token_serial) or not (self.key_label or self.key_id):
            raise _unusable("it must name the token (token_label or token_serial) and the key (key_label or key_id)")
        if self.key_id and not _HEX.fullmatch(self.key_id):
            raise _unusable("key_id must be lower-case hexadecimal digits, two per byte")

    def to_toml(self) -> str:
        """The text of ``token.toml``."""
        lines = [f"{name} = {_quoted(getattr(self, name))}\n" for name in _FIELDS if getattr(self, name)]
        return "# Where the key is. The PIN is asked for and stands nowhere.\n" + "".join(lines)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unusable(reason: str) -> BadInput:
    return BadInput("identity.token-file", f"Not a usable description of a token: {reason}.")


def read_token_description(path: Path) -> TokenPlace:
    """Read a ``token.toml`` strictly. Raises ``BadInput`` (``identity.token-file``), ``StorageFailed``."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_LONGEST + 1)
        values = tomllib.loads(data.decode("utf-8")) if len(data) <= _LONGEST else {}
    except OSError as error:
        raise StorageFailed("identity.storage", f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are
        raise _unusable(str(error)) from error
    if not set(values) <= set(_FIELDS) or "module" not in values:
        raise _unusable(f"it must have the key module and may have {', '.join(_FIELDS[1:])}, and no others")
    return TokenPlace(**values)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A P-256 key on a token, in a session that is logged in."""

    public_key: PublicKey
    key: Any = field(repr=False)
    protection: str = "token"

    def sign(self, data: bytes) -> bytes:
        """Sign ``data`` with CKM_ECDSA over its SHA-256; the token's ``r || s`` becomes a DER ECDSA-Sig-Value.

        Raises ``UsageError`` (``identity.token``) if the token does not sign.
        """
        import pkcs11

        try:
            raw = bytes(self.key.sign(bytes.fromhex(sha256_bytes(data)), mechanism=pkcs11.Mechanism.ECDSA))
        except pkcs11.exceptions.PKCS11Error as error:
            raise _problem(error, "sign") from error
        if len(raw) != 2 * _COORDINATE:
            raise UsageError("identity.token", f"The token returned a signature of {len(raw)} bytes, not 64.")
        r, s = (int.from_bytes(half, "big") for half in (raw[:_COORDINATE], raw[_COORDINATE:]))
        return encode_dss_signature(r, s)


def open_token(place: TokenPlace, pin: str, certificate: Certificate | None) -> TokenKey:
    """Log in to the token and find the key, which must prove to be that of ``certificate`` (if given).

    Without one the public key is read from the token. Raises ``UsageError`` (``identity.token-support``,
    ``identity.token-module``, ``identity.token``, ``identity.passphrase``), ``VerificationFailed``
    (``identity.mismatch``) and ``BadInput`` (``identity.algorithm``).
    """
    session = _session(place, pin)
    import pkcs11

    wanted: dict[str, Any] = {"label": place.key_label or None, "id": bytes.fromhex(place.key_id) or None}
    try:
        key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, key_type=pkcs11.KeyType.EC, **wanted)
        if certificate is None:
            public = session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, key_type=pkcs11.KeyType.EC, **wanted)
            public_key = _p256(pkcs11.util.ec.encode_ec_public_key(public))
        else:
            public_key = certificate.public_key()  # type: ignore[assignment]
    except pkcs11.exceptions.PKCS11Error as error:
        raise _problem(error, f"find the key {place.key_label or place.key_id!r}") from error
    found = TokenKey(public_key, key)
    challenge = secrets.token_bytes(32)
    if not signature_by_key_is_valid(public_key, found.sign(challenge), challenge):
        raise VerificationFailed(
            "identity.mismatch",
            "The key on the token is not the one that the certificate is about.",
            "Insert the right token, or correct token.toml.",
        )
    return found


def generate_on_token(place: TokenPlace, pin: str) -> str:
    """Make an ECDSA P-256 key on the token that cannot be read out; returns its ``public_key_id``.

    Raises ``UsageError`` (``identity.token…``, also if there is a key of that label or id already).
    """
    session = _session(place, pin, writable=True)
    import pkcs11

    name, number = place.key_label or None, bytes.fromhex(place.key_id) or secrets.token_bytes(8)
    try:
        template = {
            pkcs11.Attribute.LABEL: name,
            **({pkcs11.Attribute.ID: number} if place.key_id else {}),
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY,
        }
        if next(iter(session.get_objects({key: value for key, value in template.items() if value})), None):
            raise UsageError("identity.token-key-exists", "The token holds a key of that label and id already.")
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")},
            local=True,
        )
        public, _ = parameters.generate_keypair(
            store=True,
            id=number,
            label=name,
            mechanism=pkcs11.Mechanism.EC_KEY_PAIR_GEN,
            private_template={pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False},
        )
        return public_key_id(_p256(pkcs11.util.ec.encode_ec_public_key(public)))
    except pkcs11.exceptions.PKCS11Error as error:
        raise _problem(error, "make a key") from error
    finally:
        session.close()


def _p256(spki: bytes) -> PublicKey:
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput("identity.unreadable", "The public key on the token cannot be read.") from error
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        raise BadInput("identity.algorithm", "The key on the token is not ECDSA P-256.")
    return key


def _session(place: TokenPlace, pin: str, *, writable: bool = False) -> Any:
    try:
        import pkcs11
    except ImportError as error:
        raise UsageError(
            "identity.token-support",
            "The key is on a token, and python-pkcs11 is not installed.",
            "Install this program with its extra pkcs11.",
        ) from error
    _trust_module(Path(place.module))
    try:
        library = pkcs11.lib(place.module)
    except (RuntimeError, OSError) as error:  # PKCS11Error is a RuntimeError
        raise UsageError("identity.token-module", f"The module {place.module} cannot be loaded: {error}.") from error
    try:
        token = library.get_token(
            token_label=place.token_label or None, token_serial=place.token_serial.encode("utf-8") or None
        )
        try:
            return token.open(rw=writable, user_pin=pin)
        except pkcs11.exceptions.UserAlreadyLoggedIn:
            return token.open(rw=writable)  # this process has given the right PIN before
    except pkcs11.exceptions.PKCS11Error as error:
        raise _problem(error, f"open the token {place.token_label or place.token_serial!r}") from error


def _trust_module(module: Path) -> None:
    """Loading a library runs it. One that any user could have put there is loaded only if named in the environment.

    Otherwise a workspace from somebody else could bring its own "token". Raises ``UsageError``
    (``identity.token-module``).
    """
    try:
        real = module.resolve(strict=True)
        found = real.stat()
    except (OSError, RuntimeError) as error:
        raise UsageError("identity.token-module", f"There is no PKCS#11 module {module}.") from error
    system = hasattr(os, "getuid") and found.st_uid == 0 and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not system and os.environ.get(MODULE_VARIABLE) != str(module):
        raise UsageError(
            "identity.token-module",
            f"The PKCS#11 module {module} is not one that the system's administrator installed.",
            f"If you trust it, set {MODULE_VARIABLE} to exactly this path.",
        )


def _problem(error: Exception, what: str) -> ForensicError:
    import pkcs11.exceptions as faults

    if isinstance(error, faults.PinIncorrect | faults.PinInvalid | faults.PinLenRange | faults.ArgumentsBad):
        return UsageError(
            "identity.passphrase", "The PIN does not open the token.", "Try again; too many wrong PINs lock a token."
        )
    if isinstance(error, faults.PinLocked | faults.PinExpired):
        return UsageError("identity.token-locked", "The token's PIN is locked or has expired.", "See its manual.")
    words = str(error) or type(error).__name__
    return UsageError("identity.token", f"The token did not {what}: {words}.", "Check the token and token.toml.")
