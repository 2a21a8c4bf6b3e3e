"""``python -m hcsyncd`` is the `hcsyncd` command."""

from hcsyncd.cli.main import main

if __name__ == "__main__":
    main()
