#!/usr/bin/env python3
"""Ansible inventory of the running lab (tests/lab): reads lab.json in the lab's state folder."""

import json
import os
import sys
from pathlib import Path

_VERSION = 3


def main() -> int:
    document = Path(os.environ.get("VMP_LAB_STATE") or "/var/lib/vm-preserving-lab") / "lab.json"
    try:
        lab = json.loads(document.read_text())
        usable = lab["version"] == _VERSION and lab["complete"]
    except (OSError, ValueError, KeyError):
        usable = False
    if not usable:
        print(json.dumps(_inventory({})))
        print(f"The lab is not up ({document}): run `tests/lab/lab up` first.", file=sys.stderr)
        # Not a failure: Ansible would go on to read this very file as an INI inventory. A playbook refuses the empty one.
        return 0
    hosts = {host["name"]: _variables(lab, host) for host in lab["hosts"]}
    # Ansible asks for one host only if the list carried no variables; ours does.
    print(json.dumps(hosts.get(sys.argv[2], {}) if sys.argv[1:2] == ["--host"] else _inventory(hosts), indent=2))
    return 0


def _inventory(hosts: dict) -> dict:
    return {
        "lab": {"hosts": list(hosts)},
        "kvm_hosts": {"children": ["lab"]},
        "_meta": {"hostvars": hosts},
    }


def _variables(lab: dict, host: dict) -> dict:
    known_hosts = lab["ssh"]["known_hosts"]
    return {
        "ansible_host": host["address"],
        "ansible_user": "root",
        "ansible_ssh_private_key_file": lab["ssh"]["key"],
        # The lab's own host keys and nothing of the user's.
        "ansible_ssh_common_args": (
            f"-F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={known_hosts}"
            " -o GlobalKnownHostsFile=none"
        ),
        "ansible_python_interpreter": "/usr/bin/python3",
        # Text, always: an integer would be dropped silently by the constructed inventory.
        "update_domain": host["update_domain"],
    }


if __name__ == "__main__":
    sys.exit(main())
