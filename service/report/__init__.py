"""The report: its versioned schema, its sections, its summaries."""
