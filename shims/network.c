/* pyman-network: the small processes that networks need besides pasta.
 *
 *   pyman-network keep LIFE-FD READY-FD NETNS-FD DIRECTORY LOCK PORT AARDVARK -- PASTA ARGV...
 *   pyman-network forward READY-FD NETNS-FD FILE PARENT
 *   pyman-network slirp RUN-DIR PROGRAM ARGV...          (see network/slirp.h)
 *
 * `keep` holds the network namespace of the bridges (NETNS-FD, or -1: it makes one), runs pasta for it and the name servers in it,
 * starts them again when they die, and ends, with them, when the last copy of the pipe's other end (LIFE-FD is the reading one) is
 * closed: each monitor of a container on a bridge has one. It is process 1 of a pid namespace, so nothing it started outlives it,
 * even if it is killed. SIGUSR1: the files of the name servers have changed; SIGUSR2:
 * they do not answer, and are to be started anew. Others find the namespace as /proc/PID/fd/9 and the
 * pipe as fd/10. Written to READY-FD: its pid in the caller's pid namespace; pasta writes its own pid to stdout when it is ready.
 *
 * `forward` takes connections and datagrams of published ports on the host and passes them on to a container's address in
 * NETNS-FD, with the peer's own address as their source (IP_TRANSPARENT; the namespace's rules lead the answers back to us).
 * It listens in NETNS-FD as well, for other containers. FILE has lines "names PORT" (the name servers'), "listen PROTOCOL ADDRESS|* PORT
 * CONTAINER-PORT", "target ADDRESS" (at most one of each version) and "local SUBNET" (peers in these are not imitated); SIGHUP: the targets
 * have changed. It dies with the process PARENT. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void __attribute__((noreturn)) die(const char *what)
{
    fprintf(stderr, "pyman-network: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static time_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec;
}

#include "network/keep.h"
#include "network/address.h"
#include "network/streams.h"
#include "network/datagrams.h"
#include "network/listen.h"

static int forward(int argc, char **argv)
{
    if (argc != 6)
        return 125;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != atoi(argv[5]))
        return 125;
    ready_fd = atoi(argv[2]);
    int netns = atoi(argv[3]);
    if (ready_fd >= 0) /* the monitor, which starts us again, does not wait */
        fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    read_file(argv[4], 1);
    if (setns(netns, CLONE_NEWNET))
        die("setns");
    close(netns);
    listen_inside(argv[4], 1);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);
    struct handle signals = {LISTENER, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    watch(&signals, EPOLLIN);
    prctl(PR_SET_NAME, "pyman:[ports]", 0, 0, 0); /* from now on we are what commands look for, and may get signals */
    if (ready_fd >= 0 && write(ready_fd, "ok", 2) != 2)
        return 1;
    close(ready_fd);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    time_t swept = now();
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll_fd, events, 64, n_flows ? 10000 : -1);
        for (int at = 0; at < n; at++) {
            struct handle *handle = events[at].data.ptr;
            if (handle == &signals) {
                struct signalfd_siginfo info;
                while (read(signals.fd, &info, sizeof info) == (ssize_t)sizeof info)
                    read_file(argv[4], 0), listen_inside(argv[4], 0);
            } else if (handle->kind == LISTENER)
                take_connections((struct port *)handle);
            else if (handle->kind == DATAGRAMS)
                take_datagrams((struct port *)handle);
            else if (handle->kind == FLOW)
                answer_datagrams((struct flow *)handle);
            else
                stream_event((struct half *)handle, events[at].events);
        }
        if (n_flows && now() - swept >= 10) {
            swept = now();
            expire_flows(swept - 90);
        }
        free_connections();
        free_flows();
    }
}

#include "network/slirp.h"

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "keep"))
        return keep(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "forward"))
        return forward(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "slirp"))
        return slirp(argc, argv);
    return 125;
}
