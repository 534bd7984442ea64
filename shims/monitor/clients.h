/* clients.h: those who are attached, and what they are given of the container's output. Part of ../monitor.c.
 *
 * While a client has not taken the packet in `pending`, nothing more is read from the container, so that it waits in its write. The command
 * that started the container may keep it waiting for ever, but loses nothing. Any other one is waited for CLIENT_LOOKS times CLIENT_LOOK ms
 * (a machine that stood still has looked once): then the container goes on without it, and once it reads again it is told what it has missed.
 * None is waited for before the container's end is on record.
 */

enum { CLIENT_LOOK = 1000, CLIENT_LOOKS = 10 };

struct client {
    int fd;
    int primary; /* the command that started the container */
    int behind;  /* it has not taken the packet in `pending` yet */
    int looks;   /* how often it was found to take nothing, the last time at `seen` */
    long long seen;
    unsigned long long missed; /* bytes that were not given to it, which it does not know yet */
    size_t tail_at;            /* where it is in `tail`; `tail_len`: at its end; SIZE_MAX: it will be, after this packet */
};

static struct client clients[MAX_CLIENTS];
static int n_clients, primary_told; /* the primary client knows the exit code */
static char pending[CHUNK + 1];
static int pending_len; /* not 0 while a client is behind */

/* What lay in the pipes at the container's end while a client was behind: packets, each behind its length. */
static int ending;
static char *tail;
static size_t tail_len;

static long long now_ms(void);
static int earlier(int wait, long long moment);

/* Nobody may be behind any more. */
static void pending_settle(void)
{
    for (int i = 0; i < n_clients; i++)
        if (clients[i].behind)
            return;
    pending_len = 0;
}

/* Its descriptor, which is none of a client's any more. */
static int client_take(int index)
{
    int fd = clients[index].fd;
    clients[index] = clients[--n_clients];
    pending_settle();
    return fd;
}

static void client_drop(int index)
{
    close(client_take(index));
}

static void client_add(int fd, int primary)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (!primary && (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid())) {
        close(fd);
        return;
    }
    if (n_clients == MAX_CLIENTS) {
        if (send(fd, "f", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            note("client");
        close(fd);
        return;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    clients[n_clients++] = (struct client){.fd = fd, .primary = primary, .tail_at = tail_len};
}

/* 1: taken; 0: not now; -1: it has gone. */
static int client_send(struct client *client, const char *data, int length)
{
    if (send(client->fd, data, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return errno == EAGAIN ? 0 : -1;
    client->looks = 0;
    client->seen = now_ms();
    return 1;
}

/* It takes data again: it learns what it has missed. */
static int client_tell(struct client *client)
{
    char packet[9] = {'l'};
    if (!client->missed)
        return 1;
    for (int i = 0; i < 8; i++)
        packet[i + 1] = (char)(client->missed >> 8 * i);
    int taken = client_send(client, packet, sizeof packet);
    if (taken > 0)
        client->missed = 0;
    return taken;
}

static void tail_add(const char *data, int length)
{
    char *more = realloc(tail, tail_len + sizeof length + (size_t)length);
    if (!more)
        return;
    memcpy(more + tail_len, &length, sizeof length);
    memcpy(more + tail_len + sizeof length, data, (size_t)length);
    tail = more;
    tail_len += sizeof length + (size_t)length;
}

static void broadcast(const char *data, int length)
{
    int wanted = 0;
    for (int i = n_clients - 1; i >= 0; i--) {
        struct client *client = &clients[i];
        if (client->behind || client->tail_at < tail_len) { /* at the end only */
            wanted = 1;
            continue;
        }
        int told = client_tell(client), taken = told > 0 ? client_send(client, data, length) : told;
        if (taken < 0) {
            client_drop(i);
        } else if (taken > 0) {
            client->tail_at = SIZE_MAX;
        } else if (!told) {
            client->missed += (unsigned)length - 1;
            client->tail_at = SIZE_MAX;
        } else if (ending) {
            wanted = 1;
        } else {
            memcpy(pending, data, (size_t)length);
            pending_len = length;
            client->behind = 1;
            client->looks = 0;
            client->seen = now_ms();
        }
    }
    if (wanted)
        tail_add(data, length);
    for (int i = 0; i < n_clients; i++)
        if (clients[i].tail_at == SIZE_MAX)
            clients[i].tail_at = tail_len;
}

/* As much as it takes now of what it has not got. 1: all of it; 0: not all; -1: it has gone. */
static int client_flush(struct client *client)
{
    int taken = client_tell(client), length;
    if (taken > 0 && client->behind) {
        taken = client_send(client, pending, pending_len);
        client->behind = taken <= 0;
    }
    while (taken > 0 && client->tail_at < tail_len) {
        memcpy(&length, tail + client->tail_at, sizeof length);
        taken = client_send(client, tail + client->tail_at + sizeof length, length);
        if (taken > 0)
            client->tail_at += sizeof length + (size_t)length;
    }
    return taken;
}

static void client_ready(int index)
{
    if (client_flush(&clients[index]) < 0)
        client_drop(index);
    else
        pending_settle();
}

static int client_awaited(const struct client *client)
{
    return !client->primary && (client->behind || ending);
}

/* When to look again whether clients take something, or -1. */
static long long clients_due(void)
{
    long long due = -1;
    for (int i = 0; i < n_clients; i++)
        if (client_awaited(&clients[i]) && (due < 0 || clients[i].seen + CLIENT_LOOK < due))
            due = clients[i].seen + CLIENT_LOOK;
    return due;
}

/* Those who have taken nothing for too long are not waited for any more. */
static void clients_look(void)
{
    long long now = now_ms();
    for (int i = n_clients - 1; i >= 0; i--) {
        struct client *client = &clients[i];
        if (!client_awaited(client) || now < client->seen + CLIENT_LOOK)
            continue;
        client->seen = now;
        if (++client->looks < CLIENT_LOOKS)
            continue;
        if (ending) {
            client_drop(i);
            continue;
        }
        client->behind = 0;
        client->missed += (unsigned)pending_len - 1;
        pending_settle();
    }
}

/* The container has ended: what is left in its pipes comes next. */
static void clients_ending(void)
{
    ending = 1;
    for (int i = 0; i < n_clients; i++) {
        clients[i].seen = now_ms();
        clients[i].looks = clients[i].missed ? CLIENT_LOOKS - 1 : 0; /* it was waited for already */
    }
}

/* Tells the exit code to those who have taken all output, and leaves them. */
static void clients_end(int code)
{
    char packet[5] = {'x', (char)code, 0, 0, 0}; /* as wait(2) would pass it on: 255 for -1 */
    for (int i = n_clients - 1; i >= 0; i--) {
        int taken = client_flush(&clients[i]);
        if (taken > 0)
            taken = client_send(&clients[i], packet, sizeof packet);
        if (taken > 0)
            primary_told |= clients[i].primary;
        if (taken)
            client_drop(i);
    }
}

/* Until all know it, or have gone. */
static void clients_wait(int code)
{
    struct pollfd fds[MAX_CLIENTS];
    for (clients_end(code); n_clients; clients_look(), clients_end(code)) {
        for (int i = 0; i < n_clients; i++)
            fds[i] = (struct pollfd){clients[i].fd, POLLOUT, 0};
        poll(fds, (nfds_t)n_clients, earlier(-1, clients_due()));
    }
}
