#!/bin/sh
# Kills the program that moves guests as soon as the QEMU of the first has ended.
ledger=/var/lib/vm_preserving/system/saved.json
until grep -q '"phase": "moving"' "$ledger" 2>/dev/null; do sleep 0.01; done
pid=$(sed -n 's/^ *"pid": \([0-9]*\),/\1/p' "$ledger" | head -n 1)
while [ -e "/proc/$pid/exe" ]; do sleep 0.01; done
kill -KILL "$(sed -n 's/.*"opener_pid": \([0-9]*\),/\1/p' "$ledger")"
