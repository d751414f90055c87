"""LPIPS: how different two pictures look, by the features of a network for classification."""
