/* The checker's work, within the container: it carries out the monitor's orders, and keeps the time of checks by itself while there is
 * nothing to tell. Part of health.h.
 *
 * A check costs two wake-ups of this process and one fork, which copies its pages and does not lend them (vfork): a container that may
 * look into other processes could write into those of the checker, which is not in the container's pid namespace.
 */

static struct run {
    uint32_t told; /* the number of the last result that was told */
    int pidfd, output, was_killed, asked;
    int passed_on; /* that the monitor knows of this check already: it takes its time, or writes much */
    int last_good; /* that the one before was successful, and all that it wrote is in last_text */
    size_t written, last_written;
    struct timespec began;
    long long began_ms;
    char text[OUTPUT_PART], last_text[OUTPUT_PART];
} *run;

/* Before the container's limits are its own. What no check has can be changed by none, and need not be copied for any. */
static void checker_notes(void)
{
    run = mmap(NULL, sizeof *run, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (run == MAP_FAILED || madvise(run, sizeof *run, MADV_DONTFORK) < 0 || madvise(board, sizeof *board, MADV_DONTFORK) < 0)
        check_fail(125, "memory", strerror(errno));
}

static void tell(const void *packet, size_t size)
{
    while (send(3, packet, size, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            _exit(0); /* the monitor has ended */
}

static void tell_state(char what, int status)
{
    struct told told = {.what = what, .asked = (char)run->asked, .number = run->told, .status = status, .began = run->began, .began_ms = run->began_ms};
    tell(&told, sizeof told);
}

static void tell_written(void)
{
    char packet[1 + OUTPUT_PART] = "O";
    if (!run->written)
        return;
    memcpy(packet + 1, run->text, run->written);
    tell(packet, 1 + run->written);
    run->passed_on = 1;
    run->written = 0;
}

/* Reads what the check has written; as much as is there. What fills the room is passed on. */
static void run_read(void)
{
    for (int turns = 0; run->output >= 0 && turns < 1024; turns++) { /* whoever writes without end must not keep the result from being told */
        if (run->written == sizeof run->text)
            tell_written();
        ssize_t n = read(run->output, run->text + run->written, sizeof run->text - run->written);
        if (n < 0)
            return;
        if (n == 0) {
            close(run->output);
            run->output = -1;
        }
        run->written += (size_t)n;
    }
}

/* In the process of a check: what it says is the check's output. (Not before: each page that it writes to is copied.) */
static void child_fail(int code, const char *what, const char *why)
{
    checker_channel = -1;
    check_fail(code, what, why);
}

static void run_begin(char **check)
{
    const char *program = check_find(check[0]); /* here, not in the child: each page that it writes to would be copied */
    int ends[2], pidfd;
    if (pipe2(ends, O_CLOEXEC) < 0)
        check_fail(125, "cannot make a pipe", strerror(errno));
    clock_gettime(CLOCK_REALTIME, &run->began);
    run->began_ms = now_ms();
    run->was_killed = 0;
    long pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
    if (pid == 0) { /* `run` is not here, and neither is `board` */
        setpgid(0, 0); /* not setsid: in a session of its own a check could get a terminal, and the kernel makes it a group to schedule */
        if (dup2(ends[1], 1) < 0 || dup2(ends[1], 2) < 0) /* the others are closed by exec */
            _exit(125);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (few_files && setrlimit(RLIMIT_NOFILE, few_files) < 0)
            child_fail(125, "limits", strerror(errno));
        if (!program)
            child_fail(127, check[0], "no such program in the container");
        if (filter_late && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &plan.filter, 0, 0) < 0))
            child_fail(125, "seccomp", strerror(errno));
        execve(program, check, plan.env);
        child_fail(errno == ENOENT ? 127 : 126, check[0], strerror(errno));
    }
    if (pid < 0)
        check_fail(125, "cannot start a process", strerror(errno));
    board->child = (int)pid;
    run->output = ends[0];
    run->pidfd = pidfd;
    close(ends[1]);
    fcntl(run->output, F_SETFL, O_NONBLOCK);
}

/* Waits until there is something to read, at most `wait` ms (-1: for ever); as poll. */
static int wait_for(int fd, long long wait)
{
    struct pollfd one = {fd, POLLIN, 0};
    struct timespec limit = {wait / 1000, wait % 1000 * 1000000};
    return ppoll(&one, 1, wait < 0 ? NULL : &limit, NULL);
}

/* Waits for an order, at most `wait` ms (-1: for ever). 0: none has come. */
static int order_take(struct order *order, long long wait)
{
    int n = wait_for(3, wait);
    ssize_t size = n > 0 ? recv(3, order, sizeof *order, 0) : -1;
    if (n > 0 && size <= 0)
        _exit(0); /* the monitor has ended */
    if (n < 0 && errno != EINTR)
        check_fail(125, "cannot wait for checks", strerror(errno));
    return size == sizeof *order;
}

/* Until the end of a check that takes its time: passes on what it writes, and kills it if that is ordered. */
static void run_attend(void)
{
    struct order order;
    run->passed_on = 1;
    tell_state('S', 0);
    for (;;) {
        struct pollfd fds[3] = {{run->pidfd, POLLIN, 0}, {3, POLLIN, 0}, {run->output, POLLIN, 0}};
        if (ppoll(fds, 3, NULL, NULL) < 0)
            continue;
        if (fds[2].revents) {
            run_read();
            tell_written();
        }
        if (fds[1].revents && order_take(&order, 0) && order.what == 'k') {
            kill(-board->child, SIGKILL);
            kill(board->child, SIGKILL); /* it had not made its group yet */
            run->was_killed = 1;
        }
        if (fds[0].revents)
            return;
    }
}

/* Runs one check; its result is told, or stands on the board if that may pass in silence and is like the last one. */
static void run_check(char **check, long long patience, int asked, int silent)
{
    int status = 0;
    run->asked = asked;
    run->written = 0;
    run->passed_on = 0;
    run_begin(check);
    if (wait_for(run->pidfd, patience) <= 0)
        run_attend();
    run_read();
    while (wait4(board->child, &status, __WALL, NULL) < 0 && errno == EINTR)
        ;
    board->child = 0;
    close(run->pidfd);
    if (run->output >= 0)
        close(run->output);
    int good = !status && !run->passed_on;
    if (silent && good && run->last_good && run->written == run->last_written && !memcmp(run->text, run->last_text, run->written)) {
        board_note(run->began);
        return;
    }
    run->last_good = good;
    if (good)
        memcpy(run->last_text, run->text, run->last_written = run->written);
    tell_written();
    run->told++;
    tell_state(run->was_killed ? 'K' : 'R', status);
}

static void checker_serve(void)
{
    struct order order, alone = {0};
    for (;;) {
        if (order_take(&order, alone.what ? alone.interval : -1)) {
            if (order.what == 'q' && order.number == run->told) {
                alone = order;
            } else if (order.what == 'c' || order.what == 's') {
                alone.what = 0;
                run_check(order.what == 's' ? plan.startup : plan.command, order.patience, 1, 0);
            }
        } else if (alone.what) {
            uint32_t told = run->told;
            run_check(plan.command, alone.patience, 0, alone.silent > 0);
            alone.silent--;
            if (run->told != told)
                alone.what = 0; /* the monitor says how to go on */
        }
    }
}
