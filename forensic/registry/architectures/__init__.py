"""Network architectures, one folder each. A card names one; its weights must fit it exactly."""
