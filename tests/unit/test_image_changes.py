from __future__ import annotations

import pytest

from netd.failure import InvalidParameter
from netd.runtime.images.changes import apply
from netd.runtime.images.model import ImageConfig


def changed(*changes: str) -> ImageConfig:
    config = ImageConfig()
    apply(changes, config)
    return config


def test_every_instruction() -> None:
    config = changed(
        'CMD ["sleep", "1"]',
        "entrypoint /bin/run it",
        "ENV A=1 B='two words'",
        "ENV C see sea",
        "ENV A=3",
        "LABEL x=y",
        "EXPOSE 80 53/udp 90-91",
        'VOLUME ["/data", "/log"]',
        "VOLUME /more",
        "USER web:web",
        "WORKDIR /srv",
        "WORKDIR app",
        "STOPSIGNAL SIGINT",
    )
    assert config == ImageConfig(
        user="web:web",
        exposed_ports={"80/tcp": {}, "53/udp": {}, "90/tcp": {}, "91/tcp": {}},
        env=["A=3", "B=two words", "C=see sea"],
        entrypoint=["/bin/sh", "-c", "/bin/run it"],
        cmd=["sleep", "1"],
        volumes={"/data": {}, "/log": {}, "/more": {}},
        working_dir="/srv/app",
        labels={"x": "y"},
        stop_signal="SIGINT",
    )


def test_an_empty_command_takes_it_away() -> None:
    assert changed("CMD sleep 1", "CMD []").cmd == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("RUN true", "RUN is not a valid change command"),
        ("", "'' is not a valid change command"),
        ("USER", "USER requires at least one argument"),
        ("USER a b", "USER a b: takes exactly one argument"),
        ("EXPOSE http", "EXPOSE http: invalid containerPort: http"),
        ("EXPOSE 70000", "EXPOSE 70000: invalid containerPort: 70000"),
        ("EXPOSE 9-8", "EXPOSE 9-8: invalid containerPort: 9-8"),
        ("ENV A", "ENV A: must have two arguments"),
        ("ENV A=1 b", "ENV A=1 b: can't find = in 'b': must be of the form: name=value"),
        ("VOLUME data", "VOLUME data: VOLUME takes absolute paths"),
    ],
)
def test_refusals_name_the_instruction(change: str, words: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        changed(change)
    assert str(raised.value) == words


@pytest.mark.parametrize("change", ["ENV A='", 'VOLUME ["/a"', 'LABEL "'])
def test_unfinished_quotes(change: str) -> None:
    with pytest.raises(InvalidParameter, match=change.split()[0]):
        changed(change)
