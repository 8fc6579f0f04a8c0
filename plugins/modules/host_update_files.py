#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_update_files
short_description: Tell which files that guests need an update would take away
version_added: 0.1.0
description:
  - A guest that is saved needs its firmware, its ROMs and its kernel again when it is restored. A new version of a package may not bring such a file any more.
  - Looks into the packages that were downloaded by the command C(stage) of M(vm_preserving.maintenance.host_update_info), and tells which of the given files
    are then gone.
  - A file stays when another package of the update brings it, when a package that is not updated has it as well, and when it is of no package. Symbolic links
    are followed as they are after the update. Configuration files below C(/etc) stay.
  - What the scripts of the packages do is not known. M(vm_preserving.maintenance.guest_refresh) and M(vm_preserving.maintenance.guest_save) look again before
    they save a guest.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance.reads
  - vm_preserving.maintenance.maintenance.packages
attributes:
  idempotent:
    support: full
    description: Changes nothing.
options:
  files:
    description: The files, as RV(vm_preserving.maintenance.guest_refresh#module:guests[].files) has them.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where the file is.
        type: str
        required: true
      by_name:
        description: Whether it may as well be in another folder, under the same name.
        type: bool
        default: false
      what:
        description: What it is, for whoever reads the result. Not used.
        type: str
        default: ""
requirements:
  - python >= 3.9 on the host
seealso:
  - module: vm_preserving.maintenance.host_update_info
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Ask what the next QEMU of each guest opens
  vm_preserving.maintenance.guest_refresh:
  check_mode: true
  register: judged

- name: See whether the update takes something of that away
  vm_preserving.maintenance.host_update_files:
    packages: [ovmf]
    files: "{{ judged.guests | map(attribute='files') | flatten }}"
  register: update
  failed_when: update.lost | length > 0
"""

RETURN = r"""
lost:
  description: The files that are gone after the update.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file, as it was given.
      type: str
    packages:
      description: The packages that have it now, each with C(name), C(installed) and C(candidate), their versions before and after.
      type: list
      elements: dict
  sample:
    - path: /usr/share/OVMF/OVMF_CODE.fd
      packages: [{name: ovmf, installed: 2022.11-6+deb12u2, candidate: 2024.05-1}]
unknown:
  description: Packages that had to be looked at and are not downloaded. What they bring is not known, and no file counts as lost for them.
  returned: success
  type: list
  elements: str
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.host_update_files import files_lost


def main() -> None:
    """The module."""
    options = {
        **_module.PACKAGES,
        "files": {"type": "list", "elements": "dict", "required": True, "options": {
            "path": {"type": "str", "required": True}, "by_name": {"type": "bool", "default": False}, "what": {"type": "str", "default": ""},
        }},
    }
    _module.run(options, lambda params, _check_mode: files_lost(params), needs_libvirt=False)


if __name__ == "__main__":
    main()
