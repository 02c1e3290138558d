"""Benchmarks: scripts that measure this tool beside its peers in one run, and write what they saw to reports/."""
