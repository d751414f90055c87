"""The one door to OpenCV: one thread, no IPP, no OpenCL, imported only when a pixel is touched.

OpenCV's own threads would make results depend on the machine's core count, and Intel IPP picks
code paths by memory alignment; both are switched off so that equal inputs give equal bytes.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np


@cache
def opencv() -> ModuleType:
    """Import OpenCV, set it to one thread and to its own (IPP-free, OpenCL-free) code, return it."""
    import cv2

    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    cv2.ocl.setUseOpenCL(False)
    return cv2


def determinism_facts() -> dict[str, Any]:
    """What the pixels of classical stages depend on besides the recipe: versions, build, CPU, flags.

    ``build_sha256`` is over OpenCV's build information text; ``cpu_features`` lists the instruction
    sets that OpenCV found on this processor and was built to dispatch to.
    """
    cv2 = opencv()
    build = cv2.getBuildInformation()
    return {
        "opencv": {
            "version": cv2.__version__,
            "build_sha256": hashlib.sha256(build.encode("utf-8")).hexdigest(),
            "cpu_features": cv2.getCPUFeaturesLine().split(),
            "threads": cv2.getNumThreads(),
            "ipp": bool(cv2.ipp.useIPP()),
            "opencl": bool(cv2.ocl.useOpenCL()),
            "optimised": bool(cv2.useOptimized()),
        },
        "numpy": {
            "version": np.__version__,
            "cpu_features": np.show_config(mode="dicts")["SIMD Extensions"]["found"],
            "byte_order": sys.byteorder,
        },
    }
