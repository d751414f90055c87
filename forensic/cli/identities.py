"""``identity``: who may sign, and what vouches for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from forensic.cli.options import (
    TEXT,
    existing,
    existing_for_reading,
    json_option,
    new_key,
    quiet_option,
    token_option,
    workspace_option,
    workspace_path,
)
from forensic.cli.passphrases import passphrases
from forensic.cli.terminal import reporter, result, result_json, result_text

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_ROLES = click.Choice(["examiner", "reviewer"])
_as = click.option("--as", "name", type=TEXT, metavar="NAME", help="Further identity that is meant; else the examiner.")
_ca = click.option("--ca", "folder", type=_FOLDER, required=True, metavar="DIR", help="Folder of the authority.")


@click.group()
def identity() -> None:
    """Signing identities: keys, certificates, roles, the laboratory's authority."""


@identity.command("list")
@workspace_option
@json_option
def identity_list(workspace: Path | None, as_json: bool) -> None:
    """Everybody who may or might sign in this workspace, as its ledger says."""
    from forensic.case.workspace import utc_now

    with existing_for_reading(workspace) as opened:
        register = opened.identities
        records = []
        for known in register.known.values():
            why_not = register.why_not_certified(known.key_id, utc_now())
            records.append({**known.to_record(), "certified": not why_not, "certified_detail": why_not})
    if as_json:
        result_json(records)
        return
    for record in records:
        certified = "certified" if record["certified"] else f"not certified: {record['certified_detail']}"
        result(f"{record['name']}  {record['role']}, {record['state']}, {certified}")
        result(f"  key {record['key_id']}, introduced by entry {record['introduced']['seq']}")


@identity.command("show")
@click.argument("name", required=False, type=TEXT)
@workspace_option
@json_option
def identity_show(name: str | None, workspace: Path | None, as_json: bool) -> None:
    """The certificate of the examiner, or of the further identity NAME; needs no passphrase."""
    from forensic.case.enrolment import described

    with existing_for_reading(workspace) as opened:
        record = described(opened, name)
    if as_json:
        result_json(record)
        return
    for key, value in record.items():
        result(f"{key}: {value}")


@identity.command("add")
@click.option(
    "--name", "person", type=TEXT, required=True, metavar="NAME", help="The person; goes into the certificate."
)
@click.option("--role", type=_ROLES, default="reviewer", show_default=True)
@click.option("--lab", type=TEXT, metavar="NAME", help="Default: the workspace's laboratory.")
@token_option
@workspace_option
@json_option
@quiet_option
def identity_add(
    person: str,
    role: str,
    lab: str | None,
    token_file: Path | None,
    generate_key: bool,
    workspace: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a further identity, introduced by the examiner's.

    Asks for the examiner's passphrase, then for the new one.
    """
    from forensic.case.enrolment import add_identity

    with existing(workspace) as opened:
        passphrase, token = new_key(f"the key of {person}", token_file, generate_key)
        added = add_identity(opened, name=person, lab=lab, role=role, passphrase=passphrase, token=token)
    facts = {**added.facts(), "role": role, "name": person}
    if passphrase is None:
        reporter(quiet).say(f"The key of {person} is not protected: whoever can read it can sign as {person}.")
    if as_json:
        result_json(facts)
    else:
        result(f"{person}, {role}: key {added.key_id}")


@identity.command("request")
@_as
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Default: standard output.")
@workspace_option
def identity_request(name: str | None, out: Path | None, workspace: Path | None) -> None:
    """A certificate request (PKCS#10) for an existing key, to be brought to an authority."""
    from forensic.signing.authority import certificate_request

    with existing(workspace, name) as opened:
        text = certificate_request(opened.signer)
    _deliver(text, out)


def _deliver(text: str, out: Path | None) -> None:
    if out is None:
        result_text(text)
        return
    from forensic.case.copyout import write_out

    write_out(out, text.encode("utf-8"), [])
    result(str(out))


@identity.command("import")
@click.argument("certificate", required=False, type=_FILE, metavar="[CERT]")
@click.option("--chain", type=_FILE, metavar="PEM", help="Certificates above it, issuer first.")
@click.option("--crl", type=_FILE, metavar="FILE", help="The authority's revocation list.")
@_as
@workspace_option
@json_option
def identity_import(
    certificate: Path | None,
    chain: Path | None,
    crl: Path | None,
    name: str | None,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Put an authority's certificate beside an existing key; or record a newer revocation list, or both."""
    from forensic.case.enrolment import import_certificate, import_revocation_list, read_given

    if certificate is None and crl is None:
        raise click.UsageError("Name a certificate, or a revocation list with --crl.")
    outcome: dict[str, Any] = {}
    with existing(workspace, name) as opened:
        above = None
        if certificate is not None:
            fresh = import_certificate(
                opened, name, read_given(certificate), b"" if chain is None else read_given(chain)
            )
            outcome["certificate"], above = fresh.facts(), fresh.chain
        if crl is not None:
            outcome["revocation_list"] = import_revocation_list(opened, name, read_given(crl), above)
    if as_json:
        result_json(outcome)
        return
    for kind, facts in outcome.items():
        result(f"{kind}: {facts.get('subject') or facts.get('issuer')}")


@identity.command("pin-ca")
@click.argument("certificate", type=_FILE, metavar="PEM")
@workspace_option
@json_option
def identity_pin(certificate: Path, workspace: Path | None, as_json: bool) -> None:
    """Name the laboratory's authority: from now on only those whom it certified count as certified."""
    from forensic.case.enrolment import pin_authority, read_given

    with existing(workspace) as opened:
        entry = pin_authority(opened, read_given(certificate))
    if as_json:
        result_json({key: entry.data[key] for key in ("subject", "certificate_sha256", "not_after")})
    else:
        result(f"{entry.data['subject']}, certificate SHA-256 {entry.data['certificate_sha256']}")


@identity.command("rotate")
@token_option
@workspace_option
@json_option
@quiet_option
def identity_rotate(
    token_file: Path | None, generate_key: bool, workspace: Path | None, as_json: bool, quiet: bool
) -> None:
    """A new key for the examiner; the old one vouches for it and is retired.

    Asks for the old passphrase, then for the new one.
    """
    from forensic.case.enrolment import log_key_protection, rotate

    with existing(workspace) as opened:
        passphrase, token = new_key("the new signing key", token_file, generate_key)
        fresh = rotate(opened, new_passphrase=lambda: passphrase, token=token)
        exposed = log_key_protection(opened.layout) == "none"
    facts = fresh.facts()
    if exposed:
        reporter(quiet).say(
            "The keys of the log and the witness are not protected: whoever can read them can sign checkpoints and "
            "cosign those of others. A token does not hold them."
        )
    reporter(quiet).say(f"New certificate fingerprint (SHA-256): {facts['certificate_sha256']}")
    if as_json:
        result_json(facts)
    else:
        result(fresh.key_id)


@identity.command("revoke")
@click.argument("key", type=TEXT, metavar="KEYID")
@click.option("--reason", type=TEXT, required=True, metavar="TEXT")
@click.option(
    "--since", type=TEXT, metavar="UTC", help="Since when it is not to be trusted, like 2026-01-31T12:00:00Z."
)
@_as
@workspace_option
@json_option
def identity_revoke(
    key: str, reason: str, since: str | None, name: str | None, workspace: Path | None, as_json: bool
) -> None:
    """From now on the key KEYID (or its first 8 digits and more) signs nothing here."""
    from forensic.case.enrolment import revoke_identity

    with existing(workspace, name) as opened:
        record = revoke_identity(opened, key.lower(), reason=reason, since=since).to_record()
    if as_json:
        result_json(record)
    else:
        result(f"{record['name']}: key {record['key_id']} is revoked by entry {record['revoked']['seq']}")


@identity.command("remember")
@_as
@workspace_option
def identity_remember(name: str | None, workspace: Path | None) -> None:
    """Keep the passphrase in the keyring of this account; from then on it is looked up there."""
    from forensic.case.workspace import identity_folder
    from forensic.signing.keychain import remember

    with existing(workspace, name) as opened:
        folder = identity_folder(opened.layout, name)
        if opened.signer.protection == "none" or opened.passphrase is None:
            raise click.UsageError("This key has no passphrase.")
        remember(folder, opened.passphrase())
    result(f"remembered for {folder}")


@identity.command("forget")
@_as
@workspace_option
def identity_forget(name: str | None, workspace: Path | None) -> None:
    """Take the passphrase out of the keyring again."""
    from forensic.case.layout import WorkspaceLayout
    from forensic.case.workspace import identity_folder
    from forensic.signing.keychain import forget

    folder = identity_folder(WorkspaceLayout(workspace_path(workspace).absolute()), name)
    result(f"{'forgotten' if forget(folder) else 'was not remembered'}: {folder}")


@identity.command("ca-init")
@click.argument("folder", type=_FOLDER, metavar="DIR")
@click.option("--name", type=TEXT, required=True, metavar="NAME", help="Name of the authority, such as 'Lab 7 CA'.")
@json_option
@quiet_option
def authority_init(folder: Path, name: str, as_json: bool, quiet: bool) -> None:
    """Make a certificate authority for the laboratory in a folder of its own. Keep it apart from the workspaces."""
    from forensic.case.workspace import utc_now
    from forensic.signing.authority import create_authority

    passphrase = passphrases().new(f"the key of {name}")
    made = create_authority(folder, name=name, passphrase=passphrase, now=utc_now())
    facts = made.identity.facts()
    if passphrase is None:
        reporter(quiet).say("The authority's key is not protected: whoever can read it can certify anybody.")
    if as_json:
        result_json({"folder": str(folder), **facts})
    else:
        result(f"{facts['subject']}, certificate SHA-256 {facts['certificate_sha256']}")


@identity.command("issue")
@click.argument("request", type=_FILE, metavar="CSR")
@_ca
@click.option("--role", type=_ROLES, default="examiner", show_default=True, help="Goes into the certificate.")
@click.option("--days", type=click.IntRange(1, 3653), default=1095, show_default=True, metavar="N")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Default: standard output.")
def authority_issue(request: Path, folder: Path, role: str, days: int, out: Path | None) -> None:
    """Certify the key of a request. Whether the name on it is true, whoever holds the authority must know."""
    from forensic.case.enrolment import read_given
    from forensic.case.workspace import utc_now
    from forensic.signing.authority import issue, open_authority
    from forensic.signing.certificate import certificate_pem

    authority = open_authority(folder, lambda: passphrases().of(folder))
    issued = issue(authority, read_given(request), role=role, days=days, now=utc_now())
    _deliver(certificate_pem(issued), out)


@identity.command("crl")
@_ca
@click.option("--revoke", "serial", metavar="SERIAL", help="Serial number (hexadecimal) to put on the list.")
@click.option(
    "--reason",
    type=click.Choice(["unspecified", "key-compromise", "affiliation-changed", "superseded", "cessation-of-operation"]),
    default="unspecified",
)
@click.option(
    "--days", type=click.IntRange(1, 3653), default=90, show_default=True, metavar="N", help="Next list due in."
)
@json_option
def authority_list(folder: Path, serial: str | None, reason: str, days: int, as_json: bool) -> None:
    """Issue the authority's revocation list anew (DIR/crl.pem), with another certificate on it if one is named."""
    from forensic.case.workspace import utc_now
    from forensic.signing.authority import list_facts, open_authority, revoke

    authority = open_authority(folder, lambda: passphrases().of(folder))
    facts = list_facts(revoke(authority, serial, reason=reason, days=days, now=utc_now()))
    if as_json:
        result_json(facts)
    else:
        result(str(folder / "crl.pem"))
