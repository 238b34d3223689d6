"""``python -m weaklm.jobs FOLDER``: work on a job in this process, for batch systems such as Slurm; Ctrl-C stops it."""

import sys
from pathlib import Path

from weaklm.errors import WeaklmError
from weaklm.jobs.verbs import work_here

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m weaklm.jobs FOLDER (the folder of one job, such as copilot/jobs/train-3f2a9c)")
    try:
        sys.exit(work_here(Path(sys.argv[1])))
    except WeaklmError as error:
        sys.exit(f"error: {error}")
