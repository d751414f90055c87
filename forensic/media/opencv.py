"""The one door to OpenCV: one thread, no IPP, no OpenCL, imported only when a pixel is touched.

OpenCV's own threads would make results depend on the machine's core count, and Intel IPP has other
arithmetic and picks code paths by memory alignment; both are switched off so that equal inputs give
equal bytes. The switches for IPP and OpenCL hold for the calling thread only (OpenCV keeps them in
thread-local storage, on by default), so this sets them once in every thread that comes through.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from threading import local
from types import ModuleType
from typing import Any

import numpy as np

_thread = local()


@cache
def _imported() -> ModuleType:
    import cv2

    cv2.setNumThreads(1)  # this one holds for the process
    return cv2


def opencv() -> ModuleType:
    """OpenCV, set for the calling thread to its own (IPP-free, OpenCL-free) code on one thread.

    Call it in the function that uses it; a module handed from one thread to another is not set there.
    """
    cv2 = _imported()
    if not getattr(_thread, "ready", False):
        cv2.ipp.setUseIPP(False)
        cv2.ocl.setUseOpenCL(False)
        _thread.ready = True
    return cv2


def determinism_facts() -> dict[str, Any]:
    """What the pixels of classical stages depend on besides the recipe: versions, build, CPU, flags.

    The flags are those of the calling thread, and by :func:`opencv` of every thread that runs a stage.
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
