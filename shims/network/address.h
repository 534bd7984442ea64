/* address.h: addresses, and sockets on their way to the container. Part of ../network.c. */

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

static int epoll_fd;

enum kind { LISTENER, DATAGRAMS, STREAM, FLOW };

struct handle { /* what an epoll event points to */
    enum kind kind;
    int fd;
};

struct port {
    struct handle handle;
    int number; /* in the container */
};

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

static int same_host(const union address *one, const union address *other)
{
    return one->any.sa_family == other->any.sa_family && !memcmp(bytes_of(one), bytes_of(other), one->any.sa_family == AF_INET ? 4 : 16);
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
            if (type == SOCK_STREAM) /* its port may be one that is listened at here */
                setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
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
