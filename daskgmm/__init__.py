"""daskgmm."""
