"""Moderation by somebody else's model: one file a provider behind one protocol."""
