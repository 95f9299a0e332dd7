"""What became of the paper's claims: estimates, the rule of the verdicts, and what answers each claim."""

from defectlib.studies.claims.answers import answers

__all__ = ["answers"]
