#!/usr/bin/env bash
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# An inventory source that forgets a2 as soon as the file $LOG.gone is there.
vars='"ansible_connection": "local"'
if [ -e "$LOG.gone" ]; then a2=""; else a2=", \"a2\""; fi
echo "{\"fleet\": {\"hosts\": [\"a1\"$a2, \"b1\"]}, \"_meta\": {\"hostvars\": {\"a1\": {$vars, \"update_domain\": 1}, \"a2\": {$vars, \"update_domain\": 1}, \"b1\": {$vars, \"update_domain\": 2}}}}"
