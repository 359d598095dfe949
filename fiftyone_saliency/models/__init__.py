"""Models: one adapter for all of them, and one file for each place they come from."""
