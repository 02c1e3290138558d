"""Calibration: one pass over the images makes histograms of all tensors; calibrators choose ranges from them."""
