"""A reproducible companion to "Defect Spectrum" (Yang et al., ECCV 2024): datasets, Defect-Gen and its baselines."""

__version__ = "0.1.0"
