# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest's own metadata says of maintenance: `<policy xmlns="urn:vm_preserving:maintenance:policy" .../>`. Pure.

Whoever owns the guest may set it.
"""
from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

NAMESPACE = "urn:vm_preserving:maintenance:policy"


def policy(xml: ET.Element) -> t.Mapping[str, str]:
    """The attributes of a guest's policy; empty when it has none.

    :param xml: Its live XML.
    """
    found = xml.find(f"metadata/{{{NAMESPACE}}}policy")
    return {} if found is None else found.attrib
