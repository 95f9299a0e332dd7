"""What combines the parts: one study per notebook, each with the list of artifacts it needs. Loads no torch."""
