"""NAFNet: gated convolutional restoration and enlargement of one luma plane, with a bounded view."""
