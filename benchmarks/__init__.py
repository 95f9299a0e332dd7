"""Speed as ratios: each claim beside the plain way, by turns in one run, and how far both are from the floor."""
