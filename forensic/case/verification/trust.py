"""What the person who verifies trusts, got by another way than the material itself.

Nothing in a workspace or bundle can add to it: a timestamp authority or witness that the material
brings along proves consistency, never trust.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trust:
    """All fields empty: the material is held against itself alone.

    ``fingerprint``: SHA-256 of the certificate that must have signed. ``tsa_roots``: PEM or DER
    certificates of timestamp authorities (roots). ``witnesses``: verifier keys (vkeys) of witnesses.
    ``log_keys``: vkeys of the ledger's own log. ``checkpoints``: signed notes kept elsewhere (a printed page,
    another laboratory) that the ledger must still agree with. ``authorities``: PEM certificates of
    laboratory certificate authorities.
    """

    fingerprint: str | None = None
    tsa_roots: tuple[bytes, ...] = ()
    witnesses: tuple[str, ...] = ()
    log_keys: tuple[str, ...] = ()
    checkpoints: tuple[bytes, ...] = ()
    authorities: tuple[bytes, ...] = ()


NOTHING = Trust()
