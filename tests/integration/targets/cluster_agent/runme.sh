#!/usr/bin/env bash
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The agent that Debian's cluster stack brings for Azure's scheduled events, unchanged, against our service at the address that it has built in.
# In a network of its own, so that this machine keeps its own address of that kind. Needs root, and Debian's package mirror.

set -eux
cd "$(dirname "${BASH_SOURCE[0]}")"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
(cd "$work"; apt-get -q -o APT::Sandbox::User=root download resource-agents; dpkg-deb -x resource-agents_*.deb unpacked)
python="$(command -v python3)"
# shellcheck disable=SC2016  # it is the inner one that expands
unshare --net -- bash -euc '
    ip link set lo up
    ip address add 169.254.169.254/32 dev lo
    exec "$0" cluster.py "$1"
' "$python" "$work"
