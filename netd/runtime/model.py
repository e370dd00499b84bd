"""A container as docker's API writes it, and as we keep it on disk: one definition for both (contract docker 4.3).

Unknown keys of a request are ignored, null is what docker's clients send for "not set", and a value of a wrong type is
refused by `msgspec` with the path of the key (`$.HostConfig.Memory`), which the API answers with status 400.
Amounts of memory are bytes, `nano_cpus` billionths of a processor, times RFC 3339 in UTC with nanoseconds.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from netd.structures import from_json

NEVER = "0001-01-01T00:00:00Z"
"""A moment that has not come: Go's zero time, which docker's clients know."""


class PortBinding(Struct, rename="pascal"):
    """`host_ip` "": both families; `host_port` "": any, "8000-8010": the first free one."""

    host_ip: str = ""
    host_port: str = ""


class RestartPolicy(Struct, rename="pascal"):
    """`name`: "" or "no", "always", "unless-stopped", "on-failure" (of which `maximum_retry_count` at most, 0: any)."""

    name: str = ""
    maximum_retry_count: int = 0


class Ulimit(Struct, rename="pascal"):
    name: str
    soft: int
    hard: int


class Device(Struct, rename="pascal"):
    """A node of the host's /dev.  `path_in_container` "": the same; `cgroup_permissions` of "rwm", "" for all."""

    path_on_host: str
    path_in_container: str = ""
    cgroup_permissions: str = ""


class BindOptions(Struct, rename="pascal"):
    """`create_mountpoint`: a source that is not there becomes a directory."""

    propagation: str = ""
    create_mountpoint: bool = False


class VolumeOptions(Struct, rename="pascal"):
    """`no_copy`: a new volume stays empty."""

    no_copy: bool = False


class TmpfsOptions(Struct, rename="pascal"):
    """`size_bytes` 0: half of the memory; `mode` 0: 1777."""

    size_bytes: int = 0
    mode: int = 0


class Mount(Struct, rename="pascal"):
    """`type`: "bind", "volume" or "tmpfs", whose own options count only for it."""

    type: str
    source: str = ""
    target: str = ""
    read_only: bool = False
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class ContainerConfig(Struct, rename="pascal"):
    """`entrypoint` and `cmd` None: the image's.  `exposed_ports` keys are "80/tcp"."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    entrypoint: list[str] | None = None
    image: str = ""
    exposed_ports: dict[str, object] | None = None
    volumes: dict[str, object] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    mac_address: str = ""
    network_disabled: bool = False
    stop_signal: str = ""
    stop_timeout: int | None = None


class HostConfig(Struct, rename="pascal"):
    """`binds` are "SOURCE:TARGET[:OPTIONS]"; `links` "CONTAINER[:ALIAS]"; `extra_hosts` "NAME:ADDRESS"."""

    binds: list[str] | None = None
    mounts: list[Mount] | None = None
    tmpfs: dict[str, str] | None = None
    network_mode: str = ""
    port_bindings: dict[str, list[PortBinding] | None] | None = None
    publish_all_ports: bool = False
    restart_policy: RestartPolicy = field(default_factory=RestartPolicy)
    auto_remove: bool = False
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    privileged: bool = False
    devices: list[Device] | None = None
    device_cgroup_rules: list[str] | None = None
    annotations: dict[str, str] | None = None
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    cpu_shares: int = 0
    nano_cpus: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = None
    shm_size: int = 0
    oom_score_adj: int = 0
    group_add: list[str] | None = None
    init: bool | None = None
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    links: list[str] | None = None
    sysctls: dict[str, str] | None = None
    uts_mode: str = field(default="", name="UTSMode")
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    cgroup_parent: str = ""
    ipc_mode: str = ""
    pid_mode: str = ""
    userns_mode: str = ""
    cgroupns_mode: str = ""
    runtime: str = ""
    volumes_from: list[str] | None = None
    console_size: list[int] | None = None


class EndpointAddresses(Struct, rename="pascal", omit_defaults=True):
    """The addresses asked for."""

    ipv4_address: str = field(default="", name="IPv4Address")
    ipv6_address: str = field(default="", name="IPv6Address")
    link_local_ips: list[str] | None = field(default=None, name="LinkLocalIPs")


class Endpoint(Struct, rename="pascal"):
    """One network of a container: what was asked (the first six) and, while it is attached, what it got."""

    ipam_config: EndpointAddresses | None = field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None
    gw_priority: int = 0
    network_id: str = field(default="", name="NetworkID")
    endpoint_id: str = field(default="", name="EndpointID")
    gateway: str = ""
    ip_address: str = field(default="", name="IPAddress")
    ip_prefix_len: int = field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = field(default="", name="IPv6Gateway")
    global_ipv6_address: str = field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = field(default=0, name="GlobalIPv6PrefixLen")
    dns_names: list[str] | None = field(default=None, name="DNSNames")


class NetworkingConfig(Struct, rename="pascal"):
    """Keys are names or ids of networks."""

    endpoints_config: dict[str, Endpoint | None] | None = None


class CreateRequest(ContainerConfig, rename="pascal"):
    """The body of POST /containers/create."""

    host_config: HostConfig = field(default_factory=HostConfig)
    networking_config: NetworkingConfig = field(default_factory=NetworkingConfig)


class ExecOptions(Struct, rename="pascal"):
    """The body of POST /containers/{id}/exec: one more process in a running container."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    tty: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    privileged: bool = False
    user: str = ""
    working_dir: str = ""


class State(Struct, rename="pascal"):
    """`status`: created, running, paused, restarting, exited, dead (removing is never kept)."""

    status: str = "created"
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = field(default=False, name="OOMKilled")
    started_at: str = NEVER
    finished_at: str = NEVER

    @property
    def running(self) -> bool:
        """Whether there is a process (docker counts a paused or restarting one too)."""
        return self.status in ("running", "paused", "restarting")


class SandboxState(Struct, rename="pascal"):
    """What the sandbox keeps of a started container, so that a new daemon knows it.

    `key` is the namespace's path ("" in host mode); `order` the networks in the order of default gateways;
    `ifnames` maps networks to interfaces; `random_macs` are the networks whose `mac_address` nobody asked for; `ports`
    what is really published, by container port ("80/tcp"); `resolv_conf` the digest of that file as it was written."""

    id: str = ""
    key: str = ""
    order: list[str] = field(default_factory=list)
    ifnames: dict[str, str] = field(default_factory=dict)
    random_macs: list[str] = field(default_factory=list)
    ports: dict[str, list[PortBinding]] = field(default_factory=dict)
    resolv_conf: str = ""


class Container(Struct, rename="pascal"):
    """Everything of one container.  `networks` is keyed on network names; `image_id` is the config's digest
    ("sha256:…"); `argv` what is executed; `stopped_by_user` is what "unless-stopped" asks for after a restart; `linked`
    maps aliases of `--link` on the default bridge to the ids of the containers they lead to."""

    id: str
    name: str
    created: str
    config: ContainerConfig
    host_config: HostConfig
    image_id: str = ""
    argv: list[str] = field(default_factory=list)
    networks: dict[str, Endpoint] = field(default_factory=dict)
    state: State = field(default_factory=State)
    sandbox: SandboxState = field(default_factory=SandboxState)
    restart_count: int = 0
    stopped_by_user: bool = False
    linked: dict[str, str] = field(default_factory=dict)

    @property
    def short_id(self) -> str:
        return self.id[:12]


def encode(container: Container) -> bytes:
    """The text kept on disk."""
    return msgspec.json.encode(container)


def decode(text: bytes) -> Container:
    """The reverse; `msgspec.DecodeError` names what does not fit."""
    return from_json(text, Container)
