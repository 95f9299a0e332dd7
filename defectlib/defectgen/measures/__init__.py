"""Measures of synthetic pairs against real ones, made for a few images: one idea per module, one of them with networks.

Images are uint8 (N, H, W, 3), all of one product and one size. None of the measures knows what is good by itself: each
is read beside its value for real images that trained nothing.
"""
