#!/usr/bin/python
# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_update_info
short_description: What is pending on a host, which technique it needs, and what runs old code
version_added: 0.1.0
description:
  - Asks the host's package manager what an update would change, and says for each package by which technique it can be applied under
    running guests, and why.
  - Returns the commands that stage the update while guests run, and that apply it.
  - Tells what runs on code that was replaced on disk already - guests, libvirt's daemons, the kernel.
  - An update that would remove a package, change one that is held, or make one older is refused, and so is what comes from a source that apt cannot
    authenticate. So a host is refused before the update is begun, in check mode and without it alike.
  - A package that another one replaces (C(Obsoletes) of an rpm), and old kernels that
    make room for a new one, do not count as removed.
  - Knows apt, dnf 4 with the Python bindings that come with it, and dnf 5. Which of them is decided by C(/etc/os-release), and by which of the two
    C(dnf) is.
  - Whether an rpm is signed is seen by dnf only when it is applied.
  - Asks libvirt nothing, and answers also when libvirt does not.
extends_documentation_fragment:
  - vm_preserving.maintenance.maintenance.reads
  - vm_preserving.maintenance.maintenance.packages
attributes:
  idempotent:
    support: full
    description: Changes nothing but, with O(update_cache), the package lists.
options:
  update_cache:
    description:
      - Read the package lists anew before. Does so in check mode, too, because the answer depends on it.
      - Without it nothing is fetched. dnf then fails while the list of a repository has never been read.
    type: bool
    default: false
  uri:
    description: The libvirt URI of the host's own guests, V(qemu:///system) or V(qemu:///session). Only says where libvirt keeps its files.
    type: str
    default: qemu:///system
requirements:
  - python >= 3.9 on the host
  - root for V(qemu:///system)
  - python3-libdnf5 on hosts with dnf 5
author:
  - The vm_preserving.maintenance authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: See everything that is pending
  vm_preserving.maintenance.host_update_info:
    update_cache: true
  register: update

- name: Say what it needs, and why
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.technique }}, because {{ item.reason }}"
  loop: "{{ update.pending }}"
  loop_control:
    label: "{{ item.name }}"

- name: See what a kernel update means, of whichever flavour the host has
  vm_preserving.maintenance.host_update_info:
    packages: [linux-image-amd64, linux-image-cloud-amd64]

- name: Download it
  ansible.builtin.command:
    argv: "{{ update.commands.stage }}"
  when: update.pending
  changed_when: true

- name: Look at one update, with knowledge of the site
  vm_preserving.maintenance.host_update_info:
    packages: [openvswitch-switch, site-storage-agent]
    rules:
      - packages: openvswitch-*
        technique: live
        reason: these hosts restart only the switch's control plane, and its datapath forwards on
      - packages: [site-storage-agent, site-storage-agent-*]
        technique: pause
        reason: the agent drops the paths to the guests' disks when it is restarted

- name: Name the guests that run on an old QEMU
  ansible.builtin.debug:
    msg: "{{ update.stale.guests | map(attribute='name') | list }}"
"""

RETURN = r"""
pending:
  description: The packages that would change; empty when there is nothing to do.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The package. dpkg's architecture follows when it is a foreign one.
      type: str
    installed:
      description: Its version now, V(null) when it is not installed. Of packages that stay beside older ones, as kernels do, V(null), too.
      type: str
    candidate:
      description:
        - Its version after the update, V(null) when another package takes its place (dnf).
        - The same as RV(pending[].installed) for a package that an interrupted update left unpacked (apt).
      type: str
    technique:
      description: The gentlest technique that works for it, a word of O(rules[].technique).
      type: str
      sample: refresh
    reason:
      description: Why.
      type: str
      sample: a running guest stays on the QEMU that it was started with; save and restore gives it the new one
    in_pause:
      description:
        - Of a package that needs V(pause), what has to be done while the guests are paused - V(restarts), those of its services; V(package), all of it.
        - V(null) for all others.
      type: str
    guests:
      description: The names of the guests whose QEMU runs code from it now.
      type: list
      elements: str
not_installed:
  description: Which of O(packages) are left out, because they are not installed and O(only_upgrade) is V(true).
  returned: success
  type: list
  elements: str
technique:
  description: The strongest technique of RV(pending), in the order V(live), V(pause), V(refresh), V(reboot), V(refuse). V(null) when nothing is pending.
  returned: success
  type: str
  sample: refresh
outside:
  description:
    - What M(vm_preserving.maintenance.host_update_apply) can apply with guests running and restarts held back, for its
      O(vm_preserving.maintenance.host_update_apply#module:packages).
    - All of it, unless RV(pending[].in_pause) of one is V(package). Then only packages that were asked for by name, as far as they can be kept apart from that
      one; empty when they cannot, or nothing is pending.
  returned: success
  type: list
  elements: str
restarts:
  description:
    - The services that will be restarted, in the order of their packages; systemd has an order of its own. They are read in the scripts of the installed
      packages, so a new version may restart others; the exact answer is RV(vm_preserving.maintenance.host_update_apply#module:restarts).
    - Also what an earlier run was cut short of.
  returned: success
  type: list
  elements: dict
  contains:
    unit:
      description: The unit of systemd.
      type: str
    action:
      description: C(restart), C(try-restart) (only when it runs), C(start), C(stop) or C(reload).
      type: str
    packages:
      description: The packages whose scripts ask for it.
      type: list
      elements: str
    in_pause:
      description: Whether the guests are paused for it.
      type: bool
  sample:
    - {unit: openvswitch-switch.service, action: restart, packages: [openvswitch-switch], in_pause: true}
    - {unit: libvirtd.service, action: restart, packages: [libvirt-daemon-system], in_pause: false}
restarts_due:
  description: Whether an earlier run was cut short before it had restarted everything.
  returned: success
  type: bool
commands:
  description: Argument lists.
  returned: success
  type: dict
  contains:
    stage:
      description: Downloads the update; to be run while guests run.
      type: list
      elements: str
    apply:
      description: Applies what was downloaded, and fetches nothing.
      type: list
      elements: str
stale:
  description: What runs on code that was replaced or removed on disk already.
  returned: success
  type: dict
  contains:
    guests:
      description: The guests whose QEMU does, by name.
      type: list
      elements: dict
      contains:
        name:
          description: libvirt's name.
          type: str
        uuid:
          description: libvirt's UUID.
          type: str
        pid:
          description: The process of its QEMU.
          type: int
        files:
          description:
            - The programs and libraries that its QEMU, or a helper process that is renewed with it (C(swtpm), C(qemu-pr-helper), C(nbdkit)), runs and
              that are no longer what is installed there.
            - One that was installed again with the same content (build id) does not count, and neither do files that are no code, as guest
              memory in V(/dev/shm) or huge pages.
          type: list
          elements: str
          sample: [/usr/bin/qemu-system-x86_64]
        build_id:
          description: The ELF build id of its QEMU program, C(running) and C(installed), each V(null) when there is none.
          type: dict
    daemons:
      description: The daemons of libvirt that do, each with C(name), C(pid) and C(files).
      type: list
      elements: dict
      sample:
        - name: virtlogd
          pid: 200
          files: [/usr/lib/x86_64-linux-gnu/libvirt.so.0.9000.0, /usr/sbin/virtlogd]
    processes:
      description:
        - The other processes of the host that do, each with C(name) (of the program), C(pid), C(unit) (of systemd, V(null) when it has none), C(guest)
          and C(files).
        - C(guest) is the name of the guest whose helper it is, as a C(passt), which goes on until that guest is started anew. V(null) for all others.
          They run what is installed when they are started anew. Those of containers are not listed.
      type: list
      elements: dict
      sample:
        - name: sshd
          pid: 410
          unit: ssh.service
          guest: null
          files: [/usr/lib/x86_64-linux-gnu/libcrypto.so.3]
    kernel:
      description: The kernel.
      type: dict
      contains:
        running:
          description: The release that runs.
          type: str
          sample: 6.1.0-28-amd64
        newest:
          description: The newest release of the flavour that runs (C(amd64), C(azure)) which is installed; V(null) when there is none, as in a container.
          type: str
        differs:
          description: Whether the newest is another than the one that runs. V(false) when there is none.
          type: bool
        pinned:
          description:
            - Whether the newest was installed already when the host was booted, so that its boot loader prefers the older one that runs. After a reboot for an
              update look at what this was before.
          type: bool
error:
  description: What went wrong, as C(code) and C(message).
  returned: failure
  type: dict
"""

from ansible_collections.vm_preserving.maintenance.plugins.module_utils import _module
from ansible_collections.vm_preserving.maintenance.plugins.module_utils._actions.host_update_info import update_info


def main() -> None:
    """The module."""
    options = {**_module.PACKAGES, "update_cache": {"type": "bool", "default": False}}
    _module.run({**_module.URI, **options}, lambda params, _check_mode: update_info(params), needs_libvirt=False)


if __name__ == "__main__":
    main()
