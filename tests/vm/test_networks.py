"""Networks with a VLAN, on a kernel whose bridges filter them."""

from __future__ import annotations

from tests.vm.machine import Machine
from tests.vm.units import HELPERS, PATIENCE


def test_a_vlan_keeps_others_out(quadlet: Machine) -> None:
    """Containers of one VLAN reach each other and their gateway, and no frame of another VLAN passes the bridge; without one it does."""
    quadlet("modprobe 8021q", user="root")
    script = (
        HELPERS
        + r"""
        pyman network create -o vlan=10 --subnet 10.96.1.0/24 --interface-name tagged0 tagged >/dev/null
        pyman network create --subnet 10.96.2.0/24 --interface-name plain0 plain >/dev/null
        for net in tagged plain; do
            for number in 1 2; do
                pyman run -d --name $net$number --network $net --cap-add NET_ADMIN localhost/demo:latest sh -c '
                    mkdir /w; echo served >/w/index.html; ip link add link eth0 name other type vlan id 20
                    ip addr add 10.96.20.'$number'/24 dev other; ip link set other up; exec httpd -f -p 80 -h /w' >/dev/null
            done
            until_true pyman exec ${net}1 wget -qO- http://${net}2/
            [ $net = tagged ] || until_true pyman exec plain1 wget -qO /dev/null http://10.96.20.2/
            echo "$net: in VLAN 20 $(pyman exec ${net}1 wget -qO- http://10.96.20.2/ 2>/dev/null || echo nothing)"
        done
        for net in tagged0 plain0; do
            pyman unshare --rootless-netns ip -d link show dev $net | grep -o "vlan_filtering [01]\|vlan_default_pvid [0-9]*"
        done
        """
    )
    try:
        said = quadlet(script, timeout=PATIENCE).stdout.splitlines()
    finally:
        quadlet("pyman rm -f -t 0 -a >/dev/null; pyman network prune -f >/dev/null", rc=None, timeout=PATIENCE)
    assert said[:4] == ["served", "tagged: in VLAN 20 nothing", "served", "plain: in VLAN 20 served"]
    assert said[4:] == ["vlan_filtering 1", "vlan_default_pvid 10", "vlan_filtering 0", "vlan_default_pvid 1"]
