"""Film grain: made as a decoder makes it, found again, told from other noise, taken out."""
