"""Pools that send a client to the backend that it had before.

What binds is a cookie, as HAProxy's `cookie insert` does it (src/http_ana.c), but signed; or a hash on the ring that
ip_hash uses, which needs no memory. The pool's policy is asked where nothing binds, or where what is bound is away.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hmac import compare_digest, digest
from time import time
from typing import Protocol

from smartlb.config.numbering import Member
from smartlb.config.traffic import Affinity as Settings
from smartlb.core.view import PoolView
from smartlb.policies import hash_ring, ring_walk
from smartlb.policies.policy import Members
from smartlb.upstream.members import members_of
from smartlb.wire.forwarding import Peer, hash64
from smartlb.wire.http1 import HeaderBlock, header_value

_ID_BYTES = 9

AWAY = -1
"""The bound backend cannot be picked now."""


class Affinity(Protocol):
    """What binds requests to backends; a key of 0 binds to none."""

    def key(self, peer: Peer, target: bytes, block: HeaderBlock) -> int:
        """What a request brings with it."""

    def pick(self, view: PoolView, key: int, now_s: float) -> tuple[int, bool]:
        """A backend for a key that is not 0, or `AWAY`; and whether it is the one bound to."""

    def response_line(self, view: PoolView, key: int, position: int) -> bytes:
        """A header line for the response, with its CRLF, or nothing; `position` is that of who answered."""


class CookieAffinity:
    """Binds by a cookie: the backend's id, when the cookie ends, and a signature of both by HMAC-SHA256.

    A key is the backend's position + 1, negative where the cookie should be renewed.

    Args:
        settings: of the configuration.
        pool: its name; a cookie holds for one pool.
        names: of the backends; they cannot be told from their ids without the secret.
        secret: signs.
    """

    def __init__(self, settings: Settings, pool: str, names: Sequence[str], secret: bytes) -> None:
        self._secret = secret
        self._pool = pool.encode()
        self._ttl_s = settings.ttl_s
        self._ids = [
            urlsafe_b64encode(digest(secret, b"backend\0%s\0%s" % (self._pool, name.encode()), "sha256")[:_ID_BYTES])
            for name in names
        ]
        self._positions = {identity: at for at, identity in enumerate(self._ids) if names[at]}
        name = (settings.name or "smartlb").encode()
        self._find = re.compile(
            rb"\r\n(?i:cookie):(?:[^\r\n]*;)?[ \t]*%s=([A-Za-z0-9_-]{12})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})[;\r \t]"
            % re.escape(name)
        ).search
        self._line = b"set-cookie: %s=%%s; Path=/; HttpOnly; SameSite=Lax%s%s\r\n" % (
            name.replace(b"%", b"%%"),
            b"; Secure" if settings.secure else b"",
            b"" if settings.ttl_s is None else b"; Max-Age=%d" % settings.ttl_s,
        )

    def _signature(self, identity: bytes, expires: bytes) -> bytes:
        signed = b"cookie\0%s\0%s\0%s" % (self._pool, identity, expires)
        # Without the padding: some clients put a value with = in quotes when they send it back.
        return urlsafe_b64encode(digest(self._secret, signed, "sha256")).rstrip(b"=")

    def key(self, _peer: Peer, _target: bytes, block: HeaderBlock) -> int:
        """What the cookie says; 0 where there is none that holds."""
        found = self._find(block.headers)
        if found is None:
            return 0
        identity, expires, signature = found.groups()
        position = self._positions.get(identity)
        if position is None or not compare_digest(signature, self._signature(identity, expires)):
            return 0
        if self._ttl_s is None:
            return position + 1
        left_s = int(expires) - time()
        # One that ends later than any cookie of now was set under another ttl_s, which may have been none.
        if not 0 < left_s <= self._ttl_s + 1:
            return 0
        return position + 1 if left_s >= self._ttl_s / 2 else -(position + 1)

    def pick(self, view: PoolView, key: int, _now_s: float) -> tuple[int, bool]:
        """The backend of the cookie, or `AWAY`."""
        position = abs(key) - 1
        return (position, True) if view.barred[position] == 0.0 else (AWAY, False)

    def response_line(self, view: PoolView, key: int, position: int) -> bytes:
        """The cookie to set: for a new client, for one whose backend is away, or for a longer time."""
        if key > 0 and (key - 1 == position or view.barred[key - 1] == 0.0):
            return b""  # one that was only full, or failed this once, keeps its clients
        if key < 0 and view.barred[-key - 1] == 0.0:
            position = -key - 1
        expires = b"0" if self._ttl_s is None else b"%d" % (int(time()) + self._ttl_s)
        identity = self._ids[position]
        return self._line % b".".join((identity, expires, self._signature(identity, expires)))


class RingAffinity:
    """Binds by a hash on a consistent ring; a key is the hash.

    Args:
        settings: of the configuration.
        members: the pool's backends.
    """

    def __init__(self, settings: Settings, members: Members) -> None:
        self._memory = hash_ring.remember(members, hash_ring.Options(load_bound=settings.load_bound))
        self._kind = "url" if settings.kind == "url" else "client_ip"
        self._value = header_value(settings.name) if settings.kind == "header" and settings.name else None

    def key(self, peer: Peer, target: bytes, block: HeaderBlock) -> int:
        """The hash; 0 where the request has not the header."""
        if self._value is None:
            return peer.key(self._kind, target, block)
        value = self._value(block)
        return hash64(value) if value else 0

    def pick(self, view: PoolView, key: int, now_s: float) -> tuple[int, bool]:
        """The first backend from the key on that may be picked and has room."""
        position = ring_walk.PROGRAM.pick(view, self._memory, 0, key, now_s, ())
        return position, position == hash_ring.owner(self._memory, key)

    def response_line(self, _view: PoolView, _key: int, _position: int) -> bytes:
        """Nothing: the next request has the same hash."""
        return b""


def affinity_of(settings: Settings, pool: str, members: Sequence[Member], secret: bytes) -> Affinity:
    """What binds the requests of a pool.

    Args:
        settings: of the pool's affinity.
        pool: its name.
        members: its positions.
        secret: signs cookies.
    """
    described = members_of(members)
    if settings.kind == "cookie":
        return CookieAffinity(settings, pool, described.names, secret)
    return RingAffinity(settings, described)
