"""`python -m api` is `segue`."""

from api.cli import main

main()
