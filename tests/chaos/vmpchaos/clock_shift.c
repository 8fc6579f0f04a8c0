/* Copyright: (c) 2026, The vm_preserving.maintenance authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Preloaded into all programs of a host: its wall clock is ahead of the machine's by the seconds in a file, read at every
 * look, so that it jumps for all of them at the same instant. Other clocks stay as they are, as when a clock is set.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void)
{
    char text[32];
    long value = 0, sign = 1;
    long handle = syscall(SYS_openat, AT_FDCWD, "/run/vmp-chaos/offset", O_RDONLY | O_CLOEXEC);
    if (handle < 0)
        return 0;
    long size = syscall(SYS_read, handle, text, sizeof text);
    syscall(SYS_close, handle);
    for (long i = 0; i < size; i++) {
        if (text[i] == '-')
            sign = -1;
        else if (text[i] >= '0' && text[i] <= '9')
            value = value * 10 + (text[i] - '0');
    }
    return sign * value;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int done = (int)syscall(SYS_clock_gettime, clock, now);
    if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
    return done;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec fine;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &fine) != 0)
        return -1;
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *store)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (store)
        *store = now.tv_sec;
    return now.tv_sec;
}
