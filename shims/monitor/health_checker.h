/* The checker: a process within the container's namespaces that begins its checks. Part of health.h. */

static int checker_channel = -1; /* in the checker: where its own errors go */
static int filter_late; /* whether each check loads the filter, and not the checker */
static const struct rlimit *few_files; /* the container's limit of open files where the checker itself needs more */

static void check_fail(int code, const char *what, const char *why)
{
    char text[256];
    int n = snprintf(text, sizeof text, "E%s: %s", what, why);
    n = n < (int)sizeof text ? n : (int)sizeof text - 1;
    if (checker_channel >= 0)
        send(checker_channel, text, (size_t)n, MSG_NOSIGNAL);
    else
        dprintf(2, "%s\n", text + 1);
    _exit(code);
}

/* The path of a program, or NULL: there is none. */
static const char *check_find(const char *name)
{
    static char candidate[PATH_MAX];
    const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    struct stat info;
    if (strchr(name, '/'))
        return name;
    for (char **e = plan.env; *e; e++)
        if (!strncmp(*e, "PATH=", 5) && (*e)[5])
            path = *e + 5;
    for (const char *part = path; part;) {
        const char *colon = strchr(part, ':');
        int length = colon ? (int)(colon - part) : (int)strlen(part);
        if (snprintf(candidate, sizeof candidate, "%.*s/%s", length ? length : 1, length ? part : ".", name) < (int)sizeof candidate &&
            stat(candidate, &info) == 0 && S_ISREG(info.st_mode) && info.st_mode & 0111)
            return candidate;
        part = colon ? colon + 1 : NULL;
    }
    return NULL;
}

static void check_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct halves[2];
    for (int i = 0; i < 2; i++)
        halves[i] = (struct __user_cap_data_struct){(uint32_t)(plan.caps[1] >> 32 * i), (uint32_t)(plan.caps[2] >> 32 * i), (uint32_t)(plan.caps[3] >> 32 * i)};
    if (syscall(SYS_capset, &header, halves) < 0)
        check_fail(125, "capabilities", strerror(errno));
    for (unsigned long cap = 0; cap < 64; cap++)
        if (plan.caps[4] >> cap & 1)
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
}

static void check_filter(void)
{
    if (plan.filter.len && !filter_late && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &plan.filter, 0, 0) < 0)
        check_fail(125, "seccomp", strerror(errno));
}

/* A directory outside the container's root has no path: the guard against descriptors that lead outside. */
static int check_directory(void)
{
    struct open_how {
        uint64_t flags, mode, resolve;
    } how = {O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0x02 /* RESOLVE_NO_MAGICLINKS */};
    char where[PATH_MAX];
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, plan.cwd, &how, sizeof how);
    int bad = fd < 0 || fchdir(fd) < 0 || !getcwd(where, sizeof where) || where[0] != '/';
    if (fd >= 0)
        close(fd);
    return bad ? -1 : 0;
}

/* Zeros it, and gives whole pages back: pages that a process has are what makes another one of it dear. */
static void forget(char *at, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), head = (page - (uintptr_t)at % page) % page;
    memset(at, 0, size);
    if (size >= head + page)
        madvise(at + head, (size - head) / page * page, MADV_DONTNEED);
}

/* What the monitor knows of the host lies in its arguments and environment: the checker's children are to have none of it. */
static void checker_forget(void)
{
    for (char **list = health_argv; *list; list++)
        memset(*list, 0, strlen(*list));
    for (char **list = environ; *list; list++)
        memset(*list, 0, strlen(*list));
    forget(chunk, sizeof chunk);
    forget(pending, sizeof pending);
    forget(input, sizeof input);
}

/* The last steps as in runtime/program.py, in the same order; setns comes first, and nothing of the host's is left after it. */
static void checker_become(int channel)
{
    prctl(PR_SET_NAME, "pyman:[check]", 0, 0, 0);
    setsid();
    if (plan.set_oom) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
            dprintf(fd, "%lld", plan.oom_score);
    }
    filter_late = plan.filter.len && !filter_lets_us_work(&plan.filter);
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
        check_fail(125, "/dev/null", strerror(errno));
    if (setns(health_init_fd, health_flags) < 0)
        check_fail(125, "cannot join the container", strerror(errno));
    checker_channel = dup2(channel, 3);
    if (checker_channel != 3 || syscall(SYS_close_range, 4, ~0U, 0) < 0 || fcntl(3, F_SETFD, FD_CLOEXEC) < 0)
        check_fail(125, "descriptors", strerror(errno));
    checker_forget();
    /* Once for all checks: they have the signals as they are here. */
    sigset_t none;
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (health_flags & CLONE_NEWUSER && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        check_fail(125, "cannot join the container", strerror(errno));
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    for (int i = 0; i < plan.n_rlimits; i++)
        if (plan.rlimit_kind[i] == RLIMIT_NOFILE && plan.rlimits[i].rlim_cur < FEW_FILES)
            few_files = &plan.rlimits[i];
        else if (setrlimit((unsigned)plan.rlimit_kind[i], &plan.rlimits[i]) < 0)
            check_fail(125, "limits", strerror(errno));
    int outside = check_directory();
    if (!plan.no_new_privs)
        check_filter(); /* needs CAP_SYS_ADMIN, so before the capabilities go */
    for (unsigned long cap = 0; cap < 64; cap++)
        if (!(plan.caps[0] >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL)
                break; /* beyond the kernel's last one */
            check_fail(125, "capabilities", strerror(errno));
        }
    if (setgroups((size_t)plan.n_groups, plan.groups) < 0 && (errno != EPERM || plan.n_groups))
        check_fail(125, "groups", strerror(errno));
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (setresgid((gid_t)plan.gid, (gid_t)plan.gid, (gid_t)plan.gid) < 0 || setresuid((uid_t)plan.uid, (uid_t)plan.uid, (uid_t)plan.uid) < 0)
        check_fail(125, "user", strerror(errno));
    umask((mode_t)plan.umask);
    check_capabilities();
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    if (plan.no_new_privs) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        check_filter();
    }
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* a change of ids may have set it again */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (outside && check_directory() < 0)
        check_fail(125, plan.cwd, "cannot be entered as the working directory");
}
