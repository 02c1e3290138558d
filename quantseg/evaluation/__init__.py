"""Evaluation: accuracy against labels, agreement of int8 with float masks, and comparison with other quantizers."""
