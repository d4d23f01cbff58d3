"""Encodings and ciphers: one file a kind, all of them finding `Hidden` text."""
