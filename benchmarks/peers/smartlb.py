"""smartlb itself: one worker, the learned policy with its learner and telemetry."""

import importlib.util
import json
import sys
import urllib.request
from pathlib import Path

from benchmarks.peers.peer import Peer, Site, pip_install
from smartlb import __version__ as smartlb_version


def config(site: Site) -> str:
    """Return smartlb's configuration for `site`, which is YAML and so may be JSON."""
    return json.dumps(
        {
            "listeners": [{"bind": "127.0.0.1:0"}],
            "pools": {"backends": {"backends": list(site.backends), "policy": "learned"}},
            "workers": 1,
            "admin": {"bind": "127.0.0.1:0"},
            "shutdown_s": 2,
        },
        indent=2,
    )


def _package() -> Path | None:
    spec = importlib.util.find_spec("smartlb")
    return Path(spec.origin).parent if spec and spec.origin else None


def _find() -> list[str] | None:
    package = _package()
    if package is None or not (package / "__main__.py").is_file():
        return None
    return [sys.executable, "-m", "smartlb"]


def _environ(_site: Site) -> dict[str, str]:
    # The server starts in a folder of its own and yet runs the code that this process would import.
    package = _package()
    return {"PYTHONPATH": str(package.parent)} if package else {}


def _ready_address(site: Site) -> str | None:
    """The listener, once the learner's weights are in use: its start is not what is measured."""
    try:
        ready = json.loads((site.folder / "ready.json").read_text())
        with urllib.request.urlopen(f"http://{ready['admin']}/status", timeout=5) as answer:
            learned = all(worker["snapshot_version"] for worker in json.load(answer)["workers"])
    except (OSError, json.JSONDecodeError):
        return None
    return str(ready["listeners"][0]) if learned else None


PEER = Peer(
    name="smartlb",
    find=_find,
    install=f"{pip_install('-e .')}, in the folder of this repository",
    version=lambda _program: smartlb_version,
    files=lambda site: {"smartlb.yaml": config(site)},
    arguments=lambda site: [
        *("serve", f"{site.folder}/smartlb.yaml"),
        *("--ready-file", f"{site.folder}/ready.json"),
        *("--for-s", "300"),
    ],
    environ=_environ,
    worker="smartlb.worker.process",
    address=_ready_address,
)
