"""Quantization: affine numbers and integer types, operator rules, the plan, output formats, and what is folded in."""
