"""`python -m lbench` is the `lbench` command."""

from lbench.cli import main

if __name__ == "__main__":
    main()
