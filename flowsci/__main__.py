"""`python -m flowsci` is the command `flowsci`."""

from flowsci.cli import main

main()
