"""``verify`` and ``doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensic.cli.options import json_option, quiet_option, workspace_option, workspace_path
from forensic.cli.terminal import reporter, result, result_json
from forensic.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensic.case.verification.checks import Check, Verification


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--fingerprint", metavar="SHA256", help="Certificate that must have signed, got from the lab itself.")
@json_option
@quiet_option
def verify(paths: tuple[Path, ...], fingerprint: str | None, as_json: bool, quiet: bool) -> None:
    """Verify reports, run folders, workspaces, stills and records. Trusts nothing, writes nothing."""
    from forensic.case.verification.checks import Verdict

    results = _verified(paths, fingerprint, reporter(quiet).say)
    if as_json:
        records = [verification.to_record() for verification in results]
        result_json(records[0] if len(records) == 1 else records)
    else:
        for verification in results:
            _show(verification)
    if any(verification.verdict is Verdict.FAILED for verification in results):
        raise click.exceptions.Exit(1)


def _verified(paths: tuple[Path, ...], fingerprint: str | None, say: Callable[[str], None]) -> list[Verification]:
    """One result for every path. Bad usage only if nothing could be verified: else what is no material FAILED."""
    from forensic.case.verify import failed
    from forensic.case.verify import verify as verify_path

    results: list[Verification] = []
    misused: list[UsageError] = []
    for path in paths:
        try:
            results.append(verify_path(path, fingerprint=fingerprint, say=say))
        except UsageError as error:
            misused.append(error)
            results.append(failed(path, f"{error.code}: {error.message}"))
    if len(misused) == len(paths):
        raise misused[0]
    return results


def _show(verification: Verification) -> None:
    from forensic.case.verification.checks import NOT_PROVED

    result(f"{verification.kind} {verification.target}")
    for check, times in _folded(verification.checks):
        detail = f" ({check.detail})" if check.detail and times == 1 else ""
        title = check.title if times == 1 else f"{check.title.rpartition(': ')[2]} ({times} times)"
        result(f"  {'ok  ' if check.passed else 'FAIL'} {check.number:<3} {title}{detail}")
    for fingerprint, subject in sorted(verification.signers.items()):
        result(f"  signed by {subject}, certificate SHA-256 {fingerprint}")
    for item in verification.not_checked:
        result(f"  not checked: {item}")
    for item in NOT_PROVED:
        result(f"  not proved: {item}")
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
