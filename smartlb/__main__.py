"""`python -m smartlb` is the command `smartlb`."""

import sys

from smartlb.cli import main

sys.exit(main())
