"""Weight rounding: compensated (GPTQ) and learned."""
