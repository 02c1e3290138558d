"""How integers are rounded, as kernels do it: requantisation, float32 step by step, and where kernels differ."""
