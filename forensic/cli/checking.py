"""``verify`` and ``doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forensic.cli.options import Command, json_option, quiet_option, workspace_option, workspace_path
from forensic.cli.terminal import reporter, result, result_json
from forensic.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensic.case.verification.checks import Check, Verification
    from forensic.case.verification.trust import Trust


_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def trust_options(command: Command) -> Command:
    """What the verifier trusts; read them with :func:`trust_from`."""
    for option in (
        click.option("--ca", multiple=True, type=_FILE, metavar="PEM", help="Laboratory's certificate authority."),
        click.option("--checkpoint", multiple=True, type=_FILE, metavar="FILE", help="Checkpoint that you kept."),
        click.option("--log-key", multiple=True, metavar="VKEY", help="The ledger's verifier key, got from the lab."),
        click.option("--witness", multiple=True, metavar="VKEY", help="Witness that you trust: its verifier key."),
        click.option(
            "--tsa-root", multiple=True, type=_FILE, metavar="PEM", help="Timestamp authority that you trust."
        ),
        click.option("--fingerprint", metavar="SHA256", help="Certificate that must have signed, got from the lab."),
    ):
        command = option(command)
    return command


def trust_from(given: dict[str, Any]) -> Trust:
    """The values of :func:`trust_options`."""
    from forensic.case.verification.trust import Trust

    return Trust(
        fingerprint=given["fingerprint"],
        tsa_roots=_contents(given["tsa_root"]),
        witnesses=given["witness"],
        log_keys=given["log_key"],
        checkpoints=_contents(given["checkpoint"]),
        authorities=_contents(given["ca"]),
    )


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@trust_options
@json_option
@quiet_option
def verify(paths: tuple[Path, ...], as_json: bool, quiet: bool, **trusted: Any) -> None:
    """Verify reports, run folders, workspaces, bundles, stills and records. Trusts nothing, writes nothing.

    What you trust you name yourself; without it a timestamp or witness is checked, but does not raise the verdict.
    """
    from forensic.case.verification.checks import Verdict

    results = _verified(paths, trust_from(trusted), reporter(quiet).say)
    if as_json:
        records = [verification.to_record() for verification in results]
        result_json(records[0] if len(records) == 1 else records)
    else:
        for verification in results:
            show_verification(verification)
    if any(verification.verdict is Verdict.FAILED for verification in results):
        raise click.exceptions.Exit(1)


def _contents(files: tuple[Path, ...]) -> tuple[bytes, ...]:
    from forensic.case.regularfile import JSON_LIMIT, read_regular

    try:
        return tuple(read_regular(file.resolve(), JSON_LIMIT) for file in files)
    except OSError as error:
        raise UsageError("verify.unreadable", f"{error.filename} cannot be read: {error.strerror}.") from error


def _verified(paths: tuple[Path, ...], trust: Trust, say: Callable[[str], None]) -> list[Verification]:
    """One result for every path. Bad usage only if nothing could be verified: else what is no material FAILED."""
    from forensic.case.verify import failed
    from forensic.case.verify import verify as verify_path

    results: list[Verification] = []
    misused: list[UsageError] = []
    for path in paths:
        try:
            results.append(verify_path(path, trust=trust, say=say))
        except UsageError as error:
            misused.append(error)
            results.append(failed(path, f"{error.code}: {error.message}"))
    if len(misused) == len(paths):
        raise misused[0]
    return results


def show_verification(verification: Verification) -> None:
    """Every check, who signed, what is not checked and not proved, and the verdict."""
    result(f"{verification.kind} {verification.target}")
    for check, times in _folded(verification.checks):
        detail = f" ({check.detail})" if check.detail and times == 1 else ""
        title = check.title if times == 1 else f"{check.title.rpartition(': ')[2]} ({times} times)"
        result(f"  {'ok  ' if check.passed else 'FAIL'} {check.number:<3} {title}{detail}")
    for fingerprint, subject in sorted(verification.signers.items()):
        result(f"  signed by {subject}, certificate SHA-256 {fingerprint}")
    for item in verification.not_checked:
        result(f"  not checked: {item}")
    for item in verification.not_proved:
        result(f"  not proved: {item}")
    for rung, shown_by in sorted(verification.reached.items()):
        result(f"  {rung.label.lower()}: {shown_by}")
    result(f"VERDICT: {verification.verdict.label}. {verification.verdict.meaning}")


def _folded(checks: list[Check]) -> list[tuple[Check, int]]:
    """Failed checks one by one; passed ones of one number in one line, at its first place."""
    folded: dict[object, tuple[Check, int]] = {}
    for place, check in enumerate(checks):
        key: object = check.number if check.passed else place
        first, times = folded.get(key, (check, 0))
        folded[key] = (first, times + 1)
    return list(folded.values())


@click.command()
@workspace_option
@json_option
def doctor(workspace: Path | None, as_json: bool) -> None:
    """What works on this machine, and versions."""
    from forensic.case.doctor import examine

    findings = examine(workspace_path(workspace))
    if as_json:
        result_json([finding.to_record() for finding in findings])
    else:
        for finding in findings:
            result(f"{finding.status:<5} {finding.name:<28} {finding.detail}")
    if any(finding.status == "FAIL" for finding in findings):
        raise click.exceptions.Exit(1)
