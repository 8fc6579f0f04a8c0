"""The lab: systemd-nspawn hosts with real libvirt and real guests. One subject per module."""
