#!/bin/sh
# Kill every process that was started with a certain NAME=VALUE in its environment: ansible-playbook, its workers (which have
# process groups of their own), and the ssh that keeps the connection open.
#
#   end.sh NAME=VALUE
set -u
ended=0 looks=0
for _ in 1 2 3 4 5 6 7 8 9 10; do
    processes=$(grep -lszFx -- "$1" /proc/[0-9]*/environ | cut -d/ -f3)
    if [ -z "$processes" ]; then
        # A process that is just starting a program shows no environment: look twice.
        looks=$((looks + 1))
        if [ "$looks" -ge 2 ]; then
            echo "$ended processes ended"
            [ "$ended" -gt 0 ]
            exit
        fi
    else
        looks=0
    fi
    for process in $processes; do
        kill -KILL "$process" && ended=$((ended + 1))
    done
    sleep 0.1
done
echo "still there: $processes" >&2
exit 1
