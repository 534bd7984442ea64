/* Waits for the end of a detached exec's process, writes it down and notes it. Part of ../monitor.c.
 *
 *   pyman-monitor --exec PID --record FILE --exit-file FILE [--console FD] [--pidfd FD] [--events FILE --event TEXT --session ID]
 *
 * It reads what a terminal shows, which would stop the process otherwise. Never in the container: only the process is. That is its child,
 * or where a user has detached from it, known by a pidfd alone: Linux 6.15 tells of such a process how it ended, older ones only that it has.
 */
#define GET_INFO _IOWR(0xff, 11, struct ended_info)
struct ended_info {
    uint64_t mask, group;
    uint32_t ids[11];
    int32_t status;
};

/* Whether it is known how a process has ended that is not our child. It tells once its parent, or init, has taken note. */
static int ended_how(int pidfd, int *status)
{
    for (int try = 0; try < 250; try++) {
        struct ended_info info = {.mask = 8};
        if (ioctl(pidfd, GET_INFO, &info) < 0)
            return 0;
        *status = info.status;
        if (info.mask & 8)
            return 1;
        poll(NULL, 0, 20);
    }
    return 0;
}

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

static int session_main(int argc, char **argv)
{
    int pid = number(argv[2]), console = -1, pidfd = -1, status = 0, ended = 0, known = 1;
    const char *record = NULL, *session = "";
    char facts[160];
    for (int i = 3; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--record"))
            record = argv[i + 1];
        else if (!strcmp(argv[i], "--console"))
            console = number(argv[i + 1]);
        else if (!strcmp(argv[i], "--pidfd"))
            pidfd = number(argv[i + 1]);
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
    while (pidfd >= 0 ? !ended : waitpid(pid, &status, WNOHANG) == 0) {
        struct signalfd_siginfo info;
        struct pollfd fds[2] = {{pidfd >= 0 ? pidfd : signal_fd, POLLIN, 0}, {console, POLLIN, 0}};
        poll(fds, 2, -1);
        ended = fds[0].revents != 0;
        if (ended && pidfd < 0 && read(signal_fd, &info, sizeof info) < 0)
            continue;
        if (fds[1].revents && read(console, chunk, CHUNK) <= 0 && errno != EAGAIN) {
            close(console); /* the process has left its terminal */
            console = -1;
        }
    }
    if (pidfd >= 0)
        known = ended_how(pidfd, &status);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), n = 0;
    if (known) {
        session_record(record, code);
        n = snprintf(facts, sizeof facts, ",\"ContainerExitCode\":%d", code);
    }
    reach("exec:recorded");
    snprintf(facts + n, sizeof facts - (size_t)n, ",\"ExecID\":\"%.64s\"", session);
    write_event("exec_died", facts);
    return 0;
}
