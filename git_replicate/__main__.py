"""`python -m git_replicate`."""

import sys

from git_replicate.cli import main

sys.exit(main())
