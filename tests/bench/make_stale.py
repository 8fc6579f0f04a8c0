"""Run on a host of the lab: put a QEMU of another build in the place of the installed one, so that every running guest is stale.

The new file is the old one but for its build id: a reinstall of the same content would not count as another QEMU. With the argument `refusing` it knows
another name for the state of a serial device, so it takes up no guest that had it from the installed one: as newer versions of QEMU did.
"""

import os
import shutil
import sys

PROGRAM = "/usr/bin/qemu-system-x86_64"

with open(PROGRAM, "rb") as stream:
    content = stream.read()
# NT_GNU_BUILD_ID (elf(5)): namesz 4, descsz 20, type 3, "GNU\0", then the id.
head = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"
place = content.index(head) + len(head)
content = content[:place] + os.urandom(20) + content[place + 20 :]
if sys.argv[1:] == ["refusing"]:
    content = content.replace(b"\0virtio-console\0", b"\0virtio-consolX\0")
new = PROGRAM + ".new"
with open(new, "wb") as stream:
    stream.write(content)
shutil.copymode(PROGRAM, new)
os.replace(new, PROGRAM)
