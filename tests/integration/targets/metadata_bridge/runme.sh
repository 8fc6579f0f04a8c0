#!/usr/bin/env bash
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The service and the watcher of scheduled events, as they are installed, at a real bridge with an uplink: who is answered, and who is not.
# In networks and with files of its own: guests are network namespaces, and what libvirt says of them is written here. Needs root.

set -eux
cd "$(dirname "${BASH_SOURCE[0]}")"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python="$(command -v python3)"
"$python" build.py "$work/events.pyz"
cp /etc/group "$work/group"
grep -q '^vm-preserving-events:' "$work/group" || echo 'vm-preserving-events:x:64123:' >> "$work/group"
# shellcheck disable=SC2016  # it is the inner one that expands
unshare --net --mount -- bash -euc '
    mount --make-rprivate /
    mount --bind "$1/group" /etc/group
    mount -t sysfs sysfs /sys  # of this network
    mount -t tmpfs -o mode=755 none /run
    exec "$0" bridge.py "$1"
' "$python" "$work"
