"""Independent verification. Nothing here may import torch, cv2 or av, not even through others."""
