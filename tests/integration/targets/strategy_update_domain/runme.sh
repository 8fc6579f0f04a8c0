#!/usr/bin/env bash
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Play the stories with the ansible-playbook that is found first, two at a time: ANSIBLE_COLLECTIONS_PATH=... runme.sh [arguments of pytest]

set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"
exec pytest -q -n 2 -p no:cacheprovider . "$@"
