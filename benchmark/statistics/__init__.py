"""Intervals, metrics and the baselines that figures stand beside."""
