/* helper.h: the processes that give the container its network (pasta, slirp4netns, the port forwarder): ended with the container, and
 * started again when they die before it. Part of monitor.c. */

enum { MAX_HELPERS = 8, MAX_WORDS = 63, QUICK = 3 };

static int helpers[MAX_HELPERS], n_helpers;
static unsigned long long helper_start[MAX_HELPERS];
static char *helper_words[MAX_WORDS + 1]; /* of the first one: the program, and what it is called with */
static int n_helper_words, helper_fd = -1; /* a descriptor that it gets as 3 */
static int helper_quick;                   /* ends in a row that came within a second */
static struct timespec helper_began;

static unsigned long long start_time(int pid)
{
    char path[64], data[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, data, sizeof data - 1);
    close(fd);
    if (n <= 0)
        return 0;
    data[n] = 0;
    char *at = strrchr(data, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* A helper is ended only if the number still means the process it meant at the start. Returns a pidfd to wait on, or -1. */
static int end_helper(int pid, unsigned long long started)
{
    int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (fd >= 0 && start_time(pid) == started) {
        syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static void helper_execute(pid_t parent)
{
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(125);
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    /* Of our descriptors it may hold none: one keeps the bridges' namespace alive, another is the container's input. */
    if (helper_fd >= 0 && dup2(helper_fd, 3) < 0)
        _exit(125);
    syscall(SYS_close_range, helper_fd >= 0 ? 4 : 3, ~0U, 0);
    execv(helper_words[0], helper_words + 1);
    _exit(127);
}

static void helper_again(void)
{
    pid_t parent = getpid();
    clock_gettime(CLOCK_MONOTONIC, &helper_began);
    helpers[0] = fork();
    if (helpers[0] == 0)
        helper_execute(parent);
    helper_start[0] = helpers[0] > 0 ? start_time(helpers[0]) : 0;
}

/* One of our children has ended. One that cannot even start is not tried for ever. */
static void helper_reaped(int pid)
{
    struct timespec now;
    if (!n_helper_words || !n_helpers || pid != helpers[0])
        return;
    helpers[0] = 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    helper_quick = now.tv_sec - helper_began.tv_sec > 1 ? 0 : helper_quick + 1;
    if (helper_quick <= QUICK)
        helper_again();
}

/* A user wishes it back. */
static void helper_wanted(void)
{
    helper_quick = 0;
    if (n_helper_words && n_helpers && helpers[0] <= 0)
        helper_again();
}
