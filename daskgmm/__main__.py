"""python -m daskgmm: the command line."""

from .entry import run

if __name__ == "__main__":
    run()
