"""Checks of a model with its data before work begins: what was understood, and what cannot be right."""
