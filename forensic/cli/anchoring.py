"""``anchor`` and ``witness``: checkpoints of the ledger, carried to others and cosigned for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensic.cli.options import TEXT, existing, json_option, quiet_option, workspace_option
from forensic.cli.terminal import reporter, result, result_json, result_text
from forensic.errors import BadInput, UsageError

if TYPE_CHECKING:
    from forensic.case.anchors import IssuedCheckpoint
    from forensic.case.progress import Progress
    from forensic.case.workspace import Workspace
    from forensic.signing.note import VerifierKey

_NEW_FILE = click.Path(path_type=Path, dir_okay=False)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--offline", is_flag=True, help="Fetch no timestamps.")
@click.option("--tsa", type=TEXT, metavar="URL", help="Timestamp authority; default: that of settings.toml.")
@click.option("--export", "export", type=_NEW_FILE, metavar="FILE", help="Write the request for a witness to FILE.")
@click.option("--for", "witness", type=TEXT, metavar="VKEY", help="With --export: the witness it is for.")
@click.option("--old", type=click.IntRange(min=0), metavar="SIZE", help="With --export: size that the witness knows.")
@click.option("--import", "cosigned", type=_FILE, metavar="FILE", help="Take in a witness's answer.")
@click.option("--witness-key", type=TEXT, metavar="VKEY", help="With --import: the witness whose key you trust.")
@click.option("--print", "page", is_flag=True, help="Print the checkpoint as a page for paper.")
@click.option("--new-key", is_flag=True, help="Introduce another log key: the old one is lost or no longer trusted.")
@workspace_option
@json_option
@quiet_option
def anchor(
    offline: bool,
    tsa: str | None,
    export: Path | None,
    witness: str | None,
    old: int | None,
    cosigned: Path | None,
    witness_key: str | None,
    page: bool,
    new_key: bool,
    workspace: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Issue a signed checkpoint over the ledger, fetch pending timestamps, and show what anchors the ledger.

    Give --export to send it to a witness and --import to take the answer in. Without a network nothing fails:
    what is missing is fetched next time.
    """
    _require_partners(export, witness, old, cosigned, witness_key, page, as_json)
    say = reporter(quiet)
    with existing(workspace) as opened:
        if cosigned is not None:
            _import(opened, cosigned, witness_key, say)
            _show(opened, None, [], as_json)
            return
        from forensic.case.anchors import issue_checkpoint

        issued = issue_checkpoint(opened, new_key=new_key)
        say.say(f"Checkpoint over {issued.size} entries " + ("issued." if issued.new else "stands, nothing new since."))
        if export is not None:
            _export(opened, issued, export, witness, old, say)
        fetched = [] if offline else _fetch(opened, tsa, say)
        if page:
            from forensic.case.anchorstate import anchor_state, printed_page

            result_text(printed_page(issued, anchor_state(opened)))
        else:
            _show(opened, issued, fetched, as_json)


def _require_partners(
    export: Path | None,
    witness: str | None,
    old: int | None,
    cosigned: Path | None,
    witness_key: str | None,
    page: bool,
    as_json: bool,
) -> None:
    if cosigned is not None and (export is not None or page):
        raise UsageError("anchor.options", "--import stands alone: give --export or --print in another command.")
    if export is None and (witness is not None or old is not None):
        raise UsageError("anchor.options", "--for and --old belong to --export.")
    if cosigned is None and witness_key is not None:
        raise UsageError("anchor.options", "--witness-key belongs to --import.")
    if page and as_json:
        raise UsageError("anchor.options", "--print makes a page for people: it has no --json.")


def _export(
    workspace: Workspace,
    issued: IssuedCheckpoint,
    file: Path,
    witness: str | None,
    old: int | None,
    say: Progress,
) -> None:
    from forensic.case.witnessing import witness_request

    key = None if witness is None else _vkey(witness, "--for")
    _refuse_existing(file)
    request = witness_request(workspace, issued, witness=key, old=old)
    _write_new(file, request.to_bytes())
    say.say(f"Request from size {request.old_size} to {issued.size} written to {file}: give it to the witness.")


def _import(workspace: Workspace, file: Path, witness_key: str | None, say: Progress) -> None:
    from forensic.case.witnessing import MAX_REQUEST_BYTES, import_cosignatures

    key = None if witness_key is None else _vkey(witness_key, "--witness-key")
    for one in import_cosignatures(workspace, _read(file, MAX_REQUEST_BYTES), key):
        news = "stored" if one.new else "was here already"
        say.say(f"Cosignature of {one.witness.name} over {one.size} entries {news}.")


def _fetch(workspace: Workspace, tsa: str | None, say: Progress) -> list[dict[str, object]]:
    from forensic.case.timestamping import fetch_pending

    return [one.to_record() for one in fetch_pending(workspace, tsa, say.say)]


def _show(
    workspace: Workspace, issued: IssuedCheckpoint | None, fetched: list[dict[str, object]], as_json: bool
) -> None:
    from forensic.case.anchorstate import anchor_state, state_lines

    state = anchor_state(workspace)
    if as_json:
        checkpoint = None
        if issued is not None:
            checkpoint = {
                "size": issued.size,
                "root": issued.root.hex(),
                "new": issued.new,
                "file": str(issued.folder.checkpoint),
            }
        result_json({**state, "checkpoint": checkpoint, "timestamps": fetched})
        return
    for line in state_lines(state):
        result(line)
    if issued is not None:
        result(str(issued.folder.checkpoint))


@click.command()
@click.argument("request", required=False, type=_FILE, metavar="[REQUEST]")
@click.option("--log-key", type=TEXT, metavar="VKEY", help="The log's key, got from that laboratory itself.")
@click.option("--accept-new-key", is_flag=True, help="The log changed its key, and its laboratory told you so.")
@click.option("--out", type=_NEW_FILE, metavar="FILE", help="Write the answer to FILE instead of stdout.")
@click.option("--key", "show_key", is_flag=True, help="Print this workspace's key as a witness.")
@workspace_option
@json_option
@quiet_option
def witness(
    request: Path | None,
    log_key: str | None,
    accept_new_key: bool,
    out: Path | None,
    show_key: bool,
    workspace: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Cosign another ledger's checkpoint, after checking that it contains all that was cosigned before.

    REQUEST is what `forensic anchor --export` wrote. What was cosigned, and every refusal, is kept in the ledger here.
    """
    from forensic.case.witnessing import MAX_REQUEST_BYTES, cosign_request, witness_key

    if show_key == (request is not None):
        raise UsageError("witness.options", "Give either a REQUEST or --key.")
    say = reporter(quiet)
    if out is not None:
        _refuse_existing(out)
    data = b"" if request is None else _read(request, MAX_REQUEST_BYTES)
    key = None if log_key is None else _vkey(log_key, "--log-key")
    with existing(workspace) as opened:
        if request is None:
            vkey = str(witness_key(opened))
            if as_json:
                result_json({"witness": vkey})
            else:
                result(vkey)
            return
        answer = cosign_request(opened, data, log_key=key, accept_new_key=accept_new_key)
    say.say(f"Cosigned {answer.origin}: {answer.size} entries, {answer.old_size} of them cosigned before.")
    if out is not None:
        _write_new(out, answer.line.encode())
    if as_json:
        result_json({**answer.to_record(), "file": None if out is None else str(out)})
    elif out is not None:
        result(str(out))
    else:
        result(answer.line.rstrip("\n"))


def _vkey(text: str, option: str) -> VerifierKey:
    from forensic.signing.note import parse_vkey

    try:
        return parse_vkey(text.strip())
    except BadInput as error:
        raise UsageError("anchor.vkey", f"{option}: {error.message}", error.remedy) from error


def _read(file: Path, limit: int) -> bytes:
    from forensic.case.regularfile import read_regular

    try:
        return read_regular(file.resolve(), limit)
    except OSError as error:
        raise BadInput("input.unreadable", f"{file} cannot be read: {error.strerror}.") from error


def _refuse_existing(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise UsageError("output.exists", f"{file} is there already.", "Nothing is overwritten: name another file.")


def _write_new(file: Path, data: bytes) -> None:
    from forensic.case.storage import create_file, storage

    with storage(file, "writing"), create_file(file) as stream:
        stream.write(data)
