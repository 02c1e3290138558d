"""Refinement: what makes the rounded network say the same, from calibration images alone, without labels."""
