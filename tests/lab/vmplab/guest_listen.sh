#!/bin/busybox sh
# shellcheck shell=dash
# What an application in the guest does: asks for scheduled events once per second, and writes each document that is new to /www/events. With `approve` it
# lets what waits begin.
url='http://169.254.169.254/metadata/scheduledevents?api-version=2020-07-01'
seen=''
note() {
    echo "$(date -u +%H:%M:%S) $1" >> /www/events
}
while :; do
    document=$(wget -q -O - --header 'Metadata: true' "$url")
    if [ -n "$document" ] && [ "$document" != "$seen" ]; then
        seen=$document
        note "$document"
        case $1$document in
        approve*'"EventStatus":"Scheduled"'*)
            for id in $(echo "$document" | grep -o '"EventId":"[^"]*"' | cut -d '"' -f 4); do
                wget -q -O /dev/null --header 'Metadata: true' --post-data "{\"StartRequests\": [{\"EventId\": \"$id\"}]}" "$url" && note "approved $id"
            done
            ;;
        esac
    fi
    sleep 1
done
