"""How good and how fast: experiments and their committed records."""
