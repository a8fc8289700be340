"""The secrets that sign affinity's cookies, which the configuration only says where to find."""

import os
from pathlib import Path

from smartlb.config.model import Config
from smartlb.config.traffic import Affinity as Settings

_SHORTEST = 16


class NoSecret(Exception):
    """A pool's secret is not to be had; the message says why."""


def secret_of(pool: str, settings: Settings) -> bytes:
    """The secret that signs a pool's cookies.

    What the configuration names is not cited where it is not there: it may be the secret, put in the wrong place.

    Raises:
        NoSecret: it cannot be read, or is too short.
    """
    if settings.secret_env is not None:
        source = "the environment variable that `affinity.secret_env` names"
        text = os.environ.get(settings.secret_env)
        if text is None:
            raise NoSecret(f"pool {pool}: {source} is not set; expected the secret for affinity there")
        secret = os.fsencode(text)
    else:
        source = "the file that `affinity.secret_file` names"
        try:
            secret = Path(str(settings.secret_file)).read_bytes()
        except OSError as error:
            raise NoSecret(f"pool {pool}: {source}, with the secret for affinity: {error.strerror}") from None
    secret = secret.strip()
    if len(secret) < _SHORTEST:
        raise NoSecret(
            f"pool {pool}: expected a secret for affinity of at least {_SHORTEST} bytes in {source}, found "
            f"{len(secret)}"
        )
    return secret


def secrets_of(config: Config) -> dict[str, bytes]:
    """The secrets of all pools that sign cookies.

    Raises:
        NoSecret: see `secret_of`.
    """
    return {
        name: secret_of(name, pool.affinity)
        for name, pool in config.pools.items()
        if pool.affinity is not None and pool.affinity.kind == "cookie"
    }
