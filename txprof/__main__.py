"""`python -m txprof` is `txprof`."""

from __future__ import annotations

import sys

from txprof.cli import main

sys.exit(main())
