"""What stands for the ledger outside it: the state of every checkpoint, and a page of it to print."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from forensic.case.anchors import IssuedCheckpoint, anchor_folders, cosignature_entries
from forensic.case.logkeys import introduced
from forensic.case.lognames import ISSUED, LOG
from forensic.case.workspace import Workspace

_RULE = "-" * 72


def anchor_state(workspace: Workspace) -> dict[str, Any]:
    """Log, keys, and every checkpoint with its timestamp file and cosignatures; JSON-able."""
    cosigned: dict[Any, list[dict[str, Any]]] = {}
    for entry in cosignature_entries(workspace.ledger):
        facts = {key: entry.data.get(key) for key in ("witness", "time", "utc")}
        cosigned.setdefault(entry.data.get("size"), []).append(facts)
    present = {folder.root.name: folder for folder in anchor_folders(workspace.layout)}
    checkpoints = []
    for entry in workspace.ledger.entries(event=ISSUED):
        size = entry.data.get("size")
        folder = present.get(f"{size:010d}") if isinstance(size, int) else None
        checkpoints.append(
            {
                "size": size,
                "root": entry.data.get("root"),
                "entry": entry.seq,
                "issued_utc": entry.utc,
                "folder": None if folder is None else str(folder.root),
                "timestamp": folder is not None and folder.timestamp.exists(),
                "cosignatures": cosigned.get(size, []),
            }
        )
    return {
        "origin": LOG.name(workspace.id),
        "log_keys": [str(key) for key in introduced(workspace.ledger, LOG)],
        "entries": workspace.ledger.size,
        "checkpoints": checkpoints,
    }


def state_lines(state: dict[str, Any]) -> Iterator[str]:
    """The state as text."""
    yield f"log         {state['origin']}"
    for vkey in state["log_keys"][-1:]:
        yield f"log key     {vkey}"
    yield f"entries     {state['entries']}"
    for checkpoint in state["checkpoints"]:
        stamped = "timestamped" if checkpoint["timestamp"] else "no timestamp yet"
        yield f"checkpoint  {checkpoint['size']} entries, issued {checkpoint['issued_utc']}, {stamped}"
        for cosignature in checkpoint["cosignatures"]:
            yield f"            cosigned {cosignature['utc']} by {cosignature['witness']}"
        if not checkpoint["cosignatures"]:
            yield "            no witness yet"


def printed_page(issued: IssuedCheckpoint, state: dict[str, Any]) -> str:
    """The checkpoint for paper: what has to be kept, in groups that can be read out and typed in again."""
    about: dict[str, Any] = next((one for one in state["checkpoints"] if one["size"] == issued.size), {})
    root = issued.root.hex()
    groups = [root[at : at + 4] for at in range(0, 64, 4)]
    witnesses = [f"  {one['witness']}, {one['utc']}" for one in about.get("cosignatures", [])] or ["  none so far"]
    lines = [
        "CHECKPOINT OF A CUSTODY LEDGER",
        "",
        "The three lines to keep (log, number of entries, root):",
        "",
        f"  {state['origin']}",
        f"  {issued.size}",
        f"  {' '.join(groups[:8])}",
        f"  {' '.join(groups[8:])}",
        "",
        f"Issued {about.get('issued_utc', '')} by the laboratory's clock.",
        "Key of the log:",
        *(f"  {vkey}" for vkey in state["log_keys"][-1:]),
        "Cosigned by:",
        *witnesses,
        "",
        *textwrap.wrap(
            "Keep this page where nobody who works with the ledger can reach it. As long as it exists, none of the "
            f"first {issued.size} entries can be changed, removed or put in another order unnoticed, not even by "
            "somebody who holds every key. To check: type the three lines into a text file, the root as printed "
            "on one or two lines, and give",
            72,
        ),
        "",
        "  forensic verify WORKSPACE --checkpoint FILE",
        "",
        "Received by (name, date, signature):",
        "",
        "",
        _RULE,
        "The same as a signed note (C2SP tlog-checkpoint), for machines:",
        "",
        issued.note.decode().rstrip("\n"),
        _RULE,
    ]
    return "\n".join(lines) + "\n"
