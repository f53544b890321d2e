"""Searches: a space of train's flags, trials that are ordinary runs, the oracles that choose them, and what is seen of it."""
