"""Latency and error models, one family a file; each gives river's objects this package's interface."""

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec

import river


def _load_when_used(package: object, name: str) -> None:
    """Have a module of a package executed at the first use of what is in it, as `importlib`'s recipe does."""
    spec = find_spec(name)
    if name in sys.modules or spec is None or spec.loader is None:
        return
    spec.loader = LazyLoader(spec.loader)
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(package, name.rpartition(".")[2], module)  # or `from package import` would look for it, and so use it


# River's linear models import it for what is not used here, and it imports all of scipy.stats: 46 MB, and 0.3 s of
# the time that a learner takes to start.
_load_when_used(river, "river.proba")
