"""``manifest.sha256``: names and digests of a folder's files in the format of ``sha256sum``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from forensic.case.layout import SignedFolder
from forensic.case.regularfile import JSON_LIMIT, read_regular
from forensic.case.storage import write_file
from forensic.hashes import sha256_bytes, sha256_file

_LINE = re.compile(r"([0-9a-f]{64})  ([^\\\n\r]+)")


def write_manifest(folder: SignedFolder, digests: Mapping[str, str] | None = None) -> str:
    """Write ``manifest.sha256`` and return its own SHA-256.

    It lists ``digests`` by name or, without them, all other files as they lie in ``folder``.
    """
    if digests is None:
        digests = {folder.name(path): sha256_file(path) for path in folder.files() if path != folder.manifest}
    data = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode("utf-8")
    write_file(folder.manifest, data)
    return sha256_bytes(data)


def read_manifest_file(path: Path) -> dict[str, str]:
    """Names and digests of a ``manifest.sha256``.

    Raises ``ValueError`` on any other line, ``OSError`` if it is no regular file or beyond 64 MiB.
    """
    listed: dict[str, str] = {}
    for line in read_regular(path, JSON_LIMIT).decode("utf-8").split("\n")[:-1]:
        match = _LINE.fullmatch(line)
        if match is None or match[2] in listed:
            raise ValueError(f"not a line of sha256sum: {line[:80]!r}")
        listed[match[2]] = match[1]
    return listed
