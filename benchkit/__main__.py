"""``python -m benchkit`` is the command line."""

from benchkit.cli import main

main()
