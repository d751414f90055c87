"""What computes a network: PyTorch for safetensors weights, ONNX Runtime for ONNX files."""
