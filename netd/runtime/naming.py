"""Names and ids of containers: what is allowed, and what is made up (contract docker 4.3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from netd.failure import InvalidParameter

_ALLOWED = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_QUALITIES = """
agile amber ample apt avid azure balmy blithe bold brave breezy bright brisk calm candid cheerful chipper civil clever
cosy crisp curious daring deft diligent dreamy dulcet earnest easy elated elegant exact fair fearless festive fleet
fond frank fresh frugal gallant genial gentle glad golden graceful grand hardy hearty hopeful humble jaunty jolly
jovial keen kind lively loyal lucid lucky mellow merry mild mirthful neat nimble noble patient placid plucky polite
prompt proud quick quiet radiant ready robust rosy serene sharp sincere snug sober spry steady sunny swift tidy
tranquil trusty upbeat valiant vivid warm wise witty zesty
"""

_PEOPLE = """
abramson adleman albers baker baran bell berezin borg boyle cailliau cerf chappe clarke colossi cooke crocker davies
diffie dijkstra estrin fano feinler floyd ford fulkerson gray hamming hartley heaviside hedy hellman hertz hopper
huffman jacobson kahn karels karn kleinrock lamarr lampson lawes leiner licklider lovelace marconi maxwell mccarthy
merkle metcalfe mills mockapetris moore morse nagle nyquist perlman popov postel pouzin radia reed rekhter ritchie
rivest roberts roemer salz saltzer shamir shannon shaw steiner tanenbaum taylor tesla thompson tomlinson turing vixie
volta wheatstone wing zimmermann
"""

_TRIES = 8


def valid_name(name: str) -> str:
    """`name` without the leading slash that docker's clients may send; InvalidParameter for one that docker refuses."""
    bare = name.removeprefix("/")
    if not _ALLOWED.fullmatch(bare):
        raise InvalidParameter(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, two characters at least"
        )
    return bare


def random_name(taken: Callable[[str], bool], random: Random) -> str:
    """`quality_person`; with a number behind it when several attempts met names that are `taken`."""
    for _ in range(_TRIES):
        name = f"{random.choice(_QUALITIES.split())}_{random.choice(_PEOPLE.split())}"
        if not taken(name):
            return name
    number = 2
    while taken(f"{name}{number}"):
        number += 1
    return f"{name}{number}"


def random_id(random: Random) -> str:
    """64 hexadecimal digits whose first 12 are not a decimal number: some tools would take the short id for one."""
    while True:
        made = f"{random.getrandbits(256):064x}"
        if not made[:12].isdecimal():
            return made
