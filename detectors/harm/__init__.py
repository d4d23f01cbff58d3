"""The parts of explicit_harm: exchanges and their two readers."""
