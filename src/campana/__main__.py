"""`python -m campana`: the same as the `campana` command."""

import sys

from campana.cli.main import main

sys.exit(main())
