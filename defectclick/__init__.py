"""Defect-Click (paper, §3.3): from a few clicks on an image to the mask of a defect."""
