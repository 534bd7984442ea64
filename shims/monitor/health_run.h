/* The monitor's side of the checks: having them begun, reading what the checker tells. Part of health.h. */

/* The group of the first process where that lies below the container's own: systemd in a container divides its group, which then takes
 * no processes itself. -1: there is none. */
static int inner_group(void)
{
    char text[4096], path[40], *group;
    snprintf(path, sizeof path, "/proc/%d/cgroup", health_init);
    text_of(path, text, sizeof text);
    group = strncmp(text, "0::/", 4) ? strstr(text, "\n0::/") : text;
    if (!group)
        return -1;
    group = strchr(group, '/');
    group[strcspn(group, "\n")] = 0;
    /* The directory has the hierarchy's place before the name that the kernel tells. */
    for (const char *name = health_cgroup; name && *name; name = strchr(name + 1, '/')) {
        size_t length = strlen(name);
        if (!strncmp(group, name, length) && group[length] == '/')
            return openat(health_cgroup_fd, group + length + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    return -1;
}

/* 0, or the error's number. */
static int checker_start(void)
{
    int ends[2];
    struct clone_args how = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)(health_cgroup_fd < 0 ? 0 : health_cgroup_fd)};
    if (checker_pid > 0)
        return 0;
    checker_error[0] = 0;
    if (!board) {
        void *page = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            return errno;
        board = page;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return errno;
    long pid = health_cgroup_fd >= 0 ? syscall(SYS_clone3, &how, sizeof how) : -1;
    int inner = pid < 0 && health_cgroup_fd >= 0 && errno == EBUSY ? inner_group() : -1;
    if (inner >= 0) {
        how.cgroup = (uint64_t)inner;
        pid = syscall(SYS_clone3, &how, sizeof how);
    }
    if (pid < 0 && (health_cgroup_fd < 0 || !plan.limited))
        pid = fork(); /* without limits to escape from, another group's rules are no reason to be unhealthy */
    if (pid == 0) {
        checker_channel = ends[1];
        checker_notes();
        checker_become(ends[1]);
        checker_serve();
    }
    int error = errno;
    close(ends[1]);
    if (inner >= 0)
        close(inner);
    if (pid < 0) {
        close(ends[0]);
        return error;
    }
    checker_fd = ends[0];
    checker_pid = (int)pid;
    return 0;
}

/* What is left of a check whose checker has ended. It is the monitor's child then, and its number remains its own until it is taken back. */
static void check_left(void)
{
    siginfo_t info;
    int child = board ? board->child : 0;
    if (child > 1 && child != health_init && waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
        kill(-child, SIGKILL);
        kill(child, SIGKILL);
    }
    if (board)
        board->child = 0;
}

/* Kills the checker. 0: it waits inside the kernel, for a file system of the container's that does not answer. */
static int checker_kill(void)
{
    struct timespec moment = {0, 1000000};
    kill(checker_pid, SIGKILL);
    for (int turns = 0; turns < 100; turns++) {
        if (waitpid(checker_pid, NULL, WNOHANG) != 0)
            return 1;
        nanosleep(&moment, NULL);
    }
    return 0;
}

static void checker_end(void)
{
    if (checker_pid > 0 && checker_kill()) {
        check_left();
    } else if (checker_pid > 0 && board) { /* it is taken back when it ends; until then the board is its own, and the next one has another */
        munmap(board, sizeof *board);
        board = NULL;
        board_seen = 0;
    }
    if (checker_fd >= 0)
        close(checker_fd);
    checker_pid = check_alone = 0;
    checker_fd = -1;
    check_watch = -1;
}

/* 0, or the error's number. That the checker has ended is no error: its end comes to be known by itself. */
static int order(char what, long long interval, uint32_t silent)
{
    struct order words = {.what = what, .number = told_number, .silent = silent, .interval = interval, .patience = check_timeout()};
    if (words.patience > SLOW_CHECK)
        words.patience = SLOW_CHECK;
    return checker_fd >= 0 && send(checker_fd, &words, sizeof words, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE ? errno : 0;
}

/* A check runs; `time` is left for it. */
static void check_runs_now(long long time)
{
    check_runs = 1;
    check_sigkilled = check_alone = check_length = check_killed = check_timed_out = check_was_frozen = n_asked = 0;
    check_due = check_watch = -1;
    check_deadline = time > 0 ? now_ms() + time : -1;
    clock_gettime(CLOCK_REALTIME, &check_began);
    check_began_ms = now_ms();
}

/* The check cannot be run: as its output it says why. */
static void check_impossible(const char *why)
{
    if (!check_runs)
        check_runs_now(0);
    check_sigkilled = 1; /* as far as is known */
    check_length = (size_t)snprintf(check_output, check_room, "cannot run the check: %s", why);
    check_length = check_length < check_room ? check_length : check_room - 1;
    check_done(125);
}

static void check_start(void)
{
    check_is_startup = plan.startup[0] && !startup_passed;
    check_runs_now(check_timeout());
    n_asked = n_waiters;
    int error = checker_start();
    if (!error)
        error = order(check_is_startup ? 's' : 'c', 0, 0);
    if (error)
        check_impossible(strerror(error));
}

/* When the next silent result must have come. A checker that was stopped, or hangs, is to be asked then: it cannot answer in time. */
static void watch_from(long long moment)
{
    board_watched = board->count;
    check_watch = moment + plan.interval + SILENCE;
}

/* From now on the checker goes on by itself, and the monitor sleeps: as long as nothing changes there is nothing to write. */
static void check_go_alone(void)
{
    int counted = plan.log_count > 0 && plan.log_count < BOARD;
    if (order('q', plan.interval, counted ? UINT32_MAX : BOARD / 2) != 0)
        return;
    check_alone = 1;
    check_due = -1;
    watch_from(now_ms());
}

static void check_reap(int status)
{
    if (check_timed_out && !check_length) {
        check_length = (size_t)snprintf(check_output, check_room, "the check did not end within %lld ms", check_timeout());
        check_length = check_length < check_room ? check_length : check_room - 1;
    }
    check_done(check_timed_out ? 125 : status ? 1 : 0);
}

static void checker_says(const char *packet, size_t size)
{
    struct told told;
    if (packet[0] == 'E') {
        snprintf(checker_error, sizeof checker_error, "%.*s", (int)size - 1, packet + 1);
        return;
    }
    if (!check_runs)
        check_runs_now(plan.timeout); /* it has begun it by itself */
    if (packet[0] == 'O') {
        size_t room = check_room - check_length, more = size - 1 < room ? size - 1 : room;
        memcpy(check_output + check_length, packet + 1, more);
        check_length += more;
    } else if (size == sizeof told) {
        memcpy(&told, packet, sizeof told);
        check_began = told.began;
        check_began_ms = told.began_ms;
        if (told.what == 'S')
            return;
        told_number = told.number;
        n_asked = told.asked ? n_asked : 0; /* it may have begun before it was asked for */
        check_timed_out = told.what == 'K';
        check_sigkilled = WIFSIGNALED(told.status) && WTERMSIG(told.status) == SIGKILL;
        check_reap(told.status);
    }
}

/* Takes what the checker has told. Whoever tells without end must not keep us from all else. */
static void checker_read(void)
{
    static char packet[1 + OUTPUT_PART];
    ssize_t n = 1;
    for (int turns = 0; turns < 256 && checker_fd >= 0; turns++) {
        n = recv(checker_fd, packet, sizeof packet, MSG_DONTWAIT);
        if (n <= 0)
            break;
        checker_says(packet, (size_t)n);
    }
    if (n == 0) { /* it has closed its end, so it ends; else it is made to */
        kill(checker_pid, SIGKILL);
        close(checker_fd);
        checker_fd = -1;
    }
}

/* Whether all threads of the first process are ending. Then the kernel kills what else is in its pid namespace, and lets it end only when
 * that has gone: so the check's end, or that it could not begin, comes to be known first. */
static int container_ending(void)
{
    enum { EXITING = 0x4 }; /* PF_EXITING, in the ninth field of stat */
    char path[64], text[512];
    struct dirent *entry;
    int living = 0;
    snprintf(path, sizeof path, "/proc/%d/task", health_init);
    DIR *tasks = opendir(path);
    while (tasks && !living && (entry = readdir(tasks))) {
        unsigned flags = 0;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.10s/stat", health_init, entry->d_name);
        text_of(path, text, sizeof text);
        const char *rest = strrchr(text, ')'); /* a name may have spaces and brackets */
        living = rest && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && !(flags & EXITING);
    }
    if (tasks)
        closedir(tasks);
    return tasks && !living;
}

/* Whether somebody stops the container and waits for its end: he holds a lock then (engine/stop.py:under_way). */
static int stop_under_way(void)
{
    char path[4200];
    const char *slash = strrchr(exit_file, '/');
    snprintf(path, sizeof path, "%.*s/config.json", slash ? (int)(slash - exit_file) : 1, slash ? exit_file : ".");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    return held;
}

/* A container that is paused cannot answer, which says nothing about its health. */
static int health_frozen(void)
{
    char state;
    return freeze_fd >= 0 && pread(freeze_fd, &state, 1, 0) == 1 && state == '1';
}

/* Whether it is, or was the last time: whoever was frozen under way gets his whole time again once the container goes on. */
static int frozen_lately(void)
{
    int before = check_was_frozen;
    check_was_frozen = health_frozen();
    return check_was_frozen || before;
}
