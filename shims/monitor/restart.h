/* The restart policy, and the commands that the monitor executes at its own end. Part of ../monitor.c. */

enum { GOOD_RUN = 10, FIRST_WAIT = 100 }; /* seconds, milliseconds */
static const char *policy_file, *stopped_file;
static int restarts; /* since a user started the container */
static long long next_wait = FIRST_WAIT;
static struct timespec began;
static int force_restart; /* the health check's wish, whatever the policy */

/* The policy is a word in a file, so that it can be changed while the container runs; the file is missing where there is none.
 * How long to wait until the container is started again, in milliseconds; -1: it stays as it is. */
static long restart_after(int code)
{
    char text[64];
    struct timespec now;
    int fd = policy_file ? open(policy_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    if (!stopped_file || access(stopped_file, F_OK) == 0) /* the user's wish comes first */
        return -1;
    text[n > 0 ? n : 0] = 0;
    if (!force_restart && !strncmp(text, "on-failure", 10)) {
        int most = text[10] == ':' ? atoi(text + 11) : 0;
        if (code == 0 || (most > 0 && restarts >= most))
            return -1;
    } else if (!force_restart && strncmp(text, "always", 6) && strncmp(text, "unless-stopped", 14)) {
        return -1;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - began.tv_sec >= GOOD_RUN ? FIRST_WAIT : (long)next_wait;
}

/* Executes the command with one more argument, or two. */
static void execute(char **command, char *last, char *more)
{
    char *argv[33];
    int n = 0;
    sigset_t none;
    while (command[n] && n < 30) {
        argv[n] = command[n];
        n++;
    }
    argv[n++] = last;
    argv[n++] = more;
    argv[n] = NULL;
    /* Whoever took the container for a running one may have sent, or may still send, what the monitor listens to: ignored, what is
     * pending is dropped. */
    for (int sig = 1; sig < 32; sig++)
        signal(sig, sig == SIGHUP || sig == SIGUSR1 || sig == SIGUSR2 ? SIG_IGN : SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(argv[0], argv);
}

/* Whoever wants the container otherwise (start, stop, rm, kill) ends this process under the container's lock. */
static void start_again(char **command, long wait_ms)
{
    struct timespec pause = {wait_ms / 1000, wait_ms % 1000 * 1000 * 1000};
    while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
        ;
    if (access(stopped_file, F_OK) == 0 || access(exit_file, F_OK) < 0)
        return;
    reach("monitor:again");
    execute(command, "--restart", NULL);
}
