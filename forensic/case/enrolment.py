"""Adding, certifying, rotating and revoking identities of a workspace. Every act is a ledger entry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from forensic.case.identities import (
    LIST_RECEIVED,
    NEXT,
    PINNED,
    RETIRED,
    REVOKED,
    KnownIdentity,
    folder_name,
    parse_utc,
)
from forensic.case.layout import WorkspaceLayout
from forensic.case.regularfile import JSON_LIMIT, read_regular
from forensic.case.storage import make_folder, storage, sync_folder
from forensic.case.workspace import Workspace, identity_folder, utc_now, utc_text
from forensic.errors import BadInput, UsageError, VerificationFailed
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.store import Ledger
from forensic.signing.authority import ROLES, list_facts
from forensic.signing.certificate import (
    Certificate,
    certificate_facts,
    certificate_pem,
    certified_title,
    common_name,
    read_certificate,
)
from forensic.signing.chain import (
    Authorities,
    list_is_of,
    read_certificates,
    read_revocation_list,
    revocation_list_pem,
    standing,
)
from forensic.signing.identity import (
    CERTIFICATE_FILE,
    CRL_FILE,
    Identity,
    create_identity,
    create_token_identity,
    install_certificate,
    load_identity,
    replace_file,
)
from forensic.signing.keyfile import is_encrypted, read_private_key, write_private_key
from forensic.signing.token import TokenPlace


def read_given(path: Path) -> bytes:
    """A certificate, request or list that the user names. Raises ``BadInput`` (``input.unreadable``)."""
    try:
        return read_regular(path.resolve(), JSON_LIMIT)
    except OSError as error:
        raise BadInput("input.unreadable", f"{path} cannot be read: {error.strerror or error}.") from error


def _introduction(identity: Identity, role: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "name": common_name(identity.certificate), "chain": identity.chain_pem, **more}


def add_identity(
    workspace: Workspace,
    *,
    name: str,
    lab: str | None,
    role: str,
    passphrase: str | None,
    token: TokenPlace | None = None,
) -> Identity:
    """Make a further identity in ``identities/NAME`` and let the present one introduce it.

    A folder that a kill left without its entry is taken up again if its key opens. Raises ``UsageError``
    (``identity.role``, ``identity.name``, ``identity.exists``).
    """
    if role not in ROLES:
        raise UsageError("identity.role", f"There is no role {role!r}.", f"Choose one of: {', '.join(ROLES)}.")
    folder = workspace.layout.further_identity(folder_name(name))
    make_folder(folder.parent)
    taken = [path.name for path in folder.parent.iterdir() if path.name.casefold() == folder.name.casefold()]
    if taken and taken != [folder.name]:
        raise UsageError("identity.exists", f"There is an identity called {taken[0]!r} already.")
    if folder.is_dir():
        identity = load_identity(folder, lambda: passphrase or "")
        if identity.key_id in workspace.identities.known:
            raise UsageError("identity.exists", f"There is an identity called {name!r} already.")
    else:
        names = {"examiner": name, "lab": lab or str(workspace.facts["lab"])}
        if token is not None:
            identity = create_token_identity(folder, token, passphrase or "", **names, now=utc_now())
        else:
            identity = create_identity(folder, **names, passphrase=passphrase, now=utc_now())
    workspace.ledger.introduce(identity.certificate_pem, **_introduction(identity, role))
    return identity


def import_certificate(workspace: Workspace, name: str | None, pem: bytes, chain: bytes) -> Identity:
    """Put an authority's certificate in place of the present one of the key that the workspace was opened with.

    The entry comes first; the files follow, and a repetition completes what a kill cut off. Raises
    ``VerificationFailed`` (``identity.mismatch``, ``identity.chain``), ``BadInput`` (``certificate.*``), ``UsageError``
    (``identity.role``: the certificate states another role than the ledger).
    """
    certificate = read_certificate(pem.replace(b"\r\n", b"\n"))
    above = read_certificates(chain)
    actor, folder = workspace.actor, identity_folder(workspace.layout, name)
    fresh = Identity(workspace.signer.signer, certificate, above)
    if fresh.key_id != actor.key_id:
        raise VerificationFailed(
            "identity.mismatch",
            "The certificate is about another key than this identity's.",
            "Request it with: forensic identity request",
        )
    title = certified_title(certificate)
    if title is not None and title != actor.role:
        raise UsageError(
            "identity.role", f"The certificate is for the role {title!r}, the identity has {actor.role!r}.",
            "Have it issued for the identity's role.",
        )  # fmt: skip
    if above:
        found = standing(certificate, above[:-1], Authorities((above[-1],)), utc_now())
        if found.fault:
            raise VerificationFailed(
                "identity.chain", f"The chain does not lead to its last certificate: {found.fault}."
            )
    if certificate != actor.certificate or above != actor.chain:
        workspace.ledger.introduce(fresh.certificate_pem, **_introduction(fresh, actor.role))
    install_certificate(folder, certificate, above, fresh.signer.public_key)
    return fresh


def import_revocation_list(
    workspace: Workspace, name: str | None, data: bytes, above: tuple[Certificate, ...] | None = None
) -> dict[str, object]:
    """Record an authority's revocation list and put it beside the identity's certificate.

    It must be of the pinned authority or of one in the identity's chain, and not older than the one known.
    ``above``: that chain where it has been imported since the workspace was opened; None for the one of then.
    Raises ``VerificationFailed`` (``authority.list``) and ``BadInput`` (``certificate.revocation-list``).
    """
    crl = read_revocation_list(data)
    register = workspace.identities
    issuers = [
        *(workspace.signer.chain if above is None else above),
        *([register.authority] if register.authority else []),
    ]
    if not any(list_is_of(crl, issuer) for issuer in issuers):
        raise VerificationFailed(
            "authority.list", "The list is not signed by the pinned authority nor by one that certified this identity."
        )
    facts = list_facts(crl)
    if any(known.issuer == crl.issuer and known.last_update_utc > crl.last_update_utc for known in register.lists):
        raise VerificationFailed("authority.list", f"The list of {facts['issued_utc']} is older than the one known.")
    pem = revocation_list_pem(crl)
    if not any(known == crl for known in register.lists):
        workspace.ledger.append(LIST_RECEIVED, {**facts, "list": pem})
    replace_file(identity_folder(workspace.layout, name) / CRL_FILE, pem.encode("ascii"))
    return facts


def pin_authority(workspace: Workspace, pem: bytes) -> LedgerEntry:
    """Name the laboratory's authority: from now on "certified" means certified by it.

    Raises ``BadInput`` (``certificate.unreadable``), ``UsageError`` (``authority.none``).
    """
    certificates = read_certificates(pem)
    if len(certificates) != 1:
        raise UsageError("authority.none", "Exactly one certificate of an authority is needed.")
    facts = certificate_facts(certificates[0])
    named = {name: facts[name] for name in ("subject", "certificate_sha256", "not_after")}
    return workspace.ledger.append(PINNED, {"certificate": certificate_pem(certificates[0]), **named})


def revoke_identity(workspace: Workspace, key: str, *, reason: str, since: str | None) -> KnownIdentity:
    """From the next entry on ``key`` (its id, or the beginning of it) signs nothing; ``since`` it is not trusted.

    Raises ``UsageError`` (``identity.unknown``, ``identity.since``, ``identity.revoke-own``, ``identity.revoked``).
    """
    register = workspace.identities
    matching = [one for identifier, one in register.known.items() if len(key) >= 8 and identifier.startswith(key)]
    if len(matching) != 1:
        raise UsageError("identity.unknown", f"No one key begins with {key!r}.", "See: forensic identity list")
    known = matching[0]
    if known.revoked is not None:
        raise UsageError("identity.revoked", f"Key {known.key_id} was revoked by entry {known.revoked.seq} already.")
    if known.key_id == workspace.signer.key_id:
        raise UsageError(
            "identity.revoke-own",
            "A key does not revoke itself: nobody could sign afterwards.",
            "Rotate first (forensic identity rotate), then revoke the former key.",
        )
    data = {"key_id": known.key_id, "reason": reason, "since_utc": None if since is None else _since(since)}
    workspace.ledger.append(REVOKED, data)
    return workspace.identities.known[known.key_id]


def _since(text: str) -> str:
    try:
        moment = parse_utc(text)
    except ValueError as error:
        raise UsageError(
            "identity.since", f"{text!r} is not a time: {error}.", "Write it like 2026-01-31T12:00:00Z."
        ) from error
    if moment > utc_now():
        raise UsageError("identity.since", f"{text} is in the future.")
    return utc_text(moment)


def rotate(
    workspace: Workspace, *, new_passphrase: Callable[[], str | None], token: TokenPlace | None = None
) -> Identity:
    """A new key for the examiner: the old one introduces it, the files change places, the new one retires the old.

    The old folder stays, under ``identities/retired-…``. The log's keys are protected by the new passphrase from
    then on. A rotation that a kill broke off is completed by the next opening, or by giving the command again.
    The workspace's ledger stays open with the old key and can write no more: close it.
    """
    layout, actor = workspace.layout, workspace.actor
    following = layout.further_identity(NEXT)
    make_folder(layout.identities)
    passphrase = new_passphrase()
    if following.is_dir():
        fresh = load_identity(following, lambda: passphrase or "")
    else:
        names = {"examiner": actor.name, "lab": str(workspace.facts["lab"])}
        if token is not None:
            fresh = create_token_identity(following, token, passphrase or "", **names, now=utc_now())
        else:
            fresh = create_identity(following, **names, passphrase=passphrase, now=utc_now())
    if fresh.key_id not in workspace.identities.known:
        more = _introduction(fresh, actor.role, replaces=actor.key_id)
        workspace.ledger.introduce(fresh.certificate_pem, **more)
    protection = passphrase if fresh.protection == "passphrase" else None
    _protect_log_keys(layout, workspace.passphrase, protection)
    kept = layout.further_identity(f"retired-{actor.key_id[:16]}")
    with storage(layout.identity, "exchanging"):
        layout.identity.rename(kept)
        following.rename(layout.identity)
        sync_folder(layout.root)
        sync_folder(layout.identities)
    with Ledger.open(layout.ledger, fresh) as ledger:
        data = {"key_id": actor.key_id, "reason": f"replaced by key {fresh.key_id}"}
        ledger.append(RETIRED, data | {"log_keys": log_key_protection(layout)})
    return fresh


def log_key_protection(layout: WorkspaceLayout) -> str | None:
    """How the log's and the witness's key files are protected: ``passphrase``, ``none``; None if there is neither.

    A token holds the examiner's key alone: it does not make the Ed25519 signatures of checkpoints.
    """
    found = [path for path in (layout.log_key, layout.witness_key) if path.is_file()]
    if not found:
        return None
    return "passphrase" if all(is_encrypted(path.read_bytes()) for path in found) else "none"


def _protect_log_keys(layout: WorkspaceLayout, old: Callable[[], str] | None, new: str | None) -> None:
    for path in (layout.log_key, layout.witness_key):
        if not path.is_file():
            continue
        pem = path.read_bytes()
        try:
            secret = old() if old is not None and is_encrypted(pem) else None
            key = read_private_key(pem, secret, str(path))
        except UsageError:  # a rotation that was broken off after this step
            key = read_private_key(pem, new, str(path))
        replace_file(path, write_private_key(key, new))


def described(workspace: Workspace, name: str | None) -> dict[str, Any]:
    """Certificate facts, role, state and standing of the identity in the examiner's folder, or of the one named."""
    folder = identity_folder(workspace.layout, name)
    certificate = read_certificate(read_given(folder / CERTIFICATE_FILE).replace(b"\r\n", b"\n"))
    facts: dict[str, Any] = {"folder": str(folder), **certificate_facts(certificate)}
    register = workspace.identities
    known = register.known.get(facts["key_id"])
    why_not = register.why_not_certified(facts["key_id"], utc_now())
    return {
        **facts,
        "name": common_name(certificate),
        "role": None if known is None else known.role,
        "state": "unknown to the ledger" if known is None else known.state,
        "certified": not why_not,
        "certified_detail": why_not,
    }
