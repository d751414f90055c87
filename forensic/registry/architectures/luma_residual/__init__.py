"""Luma residual network: a small, bias-free, plain convolutional upscaler over bicubic."""
