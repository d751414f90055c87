"""The bag around a bundle: BagIt 1.0 (RFC 8493) with SHA-256, its texts fixed to the byte.

The writer is ours because a bundle must come out the same whenever it is written from the same state: the
``bagit`` library stamps the day and its own version into every bag. What it validates is what we write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from forensic.case.verification.bundleform.names import name_fault
from forensic.errors import BadInput

BAGIT = "bagit.txt"
BAG_INFO = "bag-info.txt"
MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
STATEMENT = "bundle.json"
VERIFY = "VERIFY.md"
PAYLOAD = "data/"

TAG_FILES = frozenset({BAGIT, BAG_INFO, MANIFEST, STATEMENT, VERIFY})
"""The files beside ``data/`` that the tag manifest lists. Exactly these; the tag manifest itself comes to them."""
DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"

ENTRIES = "data/ledger/entries.jsonl"
PROOFS = "data/ledger/proofs/"
CHECKPOINT = "data/ledger/checkpoint"
CHECKPOINT_TIMESTAMP = "data/ledger/checkpoint.tsr"
COSIGNED = "data/ledger/cosigned"
ANCHORS = "data/ledger/anchors/"
TIMESTAMPS = "data/timestamps/"
CERTIFICATES = "data/certificates/"
EXHIBITS = "data/exhibits/"
RUNS = "data/runs/"
MODELS = "data/models/"
VALIDATIONS = "data/validations/"

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def proof_name(seq: int) -> str:
    """Where the inclusion proof of entry ``seq`` lies."""
    return f"{PROOFS}{seq:010d}.tlog-proof"


def anchor_folder(size: int) -> str:
    """Where another checkpoint of the same ledger, of this size, lies."""
    return f"{ANCHORS}{size:010d}/"


def list_text(digests: Mapping[str, str]) -> bytes:
    """A manifest: ``SHA256␠␠NAME`` lines in the order of the names; ``sha256sum -c`` reads it."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode("ascii")


def parse_list(data: bytes) -> dict[str, str]:
    """Names and digests of a manifest that has exactly the form of :func:`list_text`.

    Raises ``BadInput`` (``bundle.manifest``).
    """
    listed: dict[str, str] = {}
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise BadInput("bundle.manifest", "The manifest is not ASCII text.") from error
    for line in lines[:-1]:
        match = _LINE.fullmatch(line)
        if match is None or name_fault(match[2]) is not None:
            raise BadInput("bundle.manifest", f"Not a line of a bundle's manifest: {line[:100]!r}.")
        listed[match[2]] = match[1]
    if not listed or list_text(listed) != data:
        raise BadInput("bundle.manifest", "The manifest's lines are not in order, or one stands there twice.")
    return listed


def info_text(*, name: str, description: str, date: str, octets: int, files: int) -> bytes:
    """``bag-info.txt``. ``date`` is ``YYYY-MM-DD``; ``octets`` and ``files`` are those of the payload."""
    return (
        f"Bagging-Date: {date}\n"
        f"External-Description: {description}\n"
        f"External-Identifier: {name}\n"
        f"Payload-Oxum: {octets}.{files}\n"
    ).encode("ascii")


def parse_info(data: bytes) -> dict[str, str]:
    """Fields of ``bag-info.txt`` in the form of :func:`info_text`. Raises ``BadInput`` (``bundle.info``)."""
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise BadInput("bundle.info", "bag-info.txt is not ASCII text.") from error
    fields = [line.partition(": ") for line in lines[:-1]]
    labels = ["Bagging-Date", "External-Description", "External-Identifier", "Payload-Oxum"]
    if lines[-1] or [label for label, _, _ in fields] != labels:
        raise BadInput("bundle.info", "bag-info.txt does not have exactly the specified fields.")
    return {label: value for label, _, value in fields}
