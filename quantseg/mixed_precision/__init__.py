"""Mixed precision: which node computes in which type, by sensitivity, by risk for the masks, by measured latency."""
