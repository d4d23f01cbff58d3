"""Fits the detectors' heads from public rows. Run by `python -m detectors.training`."""
