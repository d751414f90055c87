"""BasicVSR: a recurrent network over a sequence of frames, with the optical flow that lays them onto each other."""
