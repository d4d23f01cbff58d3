"""Finds phrases whose presence goes with unsafe replies: units, phrases, tests."""
