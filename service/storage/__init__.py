"""Where screenings, datasets and the audit record are kept."""
