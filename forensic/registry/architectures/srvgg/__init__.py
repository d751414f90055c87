"""SRVGGNetCompact: the small generator of Real-ESRGAN for videos."""
