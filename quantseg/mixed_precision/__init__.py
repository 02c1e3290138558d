"""Mixed precision: which node computes in which type, by sensitivity, by error at the masks, by measured latency."""
