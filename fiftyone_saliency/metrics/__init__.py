"""Measures of saliency maps: one file per measure, pure functions on arrays."""
