"""`python -m smartlb` is the command `smartlb`."""

import sys

from smartlb.cli.main import main

sys.exit(main())
