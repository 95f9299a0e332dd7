"""Datasets: what a sample is, where samples come from, how they are indexed, split, checked, encoded and counted."""
