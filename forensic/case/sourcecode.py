"""Which code this is: a digest over the program's own files, because a version names a release and not a build.

Anybody can compute it beside the folder that holds ``forensic``, in a checkout or where it is installed::

    find forensic -name '*.py' -not -path 'forensic/_data/*' | LC_ALL=C sort | xargs sha256sum | sha256sum
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import forensic
from forensic.hashes import sha256_bytes, sha256_file


@cache
def source_sha256(package: Path = Path(forensic.__file__).parent) -> str:
    """SHA-256, hexadecimal, of the list of the package's Python files as ``sha256sum`` prints it, sorted by name.

    Models, policies and wording are not in it: each is on the record by itself.
    """
    files = (path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    names = sorted((name for name in files if not name.startswith("_data/")), key=lambda name: name.encode())
    listed = "".join(f"{sha256_file(package / name)}  {package.name}/{name}\n" for name in names)
    return sha256_bytes(listed.encode())
