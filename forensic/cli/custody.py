"""``init``, ``acquire`` and ``log``."""

from __future__ import annotations

from pathlib import Path

import click

from forensic.cli.options import (
    TEXT,
    existing_for_reading,
    existing_or_new,
    json_option,
    new_key,
    quiet_option,
    token_option,
    workspace_option,
    workspace_path,
)
from forensic.cli.terminal import reporter, result, result_json
from forensic.frames.stageclass import StageClass


@click.command()
@click.option("--examiner", type=TEXT, metavar="NAME", help="Who works here; goes into the certificate.")
@click.option("--lab", type=TEXT, metavar="NAME", help="Laboratory; goes into the certificate.")
@token_option
@workspace_option
@json_option
@quiet_option
def init(
    examiner: str | None,
    lab: str | None,
    token_file: Path | None,
    generate_key: bool,
    workspace: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Create a workspace: ledger and signing identity.

    At a terminal it asks for a passphrase that will protect the signing key, or for the PIN of the token.
    """
    from forensic.case.workspace import UNPROTECTED, create_workspace

    say = reporter(quiet)
    passphrase, token = new_key("the signing key", token_file, generate_key)
    with create_workspace(
        workspace_path(workspace),
        examiner=examiner,
        lab=lab,
        passphrase=passphrase,
        origin="forensic init",
        token=token,
    ) as created:
        facts = created.signer.facts()
        for default in created.facts["defaults"]:
            say.say(f"Default: {default}")
        if passphrase is None:
            say.say(UNPROTECTED)
        say.say(
            f"Certificate fingerprint (SHA-256), to be given to courts by another way: {facts['certificate_sha256']}"
        )
        if as_json:
            result_json({"workspace": str(created.layout.root), "id": created.id, "identity": facts})
        else:
            result(str(created.layout.root))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--case", "case", type=TEXT, required=True, metavar="ID", help="Case that the exhibit belongs to.")
@click.option(
    "--exhibit", "exhibit", type=TEXT, required=True, metavar="ID", help="Exhibit id, unique in the workspace."
)
@click.option("--note", type=TEXT, metavar="TEXT", help="Where it came from, seals, remarks.")
@workspace_option
@json_option
@quiet_option
def acquire(
    file: Path, case: str, exhibit: str, note: str | None, workspace: Path | None, as_json: bool, quiet: bool
) -> None:
    """Hash FILE, store a verified read-only copy, probe it, list every frame.

    FILE itself is only read.
    """
    from forensic.case.acquire import acquire as acquire_file

    say = reporter(quiet)
    with existing_or_new(workspace, "acquire", say) as opened:
        acquired = acquire_file(opened, file, case=case, exhibit_id=exhibit, note=note, progress=say)
        entry = acquired.entry
        if as_json:
            result_json({"exhibit": acquired.id, "case": acquired.case, "folder": str(acquired.folder.root), **entry})
            return
        result(f"exhibit    {acquired.id} (case {acquired.case})")
        result(f"sha256     {acquired.sha256}")
        if acquired.stage_class is not StageClass.PRESENTATION:
            reason = entry.get("stage_class_reason", "no reason on record")
            result(f"class      {acquired.stage_class.label}: {reason}")
        result(f"frames     {entry['frames']['count']}, Merkle root {entry['frames']['merkle_root']}")
        result("anomalies  " + (", ".join(f"{n} {kind}" for kind, n in entry["anomaly_counts"].items()) or "none"))
        result(str(acquired.folder.root))


@click.command()
@click.option("--case", type=TEXT, metavar="ID", help="Only entries about this case.")
@click.option("--exhibit", type=TEXT, metavar="ID", help="Only entries about this exhibit.")
@click.option("--run", "run_id", type=TEXT, metavar="ID", help="Only entries about this run.")
@workspace_option
@json_option
def log(case: str | None, exhibit: str | None, run_id: str | None, workspace: Path | None, as_json: bool) -> None:
    """The custody history, readable: what people did and what the program did by itself. Times are UTC."""
    from forensic.case.history import history

    with existing_for_reading(workspace) as opened:
        entries = history(opened, exhibit=exhibit, run=run_id, case=case)
        if as_json:
            result_json(list(entries))
            return
        for entry in entries:
            about = " ".join(str(entry[key]) for key in ("case", "exhibit", "run") if entry[key])
            result(f"{entry['seq']:>5}  {entry['utc']}  {entry['name']:<22} {about}")
            for line in (entry["summary"], entry["people"]):
                if line:
                    result(f"       {line}")
            result(f"       signed by {entry['actor']}")
