"""`pynetd dhcp`: holds the leases of the dhcp plugin's containers.

One thread, one loop.  The two protocols (`client4`, `client6`) are state machines without sockets and clocks; `port` is
an interface in a container, `attachment` what one CNI attachment has on it, `service` all of them, `server` the
plugin's way in.
"""
