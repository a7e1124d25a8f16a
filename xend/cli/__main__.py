"""`python3 -m xend.cli`: the command line without its launcher."""

from xend.cli.main import main

main()
