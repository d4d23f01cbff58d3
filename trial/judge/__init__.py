"""Judges: one protocol, one judge a file."""
