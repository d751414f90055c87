"""OpenCV on one thread and without IPP or OpenCL, so that fusion gives the same bytes every time."""

from __future__ import annotations

from threading import local

import cv2

_thread = local()


def settle() -> None:
    """Set OpenCV for the calling thread (IPP and OpenCL are thread-local switches, on by default)."""
    if not getattr(_thread, "ready", False):
        cv2.setNumThreads(1)
        cv2.ipp.setUseIPP(False)
        cv2.ocl.setUseOpenCL(False)
        _thread.ready = True
