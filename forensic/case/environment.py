"""Facts about the machine and software that a run depends on, for its record."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from forensic import __version__
from forensic.case.sourcecode import source_sha256
from forensic.hashes import canonical_json, sha256_bytes

_DISTRIBUTIONS = (
    "av", "cedarpy", "cryptography", "numpy", "opencv-python-headless", "pillow", "pyhanko",
    "pydantic", "reportlab", "rfc8785", "safetensors", "sqlalchemy", "torch", "uharfbuzz",
)  # fmt: skip

_PLATFORM = (
    "forensic", "machine", "processor", "packages", "ffmpeg", "opencv", "torch", "onnxruntime", "spandrel",
    "diffusers", "cuda",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Installed versions of everything that touches pixels or records, without importing it."""
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def processor() -> str:
    """Name of the CPU as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def environment(*, engines: tuple[str, ...]) -> dict[str, Any]:
    """Software, platform and determinism facts. ``engines``: what computes the run's models (``RunPlan.engines``)."""
    from forensic.media import software_facts
    from forensic.stages import determinism_facts as stage_facts

    facts: dict[str, Any] = {
        "forensic": __version__,
        "source_sha256": source_sha256(),
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "packages": versions(),
        "ffmpeg": software_facts(),
        "opencv": stage_facts(),
    }
    if engines:
        from forensic.registry.loading import determinism_facts as model_facts

        facts |= model_facts(engines)
    return facts


def platform_key(facts: dict[str, Any]) -> dict[str, Any]:
    """The part of the facts on which identical bytes depend.

    The digest of the source is none of it: another build of one version has to give the same bytes, or be found out.
    """
    return {key: facts.get(key) for key in _PLATFORM}


@cache
def platform_digest(*, engines: tuple[str, ...]) -> str:
    """Digest of the present platform's key, to compare it with that of a process that was interrupted."""
    return sha256_bytes(canonical_json(platform_key(environment(engines=engines))))
