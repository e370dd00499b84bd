"""bandwidth's keys and what they mean to a token bucket (contract 2.9): pure."""

from __future__ import annotations

from pycni.kernel.qdisc import TokenBucket
from pycni.record import Record
from pycni.spec.errors import CniError
from pycni.spec.request import Config
from pycni.spec.section import Section

KEYS = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
_LARGEST = 0xFFFFFFFF
_TICKS = 15.625
"""The packet scheduler's ticks in a microsecond: one is 64 ns in every kernel since 2.6.31 (/proc/net/psched)."""

_LATENCY = 0.025
"""Seconds that a packet may have to wait in a bucket's queue."""


class Limit(Record):
    """`rate` in bits a second, `burst` in bits."""

    rate: int
    burst: int


class Limits(Record):
    """Of what goes to the container, and of what comes from it; None: unlimited."""

    ingress: Limit | None = None
    egress: Limit | None = None


def parse(config: Config) -> Limits:
    """The top-level keys or, when there are none, runtimeConfig.bandwidth; CniError names what is wrong.  Where the
    first hide the second, these are numbers all the same."""
    top, runtime = config.section, config.runtime.section_or_empty("bandwidth")
    for key in KEYS:
        _number(runtime, key)
    names = {name.lower() for name in top.raw}
    return _limits(top if any(key.lower() in names for key in KEYS) else runtime)


def _limits(section: Section) -> Limits:
    return Limits(_limit(section, "ingress"), _limit(section, "egress"))


def _number(section: Section, key: str) -> int:
    return section.integer(key, unsigned=True, bits=64)


def _limit(section: Section, direction: str) -> Limit | None:
    rate, burst = _number(section, f"{direction}Rate"), _number(section, f"{direction}Burst")
    if rate and not burst:
        raise CniError("if rate is set, burst must also be set")
    if burst and not rate:
        raise CniError("if burst is set, rate must also be set")
    if burst // 8 >= _LARGEST:
        raise CniError("burst cannot be more than 4GB")
    for key, value in ((f"{direction}Rate", rate), (f"{direction}Burst", burst)):
        if 0 < value < 8:
            raise section.wrong(key, f"{value} bits are less than a byte")
    return Limit(rate, burst) if rate else None


def token_bucket(limit: Limit) -> TokenBucket:
    """The reference's parameters; numbers that it would cut to 32 bits are the largest instead."""
    rate, burst = limit.rate // 8, limit.burst // 8
    microseconds = min(int(burst * 1e6 / rate), _LARGEST)
    return TokenBucket(
        rate,
        min(int(rate * (_LATENCY * 1e6) / 1e6) + burst, _LARGEST),
        min(int(microseconds * _TICKS), _LARGEST),
    )
