"""RRDBNet: the generator of ESRGAN and Real-ESRGAN."""
