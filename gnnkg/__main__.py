"""``python -m gnnkg`` is the command ``gnnkg``."""

import sys

from gnnkg.cli import main

sys.exit(main())
