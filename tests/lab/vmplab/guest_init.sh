#!/bin/busybox sh
# busybox has both: read -t and EPOCHREALTIME
# and the programs that are written here expand when they run
# shellcheck shell=dash disable=SC3045,SC3028,SC2016
# The guest's first and only program: drivers, network, agent, and evidence that memory is preserved.
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/virtio-ports /run /tmp /www

while read -r module; do insmod "/modules/$module.ko"; done < /modules/order

for port in /sys/class/virtio-ports/*; do
    [ -e "$port/name" ] && ln -s "../${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done

address=$(sed -n 's/.*lab\.address=\([0-9.]*\).*/\1/p' /proc/cmdline)
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up
ip route add default via "${address%.*}.1"

# The random value and the counter live in this process's memory and nowhere else: a guest that was
# rebooted or restored from an older state shows another value, or a counter that went back.
evidence() {
    read -r boot_id < /proc/sys/kernel/random/boot_id
    read -r random < /proc/sys/kernel/random/uuid
    counter=0
    mkfifo /run/never
    exec 3<> /run/never
    while :; do
        counter=$((counter + 1))
        printf '{"boot_id": "%s", "random": "%s", "counter": %d, "clock": %s}\n' \
            "$boot_id" "$random" "$counter" "$EPOCHREALTIME" > /www/.evidence
        mv /www/.evidence /www/evidence
        # A sleep of 0.2 s without a new process: nothing ever writes to this pipe.
        read -r -t 0.2 _ <&3
    done
}
evidence &

# A large buffer of random bytes, and its checksum for whoever asks: made anew each time, so that every page of it is read.
{ dd if=/dev/urandom of=/buffer.new bs=64k count=256 2> /dev/null && mv /buffer.new /buffer; } &
mkdir -p /www/cgi-bin
printf '#!/bin/sh\necho "Content-Type: text/plain"\necho\nwhile [ ! -e /buffer ]; do sleep 0.1; done\nsha256sum < /buffer\n' > /www/cgi-bin/checksum
chmod 755 /www/cgi-bin/checksum
# An application that is told of maintenance, from when somebody asks for it: /cgi-bin/listen, or /cgi-bin/listen?approve
printf '#!/bin/sh\nsetsid listen "$QUERY_STRING" < /dev/null > /dev/null 2>&1 &\necho "Content-Type: text/plain"\necho\n' > /www/cgi-bin/listen
chmod 755 /www/cgi-bin/listen
httpd -p 80 -h /www

# A file system that the agent can freeze, from when somebody asks for it: /cgi-bin/disk. /freezes says when it was frozen and thawed.
cat > /www/cgi-bin/disk << 'END'
#!/bin/sh
echo "Content-Type: text/plain"
echo
while read -r module; do insmod "/modules/disk/$module.ko"; done < /modules/disk/order
dd if=/dev/zero of=/disk bs=1k count=2048 2> /dev/null && losetup /dev/loop0 /disk && mke2fs /dev/loop0 > /dev/null
mkdir -p /mnt && mount -t ext4 /dev/loop0 /mnt && grep /mnt /proc/mounts
END
# Writes to that file system, which waits while it is frozen.
printf '#!/bin/sh\necho "Content-Type: text/plain"\necho\necho written > /mnt/file && sync && cat /mnt/file\n' > /www/cgi-bin/write
printf '#!/bin/sh\nread -r uptime _ < /proc/uptime\necho "$uptime $1" >> /www/freezes\n' > /sbin/fsfreeze-hook
chmod 755 /www/cgi-bin/disk /www/cgi-bin/write /sbin/fsfreeze-hook

# What the agent runs when it is asked to shut the guest down; process 1 here is no init that could be told.
printf '#!/bin/sh\npoweroff -f\n' > /sbin/shutdown
chmod 755 /sbin/shutdown

if [ -e /dev/virtio-ports/org.qemu.guest_agent.0 ]; then
    qemu-ga --method virtio-serial --path /dev/virtio-ports/org.qemu.guest_agent.0 --statedir /run --fsfreeze-hook=/sbin/fsfreeze-hook --daemonize --pidfile /run/qemu-ga.pid
fi

# Reap what the programs above leave behind: this is process 1.
while :; do wait; sleep 3600 & wait $!; done
