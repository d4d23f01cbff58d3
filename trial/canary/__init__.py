"""The built-in small chat model: weights, card, and how it was trained."""
