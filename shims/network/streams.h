/* streams.h: the connections of published ports. Part of ../network.c.
 *
 * Each has two halves, one for each direction. What is read at once is written at once; a direction that moves much gets a pipe, so that
 * its data need not pass through our memory (splice). */

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

static struct connection *dead_connections;
static unsigned char buffer[1 << 18];

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

static void free_connections(void)
{
    while (dead_connections) {
        struct connection *connection = dead_connections;
        dead_connections = connection->next_dead;
        free(connection->half[0].kept);
        free(connection->half[1].kept);
        free(connection);
    }
}
