"""A real PKCS#11 token without hardware: SoftHSM2, its tokens in a folder of the test's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PIN = "1234"
LABEL = "lab7"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
)


def softhsm_module() -> str:
    """Path of the module; the test fails where SoftHSM2 is not installed: skipping would hide it."""
    found = next((path for path in _MODULES if Path(path).is_file()), None)
    if found is None:
        pytest.fail("SoftHSM2 is not installed (Debian: softhsm2)")
    return found


def make_token(folder: Path) -> dict[str, str]:
    """A fresh token called ``LABEL`` below ``folder``; returns the environment under which it is seen."""
    softhsm_module()
    (folder / "tokens").mkdir(parents=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    environment = {"SOFTHSM2_CONF": str(configuration)}
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "5678"],
        env={**os.environ, **environment}, check=True, capture_output=True,
    )  # fmt: skip
    return environment
