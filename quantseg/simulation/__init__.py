"""Bit-exact simulation of a quantised model: run it in numpy integers, compare it with a runtime, prove it safe.

program.py reads the model, running.py executes it, judging.py compares its tensors with another computation, proof.py
bounds the accumulators, explaining/ shows the calculation of one value; examining.py does all of it in one pass.
"""
