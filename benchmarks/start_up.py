"""How long `import weaklm` and `python -m weaklm --help` take, as ratios to `python -c "import numpy"`.

    python benchmarks/start_up.py

The three commands run in turn, so that a machine that slows down slows down all of them; medians count.
"""

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "import numpy": ["-c", "import numpy"],
    "import weaklm": ["-c", "import weaklm"],
    "weaklm --help": ["-m", "weaklm", "--help"],
}
ROUNDS = 15


def seconds(arguments: list[str]) -> float:
    """Return how long a fresh interpreter takes to run the arguments."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the median seconds and the median ratio of each command."""
    for arguments in COMMANDS.values():  # warm the disk cache
        seconds(arguments)
    rounds = [{name: seconds(arguments) for name, arguments in COMMANDS.items()} for _ in range(ROUNDS)]
    for name in COMMANDS:
        took = statistics.median(r[name] for r in rounds)
        ratio = statistics.median(r[name] / r["import numpy"] for r in rounds)
        print(f"{name:14} {took:.3f} s   {ratio:.2f} x import numpy   (median of {ROUNDS})")


if __name__ == "__main__":
    main()
