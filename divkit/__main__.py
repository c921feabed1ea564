"""`python -m divkit`, where the command is not on the path."""

from divkit.app.cli import main

if __name__ == "__main__":
    main()
