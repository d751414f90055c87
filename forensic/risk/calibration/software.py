"""What computes a score, by version. A calibration holds for the versions that it was made with, and for no others.

Another build of the network's engine, other filters give another score, and how far off it is nobody has measured: so
nothing is LOW then, and the reason is on record. This program's own version counts for a laboratory's calibration; one
that is shipped comes with the program, and the model's card names its digest.
"""

from __future__ import annotations

from importlib import metadata

import numpy as np

from forensic import __version__
from forensic.media.opencv import opencv
from forensic.risk.calibration.artefact import QUANTILE, Calibration

#: Distribution of the engine that computes a model of a precision.
_ENGINES = {"int8": "onnxruntime"}
_ENGINE = "torch"


def versions_of(score: str, precision: str) -> dict[str, str]:
    """Versions, here, of all that ``score`` of a model of ``precision`` depends on beside this program's own code.

    The learned score has a head, which is computed by torch; ``sum/1`` has none. A build's local mark (``+cpu``) is
    left out.
    """
    found = {"numpy": np.__version__, "opencv": opencv().__version__}
    engines = {_ENGINES.get(precision, _ENGINE)}
    if score == QUANTILE:
        engines.add(_ENGINE)
    return dict(sorted((found | {name: _installed(name) for name in engines}).items()))


def departure(calibration: Calibration) -> str | None:
    """Why the score made here is not the one that was calibrated, in words; None where all versions are the same."""
    told = calibration.software
    own = {} if calibration.laboratory is None else {"forensic": __version__}
    here = own | versions_of(calibration.score, calibration.subject.precision)
    unknown = [name for name in here if name not in told]
    if unknown:
        return f"the calibration does not say with which {', '.join(unknown)} it was made"
    other = [name for name, version in here.items() if told[name] != version]
    if not other:
        return None
    return (
        f"the score depends on software of which other versions are here: calibrated with {_listed(told, other)}; "
        f"run with {_listed(here, other)}"
    )


def _listed(versions: dict[str, str], names: list[str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in names)


def _installed(name: str) -> str:
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return "not installed"
