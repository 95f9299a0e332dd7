"""The generators that the paper compares Defect-Gen with (§4.3, Figures 6 and 7), each in a file of its own."""
