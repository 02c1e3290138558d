"""`python -m quantseg` is the `quantseg` command."""

from quantseg.cli.main import main

if __name__ == "__main__":
    main()
