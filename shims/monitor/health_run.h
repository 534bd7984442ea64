/* The monitor's side of one check: having it begun, reading what it writes, seeing its end. Part of health.h. */

/* The group of the first process where that lies below the container's own: systemd in a container divides its group, which then takes
 * no processes itself. -1: there is none. */
static int inner_group(void)
{
    char text[4096], path[40], *group;
    snprintf(path, sizeof path, "/proc/%d/cgroup", health_init);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
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
        checker_told = ends[1];
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

static void checker_end(void)
{
    if (checker_pid > 0) {
        kill(checker_pid, SIGKILL);
        while (waitpid(checker_pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (checker_fd >= 0)
        close(checker_fd);
    checker_pid = 0;
    checker_fd = -1;
}

/* The check cannot be run: as its output it says why. */
static void check_impossible(const char *why)
{
    check_waits = 0;
    check_length = (size_t)snprintf(check_output, check_room, "cannot run the check: %s", why);
    check_length = check_length < check_room ? check_length : check_room - 1;
    check_done(125);
}

static void check_start(void)
{
    int pipes[2];
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    check_is_startup = plan.startup[0] && !startup_passed;
    char which = check_is_startup ? 's' : 'c';
    struct iovec part = {&which, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    check_length = 0;
    check_timed_out = 0;
    check_due = -1;
    n_gone = 0;
    clock_gettime(CLOCK_REALTIME, &check_began);
    check_began_ms = now_ms();
    int error = checker_start();
    if (error || pipe2(pipes, O_CLOEXEC) < 0) {
        check_impossible(strerror(error ? error : errno));
        return;
    }
    fchmod(pipes[1], 0666); /* a USER may open /dev/stdout by name */
    check_pipe = pipes[0];
    fcntl(check_pipe, F_SETFL, O_NONBLOCK);
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);
    *first = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(first), &pipes[1], sizeof(int));
    check_waits = 1;
    if (sendmsg(checker_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE)
        error = errno;
    close(pipes[1]);
    if (error) {
        check_impossible(strerror(error));
        return;
    }
    check_was_frozen = 0;
    check_slow = now_ms() + SLOW_CHECK;
    check_deadline = check_timeout() > 0 ? now_ms() + check_timeout() : -1;
}

static void check_read(void)
{
    char rest[4096];
    for (int turns = 0; check_pipe >= 0 && turns < 1024; turns++) { /* whoever writes without end must not keep us from all else */
        size_t room = check_room - check_length;
        ssize_t n = room ? read(check_pipe, check_output + check_length, room) : read(check_pipe, rest, sizeof rest);
        if (n < 0)
            return;
        if (n == 0) {
            close(check_pipe);
            check_pipe = -1;
        } else if (room) {
            check_length += (size_t)n;
        }
    }
}

static void check_reap(int status)
{
    check_read();
    if (check_timed_out && !check_length) {
        check_length = (size_t)snprintf(check_output, check_room, "the check did not end within %lld ms", check_timeout());
        check_length = check_length < check_room ? check_length : check_room - 1;
    }
    check_done(check_timed_out ? 125 : status ? 1 : 0);
}

/* A container that is paused cannot answer, which says nothing about its health. */
static int health_frozen(void)
{
    char state;
    return freeze_fd >= 0 && pread(freeze_fd, &state, 1, 0) == 1 && state == '1';
}
