"""What somebody can do who holds *every* key of a laboratory: write its ledger anew, and bundles from it.

Nothing here uses the code that writes bundles: leaves, proofs and notes are made from the specification.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from forensic.hashes import canonical_json
from forensic.ledger.entry import PAYLOAD_TYPE
from forensic.ledger.reading import audited_entries
from forensic.signing.dsse import sign_envelope
from forensic.signing.identity import load_identity
from tests.case.bundling import line_of, predicate_of, reseal

Entry = dict[str, Any]
LEDGER = "data/ledger/"


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _half(leaves: list[bytes]) -> int:
    return 1 << (len(leaves) - 1).bit_length() - 1


def tree(leaves: list[bytes]) -> bytes:
    """Root (RFC 9162, 2.1.1)."""
    if len(leaves) < 2:
        return _hash(b"\0", *leaves) if leaves else _hash()
    half = _half(leaves)
    return _hash(b"\1", tree(leaves[:half]), tree(leaves[half:]))


def inclusion(index: int, leaves: list[bytes]) -> list[bytes]:
    """Audit path (2.1.3.1)."""
    if len(leaves) == 1:
        return []
    half = _half(leaves)
    if index < half:
        return [*inclusion(index, leaves[:half]), tree(leaves[half:])]
    return [*inclusion(index - half, leaves[half:]), tree(leaves[:half])]


def consistency(size: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """Consistency proof (2.1.4.1)."""
    if size == len(leaves):
        return [] if whole else [tree(leaves)]
    half = _half(leaves)
    if size <= half:
        return [*consistency(size, leaves[:half], whole), tree(leaves[half:])]
    return [*consistency(size - half, leaves[half:], False), tree(leaves[:half])]


def lines_of(hashes: list[bytes]) -> str:
    """As they stand in proofs."""
    return "".join(base64.b64encode(one).decode() + "\n" for one in hashes)


class Forger:
    """Everything that the laboratory has, and a bundle to forge."""

    def __init__(self, workspace: Path, bag: Path) -> None:
        self.workspace, self.bag = workspace, bag
        self.identity = load_identity(workspace / "identity", lambda: "")
        self.log_key = load_pem_private_key((workspace / "log" / "key.pem").read_bytes(), None)
        self.size = int((bag / LEDGER / "checkpoint").read_text().split("\n")[1])
        self.entries = [json.loads(entry.canonical) for entry in audited_entries(workspace / "ledger.sqlite")][
            : self.size
        ]
        self.texts: list[bytes] = []

    def note(self, size: int, vkey: str | None = None) -> bytes:
        """A checkpoint over the first entries."""
        origin = f"forensic-ledger/{self.entries[0]['data']['workspace']}"
        vkey = vkey or next(e["data"]["vkey"] for e in self.entries if e["event"] == "log.key-introduced")
        text = f"{origin}\n{size}\n{base64.b64encode(tree(self.texts[:size])).decode()}\n"
        signature = bytes.fromhex(vkey.split("+")[1]) + self.log_key.sign(text.encode())  # type: ignore[union-attr,call-arg]
        return f"{text}\n— {origin} {base64.b64encode(signature).decode()}\n".encode()

    def link(self) -> None:
        """Compute links, hashes and trees anew, as an honest program would."""
        last: dict[tuple[str, str], int] = {}
        for entry in self.entries:
            for field in ("case", "exhibit", "run"):
                name = entry[field]
                if "thread" in entry:
                    entry["thread"][field] = None if name is None else last.get((field, name), 0)
                if name is not None:
                    last[field, name] = entry["seq"]

    def write(
        self,
        wanted: Callable[[Entry], bool] | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Write extract, proofs and checkpoints; sign the list of files.

        ``wanted`` says which entries are in the extract (else those that were), ``change`` alters the description."""
        were = {json.loads(json.loads(line)["entry"])["seq"] for line in self.extract.read_bytes().splitlines()}
        self.texts, before = [], b"\0" * 32
        for entry in self.entries:
            entry["prev"] = before.hex()
            if "tree" in entry:
                entry["tree"] = {"size": entry["seq"] - 1, "root": tree(self.texts).hex()}
            self.texts.append(canonical_json(entry))
            before = _hash(self.texts[-1])
        extract = b""
        note = self.note(self.size)
        shutil.rmtree(self.bag / LEDGER / "proofs")
        (self.bag / LEDGER / "proofs").mkdir()
        for entry, text in zip(self.entries, self.texts, strict=True):
            if entry["seq"] in were if wanted is None else wanted(entry):
                envelope = sign_envelope(PAYLOAD_TYPE, text, self.identity, include_certificate=False)
                extract += line_of(text.decode(), canonical_json(envelope).decode())
                index = entry["seq"] - 1
                head = f"c2sp.org/tlog-proof@v1\nindex {index}\n{lines_of(inclusion(index, self.texts))}\n"
                (self.bag / LEDGER / "proofs" / f"{entry['seq']:010d}.tlog-proof").write_bytes(head.encode() + note)
        self.extract.write_bytes(extract)
        (self.bag / LEDGER / "checkpoint").write_bytes(note)
        for folder in (self.bag / LEDGER / "anchors").iterdir():
            size = int(folder.name)
            (folder / "checkpoint").write_bytes(self.note(size))
            head = f"old {size}\n{lines_of(consistency(size, self.texts))}\n"
            (folder / "consistency").write_bytes(head.encode() + note)
        issued = json.loads(json.loads(extract.splitlines()[-1])["entry"])
        predicate = predicate_of(self.bag)
        predicate["issued"] |= {"hash": _hash(canonical_json(issued)).hex(), "utc": issued["time"]["utc"]}
        predicate["checkpoint"] |= {"root": tree(self.texts).hex(), "sha256": hashlib.sha256(note).hexdigest()}
        if change is not None:
            change(predicate)
        reseal(self.bag, self.workspace, predicate)

    @property
    def extract(self) -> Path:
        """The file of the extract."""
        return self.bag / LEDGER / "entries.jsonl"

    def of(self, event: str) -> Entry:
        """The first entry of this kind."""
        return next(entry for entry in self.entries if entry["event"] == event)
