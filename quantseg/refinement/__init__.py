"""Refinement: brings the quantised outputs closer to the float model's, with calibration images and no labels."""
