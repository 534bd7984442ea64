/* sd_notify(3): what the container tells its service manager, and what the monitor tells it for the container. Part of ../monitor.c.
 *
 * The container gets a socket of its own. What it sends is passed on line by line, without what would let it choose the main
 * process, keep descriptors of the manager's, or forge lines of its log; the main process is the monitor, which ends with the container's
 * exit code.
 */
enum { NOTIFY_CONTAINER, NOTIFY_CONMON, NOTIFY_HEALTHY };

static int notify_fd = -1, notify_listen = -1, notify_mode;
static long long watchdog, watchdog_due = -1; /* milliseconds between two signs of life; 0: nobody waits for them */

static void notify_send(const char *text, int wait)
{
    /* Of READY the manager must learn; the socket has a time limit for that. All else may be lost. */
    if (notify_fd >= 0 && send(notify_fd, text, strlen(text), MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT)) < 0)
        note("notify");
}

/* That this is the main process was said before the starting command ended: pyman/engine/notify.py. */
static void notify_begin(void)
{
    struct timeval limit = {2, 0};
    if (notify_fd < 0)
        return;
    fcntl(notify_fd, F_SETFD, FD_CLOEXEC);
    setsockopt(notify_fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (notify_listen >= 0)
        fcntl(notify_listen, F_SETFD, FD_CLOEXEC);
    if (watchdog > 0 && notify_mode != NOTIFY_CONTAINER)
        watchdog_due = now_ms();
}

static void notify_healthy(void)
{
    if (notify_mode == NOTIFY_HEALTHY)
        notify_send("READY=1", 1);
}

static int notify_allowed(const char *line, size_t length)
{
    static const char *const whole[] = {"READY=1", "RELOADING=1", "STOPPING=1", "WATCHDOG=1", "WATCHDOG=trigger"};
    static const char *const begins[] = {"STATUS=", "ERRNO=", "BUSERROR=", "EXIT_STATUS=", "MONOTONIC_USEC=", "EXTEND_TIMEOUT_USEC=", "WATCHDOG_USEC="};
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            return 0;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strlen(whole[i]) == length && !memcmp(line, whole[i], length))
            return 1;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (length > strlen(begins[i]) && !memcmp(line, begins[i], strlen(begins[i])))
            return 1;
    return 0;
}

/* One message of the container's. Descriptors that come with it are closed, which is what sd_notify_barrier(3) waits for. */
static void notify_read(void)
{
    static char in[4096], passed[4096 + 64];
    union {
        char room[CMSG_SPACE(sizeof(int) * 253)];
        struct cmsghdr align;
    } control;
    struct iovec part = {in, sizeof in};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t n = recvmsg(notify_listen, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
                close(fd);
            }
    size_t m = 0;
    int ready = 0;
    for (char *line = in; line < in + n && !(message.msg_flags & MSG_TRUNC);) {
        char *end = memchr(line, '\n', (size_t)(in + n - line));
        size_t length = (size_t)((end ? end : in + n) - line);
        if (notify_allowed(line, length)) {
            ready |= length == 7 && !memcmp(line, "READY=1", 7);
            memcpy(passed + m, line, length);
            passed[m + length] = '\n';
            m += length + 1;
        }
        line += length + 1;
    }
    if (!m)
        return;
    m += ready ? (size_t)sprintf(passed + m, "MAINPID=%d\n", getpid()) : 0;
    passed[m - 1] = 0;
    notify_send(passed, ready);
}

/* With conmon the monitor's own life is the sign; with healthy, the container's health. */
static void notify_tick(void)
{
    if (watchdog_due < 0 || now_ms() < watchdog_due)
        return;
    watchdog_due = now_ms() + watchdog;
    if (notify_mode == NOTIFY_CONMON || strcmp(health_status, "unhealthy") != 0)
        notify_send("WATCHDOG=1", 0);
}
