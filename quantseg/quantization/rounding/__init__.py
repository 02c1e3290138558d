"""Rounding as kernels do it, bit for bit: requantisation, float32 arithmetic, and where kernels differ."""
