"""Sidecar of a still: signed proof that the picture is frame N of this output and exhibit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forensic.case.layout import RunFolder, sidecar
from forensic.case.storage import write_file
from forensic.case.workspace import Workspace
from forensic.frames.manifest import FrameRow
from forensic.hashes import inclusion_proof, leaf_hash, sha256_bytes
from forensic.signing.statement import STILL_PREDICATE, Subject, build_statement, sign_statement


class FrameTree:
    """The leaves of one frame manifest, ready to prove any of its rows. ``rows`` were checked by the caller."""

    def __init__(self, rows: Sequence[FrameRow]) -> None:
        self._rows = rows
        self._hashes = [leaf_hash(row.leaf()) for row in self._rows]
        self._place = {row.frame: place for place, row in enumerate(self._rows)}

    def proof(self, frame: int, root: str) -> dict[str, Any]:
        """Inclusion proof (RFC 9162) of row ``frame`` under ``root``, JSON-able."""
        place = self._place[frame]
        row = self._rows[place]
        return {
            "row": {"flags": list(row.flags), "frame": row.frame, "pts": row.pts, "sha256": row.sha256},
            "leaf_index": place,
            "tree_size": len(self._rows),
            "audit_path": [node.hex() for node in inclusion_proof(self._hashes, place)],
            "merkle_root": root,
        }


def write_sidecars(
    workspace: Workspace,
    folder: RunFolder,
    frames: list[int],
    run: dict[str, Any],
    trees: tuple[FrameTree, FrameTree],
    exhibit_class: str,
    stills: Mapping[str, str],
) -> dict[Path, str]:
    """Write a sidecar for the enhanced still and the source still of each of ``frames``.

    ``run`` has the keys run, case, exhibit, exhibit_sha256, exhibit_root, output_root and
    stage_class; ``trees`` are those of the exhibit and of the output; ``stills`` are digests of what was written,
    by name within the run. A source still that had to be labelled is not the exhibit's frame any more and gets
    none. Returns the SHA-256 of each sidecar by path.
    """
    written: dict[Path, str] = {}

    def write(still: Path, predicate: dict[str, Any]) -> None:
        subject = Subject(still.name, stills[folder.name(still)])
        data = sign_statement(build_statement(STILL_PREDICATE, [subject], predicate), workspace.signer)
        write_file(sidecar(still), data)
        written[sidecar(still)] = sha256_bytes(data)

    exhibit_tree, output_tree = trees
    for frame in frames:
        source = exhibit_tree.proof(frame, run["exhibit_root"])
        enhanced = output_tree.proof(frame, run["output_root"])
        write(folder.still(frame), {**run, "shows": "output", "of_output": enhanced, "of_exhibit": source})
        if folder.name(folder.source_still(frame)) in stills:
            untouched = {**run, "stage_class": exhibit_class, "shows": "exhibit", "of_exhibit": source}
            write(folder.source_still(frame), untouched)
    return written
