"""Evaluation: masks beside labels and beside the float model's, metrics, and other quantizers as peers."""
