"""What runs inside the Python processes of a run, in the user's own interpreter.

    site/sitecustomize.py           the one file that Python finds, for `site` is put in front of PYTHONPATH
    site/git_replicate_probe/       what it imports: standard library only, nothing else of ours, Python 3.8 and later

Nothing in there is imported by the rest of the tool, and nothing there imports it. A probe observes and appends what
it saw to a file of its process's own; what that means for the record is decided in `capture.probe_report` and the
readers beside it.
"""

import os
from typing import Final

SITE: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")
"""The folder that a run's PYTHONPATH begins with."""
VARIABLE: Final = "GIT_REPLICATE_PROBE"
"""What the probe is told, as JSON; empty or absent: nothing is observed."""
