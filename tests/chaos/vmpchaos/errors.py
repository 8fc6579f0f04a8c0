# Copyright: (c) 2026, The vm_preserving.maintenance authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with a fault."""


class Broken(Exception):
    """The fault did not go as it has to: the row is red, with this as the reason."""


def expect(condition: object, what: str) -> None:
    """Make the row red unless the condition holds.

    :param what: What should have been, with what was.
    """
    if not condition:
        raise Broken(what)
