#!/bin/bash
# The inside of a disposable host: see host.py, which starts it and keeps its standard input open.
#
#   host.sh enter NAME SCRATCH   make the cgroups, leave the caller's namespaces, go on as pid 1 of the new host
#   host.sh join NAME PID CMD..  run CMD as a service of the host whose pid 1 is PID, in the host's cgroups
#
# Everything the host is made of hangs on its pid 1: when that ends, the kernel ends every process inside, and with them
# go mounts, links and firewall rules. Only cgroup directories and SCRATCH remain, for host.py to remove.
set -euo pipefail

# Debian 12 as it is installed has version 2 alone.
unified() { [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; }

hierarchies() {
    local dir
    if unified; then
        echo /sys/fs/cgroup
        return
    fi
    for dir in /sys/fs/cgroup/*; do
        [[ -L $dir || ! -e $dir/cgroup.procs ]] || printf '%s\n' "$dir"
    done
}

join_cgroups() {
    local dir
    for dir in $(hierarchies); do echo $$ >"$dir/$1/cgroup.procs"; done
}

enter() {
    local name=$1 scratch=$2 dir file
    for dir in $(hierarchies); do
        mkdir -p "$dir/$name"
        # A cpuset takes no process before it has processors and memory.
        for file in cpuset.mems cpuset.cpus; do
            [[ ! -e $dir/$file ]] || cat "$dir/$file" >"$dir/$name/$file"
        done
    done
    join_cgroups "$name"
    exec unshare --cgroup "$0" leave "$name" "$scratch"
}

# Version 2 gives no controllers to the children of a cgroup that has processes itself, as the host's root may not.
leaf() {
    if unified; then echo "$1/processes"; else echo "$1"; fi
}

leave() {
    local name=$1 scratch=$2
    if unified; then mkdir "/sys/fs/cgroup/$(leaf "$name")"; fi
    join_cgroups "$(leaf "$name")"
    exec unshare --mount --net --pid --fork --uts --ipc --propagation private "$0" boot "$scratch"
}

# Each v1 hierarchy anew, so that its root is the host's own directory: containers' cgroups stay below it.
mount_cgroups() {
    local dir name options kinds=()
    if unified; then
        umount --recursive --lazy /sys
        mount -t sysfs sysfs /sys
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        return
    fi
    for dir in $(hierarchies); do kinds+=("$(stat -f -c %T "$dir") ${dir##*/}"); done
    # Unmounted, not covered: clients read the mount table and would take the machine's hierarchies for their own.
    umount --recursive --lazy /sys
    mount -t sysfs sysfs /sys
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    for name in "${kinds[@]}"; do
        dir=/sys/fs/cgroup/${name#* }
        mkdir "$dir"
        case $name in
            cgroup2fs*) mount -t cgroup2 cgroup2 "$dir" ;;
            *)
                options=${name#* }
                [[ $options != systemd ]] || options=none,name=systemd
                mount -t cgroup -o "$options" cgroup "$dir"
                ;;
        esac
    done
}

boot() {
    local scratch=$1 dir
    mount -t proc proc /proc
    mount_cgroups
    # What runs on the machine is not this host's; covered only, its mounts would still be in the table.
    cut -d' ' -f2 /proc/mounts | { grep -E '^(/var/lib|/run)/' || true; } | sort -r | while read -r dir; do umount -l "$dir"; done
    for dir in etc opt var/lib; do
        mkdir -p "$scratch/upper/$dir" "$scratch/work/$dir"
        mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$scratch/upper/$dir,workdir=$scratch/work/$dir" "/$dir"
    done
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/netns /run/lock
    # Debian's ctr also looks here: a plugin missing from /opt/cni/bin must fail, not be replaced unseen.
    [[ ! -d /usr/lib/cni ]] || mount -t tmpfs -o ro tmpfs /usr/lib/cni
    # The machine's own networks, plugins and containers are none of this host's.
    rm -rf /etc/cni /opt/cni /var/lib/cni /var/lib/pynet
    mkdir -p /etc/cni/net.d /opt/cni/bin
    hostname ring
    # Names are asked of the neighbour, which refuses at once, instead of a server that is out of reach from in here.
    echo "nameserver 192.168.250.1" >/run/resolv.conf
    mount --bind /run/resolv.conf /etc/resolv.conf

    ip link set lo up
    ip netns add uplink
    ip link add eth0 type veth peer name eth0 netns uplink
    ip address add 192.168.250.2/24 dev eth0
    ip address add fd00:250::2/64 dev eth0 nodad
    ip link set eth0 up
    ip -n uplink link set lo up
    ip -n uplink address add 192.168.250.1/24 dev eth0
    ip -n uplink address add fd00:250::1/64 dev eth0 nodad
    ip -n uplink link set eth0 up
    ip route add default via 192.168.250.1
    ip -6 route add default via fd00:250::1
    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

    # What "out" is: answers only whom it has a route to, so a container gets an answer only when it is masqueraded.
    mkdir -p /run/uplink
    echo uplink >/run/uplink/index.html
    ip netns exec uplink busybox httpd -p 8000 -h /run/uplink

    echo ready
    # bash reaps what containers leave behind, as pid 1 has to; the end of standard input is the end of the host.
    while read -r _; do :; done
}

command=$1
shift
case $command in
    enter) enter "$@" ;;
    leave) leave "$@" ;;
    boot) boot "$@" ;;
    join)
        join_cgroups "$(leaf "$1")"
        shift
        pid=$1
        shift
        exec nsenter --target "$pid" --mount --net --pid --uts --ipc --cgroup -- "$@"
        ;;
esac
