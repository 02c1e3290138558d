"""Calibration: a pass over the images, histograms, and the calibrators that choose ranges from them."""
