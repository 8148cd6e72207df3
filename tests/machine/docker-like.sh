#!/bin/sh
# What Docker makes on a host: a bridge with one container (a network namespace, $1), its address masqueraded, and port 8000
# published. Run in the host's network namespace.
set -e
container=$1
ip link add docker0 type bridge
ip addr add 172.17.0.1/16 dev docker0
ip link set docker0 up
ip link add vethd type veth peer name eth9
ip link set vethd master docker0 up
ip link set eth9 netns "/run/netns/$container"
in_container() { nsenter --net="/run/netns/$container" "$@"; }
in_container sh -c 'for device in $(ip -o link | sed -n "s/^[0-9]*: \([^:@]*\).*/\1/p"); do
  case $device in lo|eth9) ;; *) ip link del "$device" ;; esac; done
  ip addr add 172.17.0.2/16 dev eth9; ip link set eth9 up; ip route add default via 172.17.0.1'
echo 1 > /proc/sys/net/ipv4/ip_forward
nft -f - <<'N'
table ip nat {
  chain DOCKER {
    iifname "docker0" return
    iifname != "docker0" tcp dport 8000 dnat to 172.17.0.2:80
  }
  chain PREROUTING {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump DOCKER
  }
  chain OUTPUT {
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER
  }
  chain POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
  }
}
table ip filter {
  chain DOCKER {
    iifname != "docker0" oifname "docker0" ip daddr 172.17.0.2 tcp dport 80 accept
  }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    oifname "docker0" ct state established,related accept
    oifname "docker0" jump DOCKER
    iifname "docker0" oifname != "docker0" accept
  }
}
N
