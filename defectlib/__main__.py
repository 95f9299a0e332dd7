"""``python -m defectlib``: the command line."""

from defectlib.cli import main

main()
