"""``forensic custody``: who had an exhibit, from whom, to whom, when and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forensic.cli.options import TEXT, existing, existing_for_reading, json_option, quiet_option, workspace_option
from forensic.cli.terminal import reporter, result, result_json
from forensic.errors import UsageError

if TYPE_CHECKING:
    from forensic.case.custody import Circumstances
    from forensic.case.custodyorder import Standing
    from forensic.ledger.entry import LedgerEntry

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)


@click.group()
def custody() -> None:
    """Acts of custody: receive, access, export, transfer, acknowledge, return, destroy.

    Each is a signed ledger entry; what is refused or fails is one too.
    """


def _circumstances(*, reason: bool, source: bool = False, target: bool = False) -> Callable[[Command], Command]:
    """The options about who, when and why; ``reason`` says whether one must be given."""

    def decorate(command: Command) -> Command:
        options = [
            click.option("--when", metavar="TIME", type=TEXT, help="When it happened, ISO 8601 with its zone."),
            click.option("--reason", required=reason, metavar="TEXT", type=TEXT, help="Why."),
            click.option("--by", "by", metavar="PERSON", type=TEXT, help="Who did it, if not the signing examiner."),
            click.option("--by-org", metavar="NAME", type=TEXT, help="That person's organisation."),
            click.option("--seal", metavar="TEXT", type=TEXT, help="Seals and packaging, their numbers and state."),
            click.option("--location", metavar="TEXT", type=TEXT, help="Where it happened, or where it is kept."),
            click.option("--note", metavar="TEXT", type=TEXT, help="Anything else."),
        ]
        if source:
            options += [
                click.option("--from", "source", metavar="PERSON", type=TEXT, help="Who handed it over."),
                click.option("--from-org", metavar="NAME", type=TEXT, help="That person's organisation."),
            ]
        if target:
            options += [
                click.option("--to", "target", metavar="PERSON", type=TEXT, help="Who gets it."),
                click.option("--to-org", metavar="NAME", type=TEXT, help="That person's organisation."),
            ]
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _told(stated: dict[str, Any]) -> Circumstances:
    from forensic.case.custody import Circumstances, Party

    return Circumstances(
        when=stated["when"],
        reason=stated["reason"],
        source=Party(stated.get("source"), stated.get("from_org")),
        target=Party(stated.get("target"), stated.get("to_org")),
        by=Party(stated["by"], stated["by_org"]),
        seal=stated["seal"],
        location=stated["location"],
        note=stated["note"],
    )


def _show(entry: LedgerEntry, as_json: bool, last: str | Path | None = None, **more: Any) -> None:
    """The entry just written; ``last`` is the last line on stdout."""
    from forensic.case.history import summary

    if as_json:
        about = {"seq": entry.seq, "event": entry.event, "case": entry.case, "exhibit": entry.exhibit, "utc": entry.utc}
        data = {key: value for key, value in entry.data.items() if key != "statement"}
        result_json({**about, "entry_hash": entry.hash, **more, "data": data})
        return
    result(f"entry {entry.seq}  {entry.utc}  {entry.event}")
    result(f"  {summary(entry.event, entry.data)}")
    if last is not None:
        result(str(last))


@custody.command()
@click.argument("exhibit", type=TEXT)
@click.option("--case", metavar="ID", type=TEXT, help="Case; may be left out where the exhibit is known.")
@_circumstances(reason=False, source=True)
@workspace_option
@json_option
def receive(exhibit: str, case: str | None, workspace: Path | None, as_json: bool, **stated: Any) -> None:
    """Record that EXHIBIT came in. Needs --from. May come before the file is acquired."""
    from forensic.case.custody import receive as received

    with existing(workspace) as opened:
        _show(received(opened, exhibit, case, _told(stated)), as_json)


@custody.command()
@click.argument("exhibit", type=TEXT)
@_circumstances(reason=True)
@workspace_option
@json_option
def access(exhibit: str, workspace: Path | None, as_json: bool, **stated: Any) -> None:
    """Record that somebody had access to EXHIBIT. Runs and reproductions are recorded by themselves."""
    from forensic.case.custody import access as accessed

    with existing(workspace) as opened:
        _show(accessed(opened, exhibit, _told(stated)), as_json)


@custody.command()
@click.argument("exhibit", type=TEXT)
@click.option("--to", "place", required=True, type=_FILE, metavar="FOLDER|FILE", help="Where to; never overwritten.")
@click.option("--for", "target", metavar="PERSON", type=TEXT, help="Whom the copy is for.")
@click.option("--for-org", "to_org", metavar="NAME", type=TEXT, help="That person's organisation.")
@_circumstances(reason=True)
@workspace_option
@json_option
@quiet_option
def export(exhibit: str, place: Path, workspace: Path | None, as_json: bool, quiet: bool, **stated: Any) -> None:
    """Copy the working copy of EXHIBIT out, with its frame manifest and SHA-256, and read it back.

    The last line on stdout is the copy.
    """
    from forensic.case.copyout import export as exported

    with existing(workspace) as opened:
        done = exported(opened, exhibit, place, _told(stated), reporter(quiet))
        _show(done.entry, as_json, done.files[0], files=[str(file) for file in done.files])


@custody.command()
@click.argument("exhibit", type=TEXT)
@click.option("--out", required=True, type=_FILE, metavar="FILE", help="Where the signed statement goes.")
@click.option("--to-fingerprint", metavar="SHA256", type=TEXT, help="Certificate that is to acknowledge it.")
@_circumstances(reason=True, target=True)
@workspace_option
@json_option
def transfer(
    exhibit: str, out: Path, to_fingerprint: str | None, workspace: Path | None, as_json: bool, **stated: Any
) -> None:
    """Hand EXHIBIT on: sign a statement that goes with the file. Needs --to.

    The last line on stdout is the statement.
    """
    from forensic.case.transferring import transfer as transferred

    with existing(workspace) as opened:
        done = transferred(opened, exhibit, out, _told(stated), fingerprint=to_fingerprint)
        _show(done.entry, as_json, done.file, statement=str(done.file))


@custody.command()
@click.argument("statement", required=False, type=_FILE, metavar="[TRANSFER.json")
@click.argument("file", required=False, type=_FILE, metavar="FILE]")
@click.option("--out", type=_FILE, metavar="FILE", help="Receiver: where the signed acknowledgement goes.")
@click.option("--refuse", metavar="REASON", type=TEXT, help="Receiver: sign a refusal.")
@click.option("--import", "answer", type=_FILE, metavar="ACK.json", help="Sender: take in the receiver's answer.")
@click.option("--fingerprint", metavar="SHA256", type=TEXT, help="Certificate that must have signed it.")
@click.option("--on-paper", metavar="TEXT", type=TEXT, help="Sender: name, date, reference of a receipt on paper.")
@click.option("--exhibit", metavar="ID", type=TEXT, help="Exhibit that the paper is about.")
@click.option("--transfer", "transfer_id", metavar="ID", type=TEXT, help="Transfer that the paper is about.")
@_circumstances(reason=False)
@workspace_option
@json_option
@quiet_option
def acknowledge(
    statement: Path | None,
    file: Path | None,
    out: Path | None,
    refuse: str | None,
    answer: Path | None,
    fingerprint: str | None,
    on_paper: str | None,
    exhibit: str | None,
    transfer_id: str | None,
    workspace: Path | None,
    as_json: bool,
    quiet: bool,
    **stated: Any,
) -> None:
    """Acknowledge a transfer, as its receiver or as its sender.

    Receiver: TRANSFER.json FILE --out ACK.json hashes FILE and signs what was found.
    Sender: --import ACK.json, or --on-paper TEXT --exhibit ID for somebody without this program.
    Exit code 1 if the exhibit was not accepted.
    """
    from forensic.case import transferring

    ways = (statement is not None, answer is not None, on_paper is not None)
    if sum(ways) != 1:
        raise UsageError("custody.acknowledge", "Give TRANSFER.json and FILE, or --import, or --on-paper.")
    with existing(workspace) as opened:
        if statement is not None:
            if file is None or out is None:
                raise UsageError("custody.acknowledge", "The receiver gives TRANSFER.json, FILE and --out.")
            say = reporter(quiet)
            done = transferring.acknowledge(
                opened, statement, file, out, _told(stated), say, fingerprint=fingerprint, refuse=refuse
            )
        elif answer is not None:
            done = transferring.take_in(opened, answer, _told(stated), fingerprint=fingerprint)
        else:
            if exhibit is None:
                raise UsageError("custody.acknowledge", "A receipt on paper needs --exhibit.")
            done = transferring.note_paper(opened, exhibit, on_paper or "", _told(stated), transfer_id=transfer_id)
        _show(done.entry, as_json, done.file, accepted=done.accepted)
    if done.accepted is False:
        raise click.exceptions.Exit(1)


@custody.command("return")
@click.argument("exhibit", type=TEXT)
@_circumstances(reason=True, target=True)
@workspace_option
@json_option
def hand_back(exhibit: str, workspace: Path | None, as_json: bool, **stated: Any) -> None:
    """Record that EXHIBIT was given back. Needs --to. The working copy stays."""
    from forensic.case.custody import hand_back as returned

    with existing(workspace) as opened:
        _show(returned(opened, exhibit, _told(stated)), as_json)


@custody.command()
@click.argument("exhibit", type=TEXT)
@click.option("--confirm", required=True, metavar="SHA256", type=TEXT, help="12 or more first digits of its SHA-256.")
@_circumstances(reason=True)
@workspace_option
@json_option
def destroy(exhibit: str, confirm: str, workspace: Path | None, as_json: bool, **stated: Any) -> None:
    """Remove the working copy of EXHIBIT. Manifest, acquisition record and ledger stay."""
    from forensic.case.destruction import destroy as destroyed

    with existing(workspace) as opened:
        _show(destroyed(opened, exhibit, confirm, _told(stated)), as_json)


@custody.command("list")
@click.option("--case", metavar="ID", type=TEXT, help="Only exhibits of this case.")
@workspace_option
@json_option
def list_exhibits(case: str | None, workspace: Path | None, as_json: bool) -> None:
    """How it stands with every exhibit."""
    from forensic.case.custody import standings

    with existing_for_reading(workspace) as opened:
        found = {name: one for name, one in standings(opened).items() if case is None or one.case == case}
    if as_json:
        result_json([_record(name, standing) for name, standing in found.items()])
        return
    for name, standing in found.items():
        result(f"{name:<20} case {standing.case}: {standing.in_words}{_transfers(standing)}")


def _record(name: str, standing: Standing) -> dict[str, Any]:
    return {
        "exhibit": name,
        "case": standing.case,
        "sha256": standing.sha256,
        "standing": standing.in_words,
        "entries": {
            "received": standing.received,
            "acquired": standing.acquired,
            "returned": standing.returned,
            "destroyed": standing.destroyed,
        },
        "transfers": [
            {
                "transfer": key,
                "seq": sent.seq,
                "to": sent.data.get("to"),
                "acknowledged": standing.acknowledged[key].seq if key in standing.acknowledged else None,
            }
            for key, sent in standing.transfers.items()
        ],
    }


def _transfers(standing: Standing) -> str:
    if not standing.transfers:
        return ""
    answered = sum(key in standing.acknowledged for key in standing.transfers)
    return f", transferred {len(standing.transfers)} times, {answered} acknowledged"
