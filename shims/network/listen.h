/* listen.h: where published ports are taken, on the host and in the bridges' namespace. Part of ../network.c. */

static int ready_fd;

static void __attribute__((noreturn)) refuse(const char *protocol, int port, int number)
{
    dprintf(ready_fd, "port %d %s %d", port, protocol, number);
    _exit(1);
}

/* Take connections, or datagrams, at an address ("both" versions of IP: any address); -1 and errno if it cannot be had.
   shared: with sockets that imitate a peer of the same port (address.h); who may publish a port has been decided on the host. */
static int listen_at(const char *protocol, union address address, int both, int shared, int port, int number)
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
    if (shared)
        setsockopt(fd, SOL_SOCKET, tcp ? SO_REUSEPORT : SO_REUSEADDR, &one, sizeof one);
    if (!tcp) {
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
    if (listen_at(protocol, address, both, 0, port, number))
        refuse(protocol, port, errno);
}

/* In the namespace, at the copies of the host's addresses that pasta's device has: where a port is published at one address, and for the
   port that name servers have at those of their bridges. What cannot be had is not missed by anybody else. */
static void listen_at_copies(const char *protocol, const union address *wanted, int port, int number)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all))
        return;
    for (struct ifaddrs *at = all; at; at = at->ifa_next) {
        int family = at->ifa_addr ? at->ifa_addr->sa_family : AF_UNSPEC;
        union address own;
        if (strcmp(at->ifa_name, "uplink") || (family != AF_INET && family != AF_INET6))
            continue;
        memset(&own, 0, sizeof own);
        memcpy(&own, at->ifa_addr, family == AF_INET ? sizeof own.v4 : sizeof own.v6);
        set_port(&own, 0);
        if (wanted ? same_host(&own, wanted) : family == AF_INET || !IN6_IS_ADDR_LINKLOCAL(&own.v6.sin6_addr))
            listen_at(protocol, own, 0, 0, port, number); /* what we have already is refused, too */
    }
    freeifaddrs(all);
}

/* What containers write to one of the host's addresses, or to a bridge's, never leaves the namespace. So we listen there, too. Internal
   networks do not get here: the namespace's rules see to it. */
static void listen_inside(const char *path, int first)
{
    FILE *file = fopen(path, "re");
    char line[256], protocol[8], text[64];
    int port, number, names = 0;
    while (file && fgets(line, sizeof line, file)) {
        union address wanted;
        if (sscanf(line, "names %d", &names) == 1 || sscanf(line, "listen %7s %63s %d %d", protocol, text, &port, &number) != 4)
            continue;
        int any = !strcmp(text, "*");
        if (!parse_address(any ? "::" : text, &wanted))
            continue;
        if (any && port != names) {
            if (first)
                listen_at(protocol, wanted, 1, 1, port, number);
        } else
            listen_at_copies(protocol, any ? NULL : &wanted, port, number);
    }
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
