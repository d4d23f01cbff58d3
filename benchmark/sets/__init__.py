"""Datasets of known make that the benchmarks screen; nothing was fitted on them."""
