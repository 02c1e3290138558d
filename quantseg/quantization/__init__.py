"""Quantization: affine mapping and integer types, operator rules, the plan, output formats, folding."""
