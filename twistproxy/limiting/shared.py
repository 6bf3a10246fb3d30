"""A limit that several proxies share, in Redis.

One script does a whole decision, by Redis's own clock, so that no two proxies can both take the last place, and theirs
need not agree. What a key is called there says nothing about who it is of.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.logger import Logger

from twistproxy.limiting.gcra import Decision, Rate

_log: Final = Logger(namespace="twistproxy.error")

_MICROSECONDS: Final = 1_000_000
_MAX_DELAY: Final = 2.0
"""Seconds: the longest wait before a lost connection is made again."""

SCRIPT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local due = tonumber(redis.call('GET', KEYS[1]) or '0')
local ahead = math.max(due - now, 0)
local tolerance, interval = tonumber(ARGV[1]), tonumber(ARGV[2])
if ahead <= tolerance then
    due = now + ahead + interval
    redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000) + 1)
end
return string.format('%.0f', ahead)
"""
"""Takes a place if there is one. What L{Rate.decide} needs is returned: microseconds that the request came too early."""


class SharedLimit:
    """A limit for each of many keys, in a Redis server. Keys that say nothing any more expire there."""

    def __init__(
        self, rate: Rate, place: tuple[str, int], name: str, reactor: Any, timeout: float, password: str | None = None
    ) -> None:
        """
        @param place: host and port of the server.
        @param name: limits of the same name, rate and burst are one.
        @param timeout: seconds that an answer may take.
        """
        self.rate = rate
        self._place = place
        self._label = f"{place[0]}:{place[1]}"
        self._prefix = f"twistproxy:rate:{name}:{rate.perSecond:g}:{rate.burst}:".encode()
        self._reactor = reactor
        self._timeout = timeout
        self._password = password
        self._factory: Any = None
        self._isLost = False
        self._arguments = [round(rate.tolerance * _MICROSECONDS), round(rate.interval * _MICROSECONDS)]

    def start(self) -> None:
        """Connect, and go on trying."""
        import txredisapi  # not before: it takes the reactor that is installed then

        host, port = self._place
        self._factory = txredisapi.RedisFactory(
            self._label, None, 1, True, charset=None, password=self._password, replyTimeout=self._timeout
        )
        self._factory.maxDelay = _MAX_DELAY
        self._factory.startConnecting(HostnameEndpoint(self._reactor, host, port))

    def stop(self) -> Deferred[Any]:
        """Disconnect."""
        factory, self._factory = self._factory, None
        return succeed(None) if factory is None else maybeDeferred(factory.disconnect)

    async def take(self, key: bytes) -> Decision:
        """A request of C{key} comes. Raises when Redis does not answer in time."""
        name = self._prefix + blake2b(key, digest_size=16).hexdigest().encode()
        try:
            if self._factory is None or not self._factory.size:
                raise ConnectionError("not connected")  # txredisapi would have it wait, and no end of them
            asking: Deferred[Any] = self._factory.handler.eval(SCRIPT, [name], self._arguments)
            ahead = await asking.addTimeout(self._timeout, self._reactor)
        except Exception as error:
            if not self._isLost:
                self._isLost = True
                _log.error(
                    "Redis at {place} does not answer: {reason}; limits are not shared until it does",
                    place=self._label, reason=f"{type(error).__name__}: {error}",
                )  # fmt: skip
            raise
        if self._isLost:
            self._isLost = False
            _log.info("Redis at {place} answers again", place=self._label)
        return self.rate.decide(int(ahead) / _MICROSECONDS)
