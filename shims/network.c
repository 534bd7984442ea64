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
 * It listens in NETNS-FD as well, at the copies of the host's addresses that pasta's device has.
 * FILE has lines "listen PROTOCOL ADDRESS|* PORT CONTAINER-PORT", "target ADDRESS" (at most one of each version) and "local SUBNET"
 * (peers in these are not imitated); SIGHUP: the targets have changed. It dies with the process PARENT. */
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

/* ---- keep ---- */

enum { NETNS = 9, LIFE = 10 };

static const char *dns_program, *dns_port;
static struct server {
    char directory[PATH_MAX], resolv[PATH_MAX], pid_file[PATH_MAX];
    pid_t pid, launcher; /* it forks itself into the background: first there is only the launcher */
    time_t started;
    int again; /* the files have changed since the launcher started */
    int quick; /* ends in a row that came within a second */
} servers[2]; /* of the networks with a way out, and of the internal ones */
static pid_t pasta_pid;
static char netns_place[PATH_MAX]; /* where pasta finds the namespace */
static time_t pasta_started;

static time_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec;
}

static void unblock(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A new network namespace: a process that lives for a moment makes it, since we may never come back from it to the host's. */
static int make_netns(void)
{
    int ends[2], fd = -1;
    char path[64], byte;
    if (pipe2(ends, O_CLOEXEC))
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        byte = unshare(CLONE_NEWNET) ? (char)errno : 0;
        if (write(ends[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    if (read(ends[0], &byte, 1) == 1 && !byte) {
        snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    } else
        errno = byte;
    int number = errno;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    errno = number;
    return fd;
}

/* pasta drops its rights before it opens the namespace: a mount of it, in our mount namespace alone, asks for none. It goes when the
   runtime directory is wiped. */
static void mount_netns(void)
{
    struct stat ours, there;
    if (!fstat(NETNS, &ours) && !stat(netns_place, &there) && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        return;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", NETNS);
    int file = open(netns_place, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || mount(path, netns_place, NULL, MS_BIND, NULL))
        die(netns_place);
    close(file);
}

static void start_pasta(char **argv, int first)
{
    pasta_started = now();
    pasta_pid = fork();
    if (pasta_pid)
        return;
    unblock();
    if (!first) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        mount_netns();
    }
    close(NETNS);
    close(LIFE);
    execv(argv[0], argv + 1);
    die(argv[0]);
}

/* Whether the directory has a network's file. */
static int has_networks(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    int found = 0;
    while (directory && (entry = readdir(directory)))
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "aardvark.pid"))
            found = 1;
    if (directory)
        closedir(directory);
    return found;
}

static void start_server(struct server *server)
{
    server->started = now();
    server->again = 0;
    server->launcher = fork();
    if (server->launcher)
        return;
    unblock();
    char target[PATH_MAX];
    /* Its own view of resolv.conf: the host's may name a server that only the host reaches. */
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
        die("unshare");
    if (realpath("/etc/resolv.conf", target) && mount(server->resolv, target, NULL, MS_BIND, NULL))
        die("resolv.conf");
    if (setns(NETNS, CLONE_NEWNET))
        die("setns");
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    close(NETNS);
    close(LIFE);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* The second one serves internal networks: what it does not know, nobody does. Without a word it would ask on and on. */
    char *env[] = {(char *)"PATH=/usr/bin:/bin", server == &servers[1] ? (char *)"AARDVARK_NO_PROXY=1" : NULL, NULL};
    execle(dns_program, "aardvark-dns", "--config", server->directory, "-p", dns_port, "run", (char *)NULL, env);
    _exit(127);
}

/* aardvark-dns forks itself into the background: what it leaves is its pid file, and our child by adoption. */
static pid_t read_pid(const struct server *server)
{
    char text[16] = "";
    int fd = open(server->pid_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(fd);
    return (pid_t)atoi(text);
}

static void changed(struct server *server)
{
    if (server->launcher > 0)
        server->again = 1;
    else if (server->pid > 1)
        kill(server->pid, SIGHUP);
    else if (has_networks(server->directory))
        start_server(server);
}

/* It does not answer: its end, which `reap` sees, starts another one. */
static void replace(struct server *server)
{
    pid_t pid = server->launcher > 0 ? server->launcher : server->pid;
    server->quick = 0;
    if (pid > 1)
        kill(pid, SIGKILL);
    else
        changed(server);
}

static void reap(char **pasta)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == pasta_pid) {
            pasta_pid = 0;
            if (pasta_started == now()) /* it does not even start: not at once again */
                sleep(1);
            start_pasta(pasta, 0);
        }
        for (int n = 0; n < 2; n++) {
            struct server *server = &servers[n];
            if (pid == server->launcher) {
                server->launcher = 0;
                server->pid = WIFEXITED(status) && !WEXITSTATUS(status) ? read_pid(server) : 0;
                if (server->pid > 1 && !kill(server->pid, 0)) {
                    if (server->again)
                        changed(server);
                    continue;
                }
            } else if (pid != server->pid)
                continue;
            server->pid = 0;
            server->quick = server->started == now() ? server->quick + 1 : 0;
            if (server->quick < 3)
                changed(server);
        }
    }
}

static int keep(int argc, char **argv)
{
    char path[PATH_MAX];
    if (argc < 11)
        return 125;
    int life = atoi(argv[2]), ready = atoi(argv[3]), netns = atoi(argv[4]);
    const char *directory = argv[5], *lock = argv[6];
    dns_port = argv[7];
    dns_program = argv[8];
    char **pasta = argv + 10;
    static const char *places[] = {"dns", "dns-internal"}, *files[] = {"resolv.conf", "resolv-internal.conf"};
    for (int n = 0; n < 2; n++) {
        snprintf(servers[n].directory, sizeof servers[n].directory, "%s/%s", directory, places[n]);
        snprintf(servers[n].resolv, sizeof servers[n].resolv, "%s/%s", directory, files[n]);
        snprintf(servers[n].pid_file, sizeof servers[n].pid_file, "%s/%s/aardvark.pid", directory, places[n]);
    }
    if (netns < 0 && (netns = make_netns()) < 0)
        die("unshare");
    /* Out of the way of the two numbers that others know. */
    netns = fcntl(netns, F_DUPFD_CLOEXEC, 64);
    life = fcntl(life, F_DUPFD_CLOEXEC, 64);
    ready = fcntl(ready, F_DUPFD_CLOEXEC, 64);
    if (netns < 0 || life < 0 || ready < 0 || dup2(netns, NETNS) < 0 || dup2(life, LIFE) < 0)
        die("dup");
    syscall(SYS_close_range, 3, NETNS - 1, 0);
    syscall(SYS_close_range, LIFE + 1, 63, 0);
    if (unshare(CLONE_NEWPID))
        die("unshare");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid) {
        snprintf(path, sizeof path, "%d", (int)pid);
        return write(ready, path, strlen(path)) < 0;
    }
    close(netns);
    close(life);
    close(ready);
    setsid();
    prctl(PR_SET_NAME, "pyman:[net]", 0, 0, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_SETMASK, &set, NULL);
    int signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    snprintf(netns_place, sizeof netns_place, "%s/netns", directory);
    mount_netns();
    start_pasta(pasta, 1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (chdir("/"))
        return 1;
    for (;;) {
        struct pollfd fds[] = {{LIFE, 0, 0}, {signal_fd, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0)
            continue;
        struct signalfd_siginfo info;
        while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
            for (int n = 0; n < 2; n++)
                if (info.ssi_signo == SIGUSR1)
                    servers[n].quick = 0, changed(&servers[n]);
                else if (info.ssi_signo == SIGUSR2)
                    replace(&servers[n]);
        reap(pasta);
        if (fds[0].revents & POLLHUP) {
            /* Whoever is about to use the namespace holds the lock, and then the pipe's end. */
            int fd = open(lock, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (fd >= 0)
                flock(fd, LOCK_EX);
            struct pollfd again = {LIFE, 0, 0};
            poll(&again, 1, 0);
            if (again.revents & POLLHUP)
                return 0;
            if (fd >= 0)
                close(fd);
        }
    }
}

/* ---- forward ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static struct subnet {
    int family, prefix;
    unsigned char bytes[16];
} locals[32];
static int n_locals;
static union address target4, target6; /* family 0: none */

enum kind { LISTENER, DATAGRAMS, STREAM, FLOW };

struct handle { /* what an epoll event points to */
    enum kind kind;
    int fd;
};

struct port {
    struct handle handle;
    int number; /* in the container */
};

struct half { /* one direction of a connection: from `handle` to the other half's */
    struct handle handle;
    struct connection *connection;
    int other; /* index of the half it writes to */
    int ended, ready_in, ready_out;
    int last; /* the peer has said that nothing follows: read on until the end of file */
    unsigned char *kept; /* read, and not yet written */
    size_t kept_at, kept_len;
    int pipe[2]; /* of a direction that moves much: data go through it, not through our memory; 0: none */
    size_t piped;
    int copied; /* there was no pipe worth having */
};

struct connection {
    struct half half[2];
    int connected, dead;
    struct connection *next_dead;
};

struct flow {
    struct handle handle;
    struct port *port;
    union address peer;
    unsigned char local[64]; /* control message with the address that the peer wrote to */
    size_t local_len;
    time_t used;
    struct flow *next, *next_dead;
};

static int epoll_fd;
static struct flow *flows[1024];
static int n_flows;
static struct connection *dead_connections;
static struct flow *dead_flows;
static unsigned char buffer[1 << 18];

static socklen_t size_of(const union address *address)
{
    return address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
}

static int parse_address(const char *text, union address *address)
{
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1)
        address->any.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1)
        address->any.sa_family = AF_INET6;
    else
        return 0;
    return 1;
}

static void set_port(union address *address, int port)
{
    if (address->any.sa_family == AF_INET)
        address->v4.sin_port = htons((uint16_t)port);
    else
        address->v6.sin6_port = htons((uint16_t)port);
}

/* An IPv4 peer of a socket for both versions, as what it is. */
static void plain(union address *address)
{
    if (address->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr))
        return;
    union address v4 = {.v4 = {.sin_family = AF_INET, .sin_port = address->v6.sin6_port}};
    memcpy(&v4.v4.sin_addr, address->v6.sin6_addr.s6_addr + 12, 4);
    *address = v4;
}

static const unsigned char *bytes_of(const union address *address)
{
    return address->any.sa_family == AF_INET ? (const unsigned char *)&address->v4.sin_addr : address->v6.sin6_addr.s6_addr;
}

static int inside(const union address *address, const struct subnet *subnet)
{
    const unsigned char *bytes = bytes_of(address);
    int whole = subnet->prefix / 8, rest = subnet->prefix % 8;
    if (address->any.sa_family != subnet->family || memcmp(bytes, subnet->bytes, (size_t)whole))
        return 0;
    return !rest || !((bytes[whole] ^ subnet->bytes[whole]) >> (8 - rest));
}

/* Whether a packet from that address can travel in the namespace and come back to us. */
static int can_imitate(const union address *peer)
{
    const unsigned char *bytes = bytes_of(peer);
    if (peer->any.sa_family == AF_INET ? bytes[0] == 127 || bytes[0] == 0 || bytes[0] >= 224
                                       : IN6_IS_ADDR_LOOPBACK(&peer->v6.sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&peer->v6.sin6_addr))
        return 0;
    for (int n = 0; n < n_locals; n++)
        if (inside(peer, &locals[n]))
            return 0;
    return 1;
}

/* A hop between memory and memory: a model of the path (bbr, where that is the host's default) only paces it by timers. */
static void within_the_host(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

/* A socket in the namespace, on its way to the container: from the peer's address where that can be. -1 if there is no target. */
static int connect_to(const union address *peer, int type, int port)
{
    union address target = peer->any.sa_family == AF_INET6 && target6.any.sa_family ? target6 : target4.any.sa_family ? target4 : target6;
    int family = target.any.sa_family, one = 1;
    if (!family)
        return -1;
    set_port(&target, port);
    for (int imitate = peer->any.sa_family == family && can_imitate(peer); imitate >= 0; imitate--) {
        int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return -1;
        if (type == SOCK_STREAM) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            within_the_host(fd);
        }
        int bound = 1;
        if (imitate) {
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
            int set = family == AF_INET ? setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof one)
                                        : setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &one, sizeof one);
            bound = !set && !bind(fd, &peer->any, size_of(peer));
        }
        if (bound && (!connect(fd, &target.any, size_of(&target)) || errno == EINPROGRESS))
            return fd;
        close(fd);
    }
    return -1;
}

static void watch(struct handle *handle, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = handle};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, handle->fd, &event);
}

static void drop(struct connection *connection)
{
    if (connection->dead)
        return;
    connection->dead = 1;
    close(connection->half[0].handle.fd);
    close(connection->half[1].handle.fd);
    for (int n = 0; n < 2; n++)
        if (connection->half[n].pipe[0]) {
            close(connection->half[n].pipe[0]);
            close(connection->half[n].pipe[1]);
        }
    connection->next_dead = dead_connections; /* freed after the round: an event of it may still be pending */
    dead_connections = connection;
}

static int same_host(const union address *one, const union address *other)
{
    return one->any.sa_family == other->any.sa_family && !memcmp(bytes_of(one), bytes_of(other), one->any.sa_family == AF_INET ? 4 : 16);
}

/* Whether the peer is this host itself: it has the address that it wrote to. */
static int is_own(int fd, const union address *peer)
{
    union address local;
    socklen_t length = sizeof local;
    if (getsockname(fd, &local.any, &length))
        return 0;
    plain(&local);
    return same_host(&local, peer);
}

static void take_connections(struct port *port)
{
    for (int round = 0; round < 64; round++) {
        union address peer;
        socklen_t length = sizeof peer;
        int one = 1, fd = accept4(port->handle.fd, &peer.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                usleep(10000); /* until a connection ends */
            return;
        }
        plain(&peer);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (is_own(fd, &peer))
            within_the_host(fd);
        int other = connect_to(&peer, SOCK_STREAM, port->number);
        struct connection *connection = other < 0 ? NULL : calloc(1, sizeof *connection);
        if (!connection) {
            if (other >= 0)
                close(other);
            struct linger reset = {1, 0}; /* refused, as the container itself would */
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(fd);
            continue;
        }
        for (int n = 0; n < 2; n++)
            connection->half[n] = (struct half){.handle = {STREAM, n ? other : fd}, .connection = connection, .other = !n};
        for (int n = 0; n < 2; n++)
            watch(&connection->half[n].handle, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    }
}

static int again(struct half *in)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = &in->handle};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, in->handle.fd, &event); /* others wait: come back to this one in the next round */
    return 1;
}

/* The same as `pump`, through the pipe. */
static int pump_pipe(struct half *in, struct half *out)
{
    for (int round = 0; round < 32; round++) {
        ssize_t n;
        if (in->piped) { /* tried whatever the last event said: waiting for a third of the buffer to be free costs throughput */
            n = splice(in->pipe[0], NULL, out->handle.fd, NULL, in->piped, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (n <= 0) {
                out->ready_out = 0;
                return n < 0 && (errno == EAGAIN || errno == EINTR);
            }
            in->piped -= (size_t)n;
            continue;
        }
        if (in->ended || !in->ready_in || !out->ready_out)
            return 1;
        n = splice(in->handle.fd, NULL, in->pipe[1], NULL, 1 << 20, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0) {
            in->ready_in = 0;
            return errno == EAGAIN || errno == EINTR;
        }
        if (n == 0) {
            in->ended = 1;
            shutdown(out->handle.fd, SHUT_WR);
            return 1;
        }
        in->piped = (size_t)n;
    }
    return again(in);
}

/* A pipe for what goes through in->pipe, of the usual size: larger ones move no more at a time, and all pipes of a user share
   /proc/sys/fs/pipe-user-pages-soft. Beyond that a pipe has room for two pages, with which splice is slower than copying. */
static void open_pipe(struct half *in)
{
    int size = -1;
    if (!pipe2(in->pipe, O_CLOEXEC | O_NONBLOCK)) {
        size = fcntl(in->pipe[1], F_GETPIPE_SZ);
        if (size < 1 << 16) {
            close(in->pipe[0]);
            close(in->pipe[1]);
        }
    }
    if (size < 1 << 16) {
        in->pipe[0] = 0;
        in->copied = 1;
    }
}

/* Move what can be moved from one half to the other. 0 if the connection broke. */
static int pump(struct connection *connection, int from)
{
    struct half *in = &connection->half[from], *out = &connection->half[in->other];
    for (int round = 0; round < 32; round++) {
        if (in->pipe[0])
            return pump_pipe(in, out);
        if (in->kept_len) {
            ssize_t n = send(out->handle.fd, in->kept + in->kept_at, in->kept_len, MSG_NOSIGNAL);
            if (n < 0) {
                out->ready_out = 0;
                return errno == EAGAIN || errno == EINTR;
            }
            in->kept_at += (size_t)n;
            in->kept_len -= (size_t)n;
            if (in->kept_len)
                continue;
            free(in->kept);
            in->kept = NULL;
        }
        if (in->ended || !in->ready_in || !out->ready_out)
            return 1;
        ssize_t n = recv(in->handle.fd, buffer, sizeof buffer, 0);
        if (n < 0) {
            in->ready_in = 0;
            return errno == EAGAIN || errno == EINTR;
        }
        if (n == 0) {
            in->ended = 1;
            shutdown(out->handle.fd, SHUT_WR);
            return 1;
        }
        ssize_t sent = send(out->handle.fd, buffer, (size_t)n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return 0;
        if (sent < 0)
            sent = 0;
        if (sent < n) {
            out->ready_out = 0;
            in->kept_len = (size_t)(n - sent);
            in->kept_at = 0;
            in->kept = malloc(in->kept_len);
            if (!in->kept)
                return 0;
            memcpy(in->kept, buffer + sent, in->kept_len);
            return 1;
        }
        if ((size_t)n < sizeof buffer) {
            if (!in->last)
                return 1; /* all that there was: the next edge tells of more */
        } else if (!in->copied)
            open_pipe(in);
    }
    return again(in);
}

static void stream_event(struct half *half, uint32_t events)
{
    struct connection *connection = half->connection;
    if (connection->dead)
        return;
    if (events & EPOLLERR) {
        drop(connection);
        return;
    }
    int index = half == &connection->half[1];
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
        half->ready_in = 1;
    if (events & (EPOLLRDHUP | EPOLLHUP))
        half->last = 1;
    if (events & EPOLLOUT) {
        half->ready_out = 1;
        connection->connected |= index;
    }
    if (!connection->connected)
        return; /* the peer's first bytes wait in its socket */
    if (!pump(connection, index) || !pump(connection, !index)) {
        drop(connection);
        return;
    }
    const struct half *one = &connection->half[0], *other = &connection->half[1];
    if (one->ended && other->ended && !one->kept_len && !other->kept_len && !one->piped && !other->piped)
        drop(connection);
}

static unsigned hash(const struct port *port, const union address *peer)
{
    const unsigned char *bytes = bytes_of(peer);
    unsigned value = (unsigned)port->handle.fd * 31u + peer->v4.sin_port;
    for (int n = 0; n < (peer->any.sa_family == AF_INET ? 4 : 16); n++)
        value = value * 31u + bytes[n];
    return value % (sizeof flows / sizeof *flows);
}

static int same(const union address *one, const union address *other)
{
    return same_host(one, other) && one->v4.sin_port == other->v4.sin_port;
}

static void expire_flows(time_t oldest)
{
    for (size_t slot = 0; slot < sizeof flows / sizeof *flows; slot++)
        for (struct flow **at = &flows[slot]; *at;) {
            struct flow *flow = *at;
            if (flow->used > oldest) {
                at = &flow->next;
                continue;
            }
            *at = flow->next;
            close(flow->handle.fd);
            flow->handle.fd = -1;
            flow->next_dead = dead_flows;
            dead_flows = flow;
            n_flows--;
        }
}

static void take_datagrams(struct port *port)
{
    for (int round = 0; round < 64; round++) {
        union address raw, peer;
        unsigned char control[64];
        struct iovec data = {buffer, 65536};
        struct msghdr message = {.msg_name = &raw, .msg_namelen = sizeof raw, .msg_iov = &data, .msg_iovlen = 1,
                                 .msg_control = control, .msg_controllen = sizeof control};
        ssize_t n = recvmsg(port->handle.fd, &message, 0);
        if (n < 0)
            return;
        peer = raw;
        plain(&peer);
        unsigned slot = hash(port, &peer);
        struct flow *flow = flows[slot];
        while (flow && (flow->port != port || !same(&flow->peer, &peer)))
            flow = flow->next;
        if (!flow) {
            if (n_flows >= 4096)
                expire_flows(now() - 5);
            int fd = n_flows >= 4096 ? -1 : connect_to(&peer, SOCK_DGRAM, port->number);
            flow = fd < 0 ? NULL : calloc(1, sizeof *flow);
            if (!flow) {
                if (fd >= 0)
                    close(fd);
                continue;
            }
            *flow = (struct flow){.handle = {FLOW, fd}, .port = port, .peer = peer, .next = flows[slot]};
            flows[slot] = flow;
            n_flows++;
            watch(&flow->handle, EPOLLIN);
        }
        flow->used = now();
        flow->local_len = message.msg_controllen < sizeof flow->local ? message.msg_controllen : 0;
        memcpy(flow->local, control, flow->local_len);
        send(flow->handle.fd, buffer, (size_t)n, MSG_NOSIGNAL);
    }
}

static void answer_datagrams(struct flow *flow)
{
    for (int round = 0; round < 64 && flow->handle.fd >= 0; round++) {
        ssize_t n = recv(flow->handle.fd, buffer, 65536, 0);
        if (n < 0)
            return;
        union address to = flow->peer;
        int family = 0;
        socklen_t length = sizeof family;
        getsockopt(flow->port->handle.fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
        if (family == AF_INET6 && to.any.sa_family == AF_INET) {
            memset(&to, 0, sizeof to);
            to.v6.sin6_family = AF_INET6;
            to.v6.sin6_port = flow->peer.v4.sin_port;
            memcpy(to.v6.sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
            memcpy(to.v6.sin6_addr.s6_addr + 12, &flow->peer.v4.sin_addr, 4);
        }
        struct iovec data = {buffer, (size_t)n};
        struct msghdr message = {.msg_name = &to, .msg_namelen = size_of(&to), .msg_iov = &data, .msg_iovlen = 1,
                                 .msg_control = flow->local, .msg_controllen = flow->local_len};
        struct cmsghdr *head = flow->local_len ? CMSG_FIRSTHDR(&message) : NULL;
        if (head && head->cmsg_level == SOL_IP) /* the interface it came in on is no order to send there */
            ((struct in_pktinfo *)CMSG_DATA(head))->ipi_ifindex = 0;
        flow->used = now();
        sendmsg(flow->port->handle.fd, &message, MSG_NOSIGNAL);
    }
}

static int ready_fd;

static void __attribute__((noreturn)) refuse(const char *protocol, int port, int number)
{
    dprintf(ready_fd, "port %d %s %d", port, protocol, number);
    _exit(1);
}

/* Take connections, or datagrams, at an address ("both" versions of IP: any address); -1 and errno if it cannot be had. */
static int listen_at(const char *protocol, union address address, int both, int port, int number)
{
    int one = 1, zero = 0, tcp = !strcmp(protocol, "tcp"), type = tcp ? SOCK_STREAM : SOCK_DGRAM;
    int fd = socket(address.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 && both) { /* a host without IPv6 */
        parse_address("0.0.0.0", &address);
        fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (fd < 0)
        return -1;
    if (address.any.sa_family == AF_INET6)
        setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, both ? &zero : &one, sizeof one);
    if (tcp)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    else {
        setsockopt(fd, SOL_IP, IP_PKTINFO, &one, sizeof one);
        if (address.any.sa_family == AF_INET6)
            setsockopt(fd, SOL_IPV6, IPV6_RECVPKTINFO, &one, sizeof one);
    }
    set_port(&address, port);
    struct port *made = NULL;
    if (!bind(fd, &address.any, size_of(&address)) && (!tcp || !listen(fd, 4096)))
        made = calloc(1, sizeof *made);
    if (!made) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    *made = (struct port){{tcp ? LISTENER : DATAGRAMS, fd}, number};
    watch(&made->handle, EPOLLIN);
    return 0;
}

static void listen_on(const char *protocol, const char *text, int port, int number)
{
    union address address;
    int both = !strcmp(text, "*");
    if (!parse_address(both ? "::" : text, &address))
        refuse(protocol, port, EINVAL);
    if (listen_at(protocol, address, both, port, number))
        refuse(protocol, port, errno);
}

/* The namespace has copies of the host's addresses: containers that write to one of them never leave it. So we listen there, too. What
   cannot be had is not missed by anybody else; what we have already is refused, too. */
static void listen_inside(const char *path)
{
    FILE *file = fopen(path, "re");
    char line[256], protocol[8], text[64];
    int port, number;
    struct ifaddrs *all = NULL;
    if (file && !getifaddrs(&all))
        while (fgets(line, sizeof line, file)) {
            union address wanted, own;
            if (sscanf(line, "listen %7s %63s %d %d", protocol, text, &port, &number) != 4)
                continue;
            int any = !strcmp(text, "*");
            if (!parse_address(any ? "::" : text, &wanted))
                continue;
            for (struct ifaddrs *at = all; at; at = at->ifa_next) {
                int family = at->ifa_addr ? at->ifa_addr->sa_family : AF_UNSPEC;
                if (strcmp(at->ifa_name, "uplink") || (family != AF_INET && family != AF_INET6))
                    continue;
                memset(&own, 0, sizeof own);
                memcpy(&own, at->ifa_addr, family == AF_INET ? sizeof own.v4 : sizeof own.v6);
                set_port(&own, 0);
                if (any ? own.any.sa_family == AF_INET || !IN6_IS_ADDR_LINKLOCAL(&own.v6.sin6_addr) : same(&own, &wanted))
                    listen_at(protocol, own, 0, port, number);
            }
        }
    if (all)
        freeifaddrs(all);
    if (file)
        fclose(file);
}

static void read_file(const char *path, int first)
{
    FILE *file = fopen(path, "re");
    char line[256], word[16], protocol[8], text[64];
    int port, number;
    if (!file) {
        if (first)
            die(path);
        return;
    }
    target4.any.sa_family = target6.any.sa_family = 0;
    n_locals = 0;
    while (fgets(line, sizeof line, file)) {
        union address address;
        char *slash;
        if (first && sscanf(line, "%15s %7s %63s %d %d", word, protocol, text, &port, &number) == 5 && !strcmp(word, "listen"))
            listen_on(protocol, text, port, number);
        else if (sscanf(line, "target %63s", text) == 1 && parse_address(text, &address))
            *(address.any.sa_family == AF_INET ? &target4 : &target6) = address;
        else if (sscanf(line, "local %63s", text) == 1 && (slash = strchr(text, '/')) && n_locals < 32) {
            *slash = 0;
            if (parse_address(text, &address)) {
                struct subnet *subnet = &locals[n_locals++];
                subnet->family = address.any.sa_family;
                subnet->prefix = atoi(slash + 1);
                memcpy(subnet->bytes, bytes_of(&address), subnet->family == AF_INET ? 4 : 16);
            }
        }
    }
    fclose(file);
}

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
    listen_inside(argv[4]);
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
                    read_file(argv[4], 0), listen_inside(argv[4]);
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
        while (dead_connections) {
            struct connection *connection = dead_connections;
            dead_connections = connection->next_dead;
            free(connection->half[0].kept);
            free(connection->half[1].kept);
            free(connection);
        }
        while (dead_flows) {
            struct flow *flow = dead_flows;
            dead_flows = flow->next_dead;
            free(flow);
        }
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
