"""``forensic doctor``: does this machine have what it takes, in which versions."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from forensic import __version__
from forensic.case.environment import processor
from forensic.case.sourcecode import source_sha256
from forensic.errors import ForensicError

# Peers with which others check our work; none is needed to enhance.
_PEERS = {
    "ffmpeg": ("-version",),
    "pdfsig": ("-v",),
    "openssl": ("version",),
    "sha256sum": ("--version",),
    "mediaconch": ("--version",),
}
_MODULES = {
    "av": "av", "cedarpy": "cedarpy", "cryptography": "cryptography", "opencv-python-headless": "cv2",
    "numpy": "numpy", "pillow": "PIL", "pyhanko": "pyhanko", "pydantic": "pydantic", "reportlab": "reportlab",
    "rfc8785": "rfc8785", "rich": "rich", "safetensors": "safetensors", "sqlalchemy": "sqlalchemy",
    "torch": "torch", "uharfbuzz": "uharfbuzz",
}  # fmt: skip
_LOW_SPACE = 5 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``ok``, ``WARN`` (works, less well) or ``FAIL``."""

    name: str
    status: str
    detail: str

    def to_record(self) -> dict[str, str]:
        """JSON-able."""
        return asdict(self)


def examine(workspace: Path) -> list[Finding]:
    """Look at interpreter, libraries, shipped data, peers and the workspace's disk."""
    findings = [
        Finding("forensic", "ok", f"{__version__}, source SHA-256 {source_sha256()}"),
        Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        Finding("processor", "ok", f"{processor()}, {os.cpu_count()} threads"),
    ]
    findings += [_library(distribution, module) for distribution, module in _MODULES.items()]
    findings.append(_optional("onnxruntime", "models of precision int8 need it: extra int8"))
    findings += [
        _attempt("media: FFV1 and H.264", _codecs),
        _confinement(),
        _attempt("models", _models),
        _attempt("policies", _policies),
        _attempt("recipes", _recipes),
    ]
    findings += [_peer(name, arguments) for name, arguments in _PEERS.items()]
    findings.append(_disk(workspace))
    return findings


def _library(distribution: str, module: str) -> Finding:
    try:
        importlib.import_module(module)
        return Finding(distribution, "ok", metadata.version(distribution))
    except (ImportError, OSError) as error:
        return Finding(distribution, "FAIL", str(error))


def _optional(distribution: str, use: str) -> Finding:
    try:
        return Finding(distribution, "ok", metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return Finding(distribution, "ok", f"not installed; {use}")


def _attempt(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", look())
    except ForensicError as error:
        return Finding(name, "FAIL", f"{error.code}: {error.message}")


def _codecs() -> str:
    from forensic.media import software_facts

    facts = software_facts()
    return f"FFmpeg {facts['ffmpeg']} through PyAV {facts['pyav']}"


def _confinement() -> Finding:
    from forensic.media.sandbox.process import isolation_here

    name = "decoder process"
    try:
        told = isolation_here()
    except ForensicError as error:
        return Finding(name, "FAIL", f"{error.code}: {error.message}")
    limits = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in told["limits"].items())
    detail = f"network {told['network']}, opening files {told['opening_files']}; {limits}"
    return Finding(name, "ok" if told["network"] == "blocked" else "WARN", detail)


def _models() -> str:
    from forensic.errors import PolicyRefused
    from forensic.registry.cards import verify_all
    from forensic.registry.external.shelf import verify_all_external

    checks = verify_all()
    for check in checks:
        if not check.ok and not check.to_be_fetched:
            raise PolicyRefused(check.code, check.message)
    verified = [check.model_id for check in checks if check.ok]
    absent = "".join(f"; {check.model_id} not fetched" for check in checks if check.to_be_fetched)
    own = verify_all_external()
    for one in own:
        if not one.ok:
            raise PolicyRefused(one.code, one.message)
    enrolled = "; the laboratory's own: " + ", ".join(one.model_id for one in own) if own else ""
    return f"{len(verified)} verified: " + ", ".join(verified) + absent + enrolled


def _policies() -> str:
    from forensic.policy.store import load_policy, policy_names

    return ", ".join(f"{name} ({load_policy(name).sha256[:12]})" for name in policy_names())


def _recipes() -> str:
    from forensic.stages.recipe import load_recipe, recipe_names

    return ", ".join(f"{load_recipe(name).name}" for name in recipe_names())


def _peer(name: str, arguments: tuple[str, ...]) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(f"peer {name}", "WARN", "not found; needed only to check results without this software")
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(f"peer {name}", "WARN", str(error))
    return Finding(f"peer {name}", "ok", (done.stdout or done.stderr).splitlines()[0].strip())


def _disk(workspace: Path) -> Finding:
    place = workspace.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        return Finding("workspace", "FAIL", f"{place} cannot be written to")
    status = "ok" if free > _LOW_SPACE else "WARN"
    return Finding("workspace", status, f"{free / (1 << 30):.1f} GiB free at {place}")
