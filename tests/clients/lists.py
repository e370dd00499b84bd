"""Hand-written network lists, for the clients that make none themselves."""

import json

from .host import Host

__all__ = ["network_list", "write_list"]


def network_list(name: str, subnet: str, version: str = "1.0.0", subnet6: str | None = None) -> str:
    """A list like the one nerdctl writes: bridge with host-local, portmap, firewall, tuning."""
    ranges = [[{"subnet": one}] for one in (subnet, subnet6) if one]
    routes = [{"dst": "0.0.0.0/0"}] + ([{"dst": "::/0"}] if subnet6 else [])
    bridge = {
        "type": "bridge",
        "bridge": f"{name}0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": routes},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    plugins = [bridge, portmap, {"type": "firewall", "ingressPolicy": "same-bridge"}, {"type": "tuning"}]
    return json.dumps({"cniVersion": version, "name": name, "plugins": plugins}, indent=2)


def write_list(host: Host, directory: str, name: str, text: str) -> None:
    """Write a list where a client reads it."""
    host.write(f"{directory}/{name}.conflist", text)
