"""DAT-light: restoration by attention within windows and across channels, alternately."""
