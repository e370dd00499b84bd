"""From the flags of `run` to the body of POST /containers/create.  Reads the files that flags name, nothing else."""

from __future__ import annotations

import os

from netd.cli import amounts
from netd.cli.network_arguments import DEFAULT, networks
from netd.failure import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from netd.cli.flags import Arguments

    Body = dict[str, object]

_UNMASKED = "systempaths=unconfined"
STREAMS = ("stdin", "stdout", "stderr")


def create_body(arguments: Arguments, environ: Mapping[str, str], streams: Sequence[str]) -> Body:
    """The request; `streams` are those that will be attached.  InvalidParameter names the flag at fault."""
    if arguments.platform:
        amounts.check_platform("--platform", arguments.platform)
    mode, endpoints = networks(arguments)
    body: Body = {
        "Image": arguments.image,
        "Cmd": list(arguments.words) or None,
        "Hostname": arguments.hostname,
        "Domainname": arguments.domainname,
        "User": arguments.user,
        "WorkingDir": arguments.workdir,
        "Tty": arguments.tty,
        "OpenStdin": arguments.interactive,
        "StdinOnce": arguments.interactive and "stdin" in streams,
        **{f"Attach{name.capitalize()}": name in streams for name in STREAMS},
        "Env": environment(arguments, environ),
        "Labels": _pairs("--label", [*_lines("--label-file", arguments.label_file), *arguments.label]),
        "StopSignal": arguments.stop_signal,
        "MacAddress": arguments.mac_address,
        "NetworkingConfig": {"EndpointsConfig": endpoints},
        "HostConfig": _host_config(arguments, mode),
    }
    if arguments.entrypoint is not None:
        # docker's sign for "not even the image's" is one empty string
        body["Entrypoint"] = [arguments.entrypoint]
    if arguments.stop_timeout is not None:
        body["StopTimeout"] = arguments.stop_timeout
    _ports(arguments, body)
    _volumes(arguments, body)
    return _said(body)


def _host_config(arguments: Arguments, mode: str) -> Body:
    if arguments.rm and arguments.restart not in ("", "no"):
        raise InvalidParameter("--rm and --restart exclude each other")
    config: Body = {
        "NetworkMode": mode,
        "AutoRemove": arguments.rm,
        "Privileged": arguments.privileged,
        "ReadonlyRootfs": arguments.read_only,
        "CapAdd": list(arguments.cap_add),
        "CapDrop": list(arguments.cap_drop),
        "GroupAdd": list(arguments.group_add),
        "SecurityOpt": [_security(text) for text in arguments.security_opt if text != _UNMASKED],
        "Ulimits": [amounts.ulimit("--ulimit", text) for text in arguments.ulimit],
        "Dns": [_address("--dns", text) for text in arguments.dns],
        "DnsOptions": list(arguments.dns_option),
        "DnsSearch": list(arguments.dns_search),
        "ExtraHosts": [_extra_host(text) for text in arguments.add_host],
        "Links": _links(arguments, mode),
        "Sysctls": _pairs("--sysctl", arguments.sysctl, needs_value=True),
        "UTSMode": arguments.uts,
        "CgroupParent": arguments.cgroup_parent,
        "OomScoreAdj": arguments.oom_score_adj,
        "Init": arguments.init or None,
        "PublishAllPorts": arguments.publish_all,
    }
    if arguments.shm_size:
        config["ShmSize"] = amounts.memory("--shm-size", arguments.shm_size)
    config |= limits_of(arguments)
    # the daemon knows this option as two empty lists, which say something
    unmasked: Body = {"MaskedPaths": [], "ReadonlyPaths": []} if _UNMASKED in arguments.security_opt else {}
    return _said(config) | unmasked


def limits_of(arguments: Arguments) -> Body:
    """What `container update` can change, too."""
    config: Body = {
        "CpuPeriod": arguments.cpu_period,
        "CpuQuota": arguments.cpu_quota,
        "CpusetCpus": arguments.cpuset_cpus,
        "CpusetMems": arguments.cpuset_mems,
        "CpuShares": arguments.cpu_shares,
        "PidsLimit": arguments.pids_limit,
    }
    if arguments.restart:
        config["RestartPolicy"] = amounts.restart_policy("--restart", arguments.restart)
    if arguments.cpus:
        config["NanoCpus"] = amounts.cpus("--cpus", arguments.cpus)
    sizes: tuple[tuple[str, str, str, Callable[[str, str], int]], ...] = (
        ("--memory", arguments.memory, "Memory", amounts.memory),
        ("--memory-swap", arguments.memory_swap, "MemorySwap", amounts.memory_or_unlimited),
        ("--memory-reservation", arguments.memory_reservation, "MemoryReservation", amounts.memory),
    )
    config.update({wire: read(flag, text) for flag, text, wire, read in sizes if text})
    return _said(config)


def _said(values: Body) -> Body:
    """Without what says nothing; a zero says something."""
    return {key: value for key, value in values.items() if value is not False and value not in ("", None, [], {})}


def _links(arguments: Arguments, mode: str) -> list[str]:
    """On the default bridge links are the container's; elsewhere its endpoint's, where `networks` has put them."""
    return list(arguments.link) if mode in (DEFAULT, "bridge", "host", "none") or mode.startswith("container:") else []


def environment(arguments: Arguments, environ: Mapping[str, str]) -> list[str]:
    """NAME=VALUE of --env-file, then of --env; a name alone takes its value from here.  Where it has none, one of
    --env is sent alone, which takes the variable away, and one of a file is left out.  InvalidParameter."""
    found = []
    for flag, texts in (("--env-file", _lines("--env-file", arguments.env_file)), ("--env", arguments.env)):
        for text in texts:
            name, equals, _ = text.partition("=")
            if not name or any(char in " \t" for char in name):
                raise InvalidParameter(f"--env {text!r}: expected NAME=VALUE or NAME")
            if not equals and name in environ:
                found.append(f"{name}={environ[name]}")
            elif equals or flag == "--env":
                found.append(text)
    return found


def _lines(flag: str, paths: Iterable[str]) -> list[str]:
    """The lines of files, without empty ones and comments."""
    found = []
    for path in paths:
        try:
            with open(path, encoding="utf-8-sig") as stream:
                lines = [line.lstrip() for line in stream.read().splitlines()]
        except OSError as error:
            raise InvalidParameter(f"{flag} {path}: {(error.strerror or str(error)).lower()}") from None
        except UnicodeDecodeError:
            raise InvalidParameter(f"{flag} {path}: not a text in UTF-8") from None
        found += [line for line in lines if line and not line.startswith("#")]
    return found


def _pairs(flag: str, texts: Iterable[str], needs_value: bool = False) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or (needs_value and not equals):
            raise InvalidParameter(f"{flag} {text!r}: expected KEY=VALUE")
        found[key] = value
    return found


def _address(flag: str, text: str) -> str:
    from pycni.spec.address import Address

    try:
        Address.parse(text)
    except ValueError:
        raise InvalidParameter(f"{flag} {text}: an address is needed") from None
    return text


def _extra_host(text: str) -> str:
    """NAME:ADDRESS of both spellings, `name:address` and `name=address`."""
    name, equals, address = text.partition("=")
    if not equals:
        name, equals, address = text.partition(":")
    address = address.removeprefix("[").removesuffix("]")
    if not name or not equals:
        raise InvalidParameter(f"--add-host {text!r}: expected NAME:ADDRESS")
    if address != "host-gateway":
        _address(f"--add-host {name}", address)
    return f"{name}:{address}"


def _security(text: str) -> str:
    """A seccomp profile is a file of here; what the daemon gets is its content, as with docker."""
    name, equals, value = text.partition("=")
    if name != "seccomp" or not equals or value in ("unconfined", "builtin", "") or value.startswith("{"):
        return text
    try:
        with open(value, encoding="utf-8") as stream:
            return f"seccomp={stream.read().strip()}"
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidParameter(f"--security-opt seccomp={value}: {(reason or str(error)).lower()}") from None


def _ports(arguments: Arguments, body: Body) -> None:
    if not (arguments.publish or arguments.expose):
        return
    from netd.ports.grammar import parse_expose, parse_publishes

    exposed, bindings = parse_publishes(arguments.publish)
    for text in arguments.expose:
        exposed += parse_expose(text)
    body["ExposedPorts"] = {port: {} for port in exposed}
    config = body["HostConfig"]
    assert isinstance(config, dict)
    if bindings:
        config["PortBindings"] = bindings


def _volumes(arguments: Arguments, body: Body) -> None:
    """`-v`, `--mount` and `--tmpfs`."""
    if not (arguments.volume or arguments.mount or arguments.tmpfs):
        return
    from netd.cli.volume_arguments import Volumes

    found = Volumes(os.getcwd())
    for text in arguments.volume:
        found.volume(text)
    for text in arguments.mount:
        found.mount(text)
    for text in arguments.tmpfs:
        found.memory(text)
    if found.anonymous:
        body["Volumes"] = {path: {} for path in found.anonymous}
    config = body["HostConfig"]
    assert isinstance(config, dict)
    for key, value in (("Binds", found.binds), ("Mounts", found.mounts), ("Tmpfs", found.tmpfs)):
        if value:
            config[key] = value
