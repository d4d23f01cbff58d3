"""Maps between the 11 policy categories and the taxonomies of others, one a file."""
