"""How a run is resumed and what of it is written down."""
