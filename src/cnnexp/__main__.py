"""``python -m cnnexp``: the same as the ``cnnexp`` command."""

from cnnexp.app import main

if __name__ == "__main__":
    main()
