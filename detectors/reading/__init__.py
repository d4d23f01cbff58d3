"""How hostile bytes become rows, one module a step; entered by `detectors.reader`."""
