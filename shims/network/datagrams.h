/* datagrams.h: the datagrams of published ports, as flows that end when nothing comes for a while. Part of ../network.c. */

struct flow {
    struct handle handle;
    struct port *port;
    union address peer;
    /* Control messages with the address that the peer wrote to: two for IPv4 on a socket for both versions. */
    unsigned char local[128] __attribute__((aligned(sizeof(size_t))));
    size_t local_len;
    time_t used;
    struct flow *next, *next_dead;
};

static struct flow *flows[1024];
static int n_flows;
static struct flow *dead_flows;

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
        unsigned char control[128] __attribute__((aligned(sizeof(size_t))));
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
        flow->local_len = message.msg_flags & MSG_CTRUNC ? 0 : message.msg_controllen;
        memcpy(flow->local, control, flow->local_len);
        send(flow->handle.fd, buffer, (size_t)n, MSG_NOSIGNAL);
    }
}

/* The interface a datagram came in on is no order to send the answer there; a link-local address means nothing without it. */
static void any_interface(struct msghdr *message)
{
    for (struct cmsghdr *at = message->msg_controllen ? CMSG_FIRSTHDR(message) : NULL; at; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level == SOL_IP && at->cmsg_type == IP_PKTINFO)
            ((struct in_pktinfo *)CMSG_DATA(at))->ipi_ifindex = 0;
        else if (at->cmsg_level == SOL_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(at);
            if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
                info->ipi6_ifindex = 0;
        }
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
        any_interface(&message);
        flow->used = now();
        if (sendmsg(flow->port->handle.fd, &message, MSG_NOSIGNAL) < 0 && flow->local_len) { /* the address has gone, or is a group's */
            message.msg_control = NULL;
            message.msg_controllen = 0;
            sendmsg(flow->port->handle.fd, &message, MSG_NOSIGNAL);
        }
    }
}

static void free_flows(void)
{
    while (dead_flows) {
        struct flow *flow = dead_flows;
        dead_flows = flow->next_dead;
        free(flow);
    }
}
