"""The report of a laboratory's calibration, as it is filed: claims first, then what was tested; signed as every one."""
