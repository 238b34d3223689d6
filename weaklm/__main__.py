"""``python -m weaklm``."""

from weaklm.cli import main

if __name__ == "__main__":
    main()
