/* The parent of an exec's process that may go on without its caller: waits for its end and notes it. Part of ../monitor.c.
 *
 *   pyman-monitor --exec PID --record FILE --exit-file FILE [--console FD | --client FD] [--events FILE --event TEXT --session ID]
 *
 * It reads what a terminal shows, which would stop the process otherwise. Never in the container: only its child is.
 * --client: a channel to the command that is attached (pyman/engine/exec_terminal.py). It alone has the terminal's master: when
 * it is killed the terminal hangs up. When its user detaches it sends the master. Else it is told the exit code, and nothing is written down.
 */
static void session_record(const char *path, int code)
{
    char temp[4200], text[128];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(temp, sizeof temp, "%s.tmp", path);
    int n = snprintf(text, sizeof text, "{\"exit_code\":%d,\"time\":%lld.%06ld}", code, (long long)now.tv_sec, now.tv_nsec / 1000);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return; /* the container was removed */
    if (write(fd, text, (size_t)n) != n || rename(temp, path) < 0)
        unlink(temp);
    close(fd);
}

/* The client detaches, or it has gone: the terminal's master, or -1. *client is -1 afterwards; not if it has said nothing. */
static int session_left(int *client)
{
    char data[512];
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {data, sizeof data};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int fd = -1;
    ssize_t n = recvmsg(*client, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -1;
    struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    close(*client);
    *client = -1;
    nonblocking(fd);
    return fd;
}

static int session_main(int argc, char **argv)
{
    int pid = number(argv[2]), console = -1, client = -1, status = 0;
    const char *record = NULL, *session = "";
    char facts[160];
    for (int i = 3; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--record"))
            record = argv[i + 1];
        else if (!strcmp(argv[i], "--console"))
            console = number(argv[i + 1]);
        else if (!strcmp(argv[i], "--client"))
            client = number(argv[i + 1]);
        else if (!strcmp(argv[i], "--exit-file"))
            exit_file = argv[i + 1];
        else if (!strcmp(argv[i], "--events"))
            events_path = argv[i + 1];
        else if (!strcmp(argv[i], "--event"))
            event = argv[i + 1];
        else if (!strcmp(argv[i], "--session"))
            session = argv[i + 1];
    }
    if (pid < 1 || !record || !exit_file)
        return 125;
    setsid();
    prctl(PR_SET_NAME, "pyman:[exec]", 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    for (int sig = 1; sig < 32; sig++)
        if (sig != SIGCHLD)
            signal(sig, SIG_IGN);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    if (chdir("/") < 0)
        note("chdir");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    nonblocking(console);
    int signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct signalfd_siginfo info;
        struct pollfd fds[3] = {{signal_fd, POLLIN, 0}, {console, POLLIN, 0}, {client, POLLIN, 0}};
        poll(fds, 3, -1);
        if (fds[0].revents && read(signal_fd, &info, sizeof info) < 0)
            continue;
        if (fds[1].revents && read(console, chunk, CHUNK) <= 0 && errno != EAGAIN) {
            close(console); /* the process has left its terminal */
            console = -1;
        }
        if (fds[2].revents)
            console = session_left(&client);
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (client >= 0)
        session_left(&client); /* just now, perhaps */
    if (client < 0)
        session_record(record, code);
    reach("exec:recorded");
    snprintf(facts, sizeof facts, ",\"ContainerExitCode\":%d,\"ExecID\":\"%.64s\"", code, session);
    write_event("exec_died", facts);
    int n = snprintf(facts, sizeof facts, "{\"kind\":\"end\",\"code\":%d}", code);
    if (client >= 0 && send(client, facts, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        session_record(record, code); /* it has gone meanwhile */
    return 0;
}
