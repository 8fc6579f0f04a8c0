#!/usr/bin/env bash
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The collection as it is published (`make collection` builds it): what is in it, and that it runs alone, up to where a host would need libvirt.
# This machine's own libvirt, if there is one, is out of sight: guests of it are none of a test's business. Needs root.

set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"

exec unshare --mount -- bash -euc '
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 none /run
    mount -t tmpfs -o mode=755 none /var/lib
    exec pytest -q -p no:cacheprovider . "$@"
' runme "$@"
