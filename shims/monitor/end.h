/* What is told of the container's end: the event, the memory it had, the exit record. Part of ../monitor.c. */

static const char *events_path, *event; /* the log; the inside of the JSON object that tells of which container a line is */

/* The line of pyman/state/events.py. A rename has left the container's new name in a file beside the exit record. */
static void write_event(const char *status, const char *facts)
{
    static char renamed[65536];
    char head[512], path[4200];
    struct timespec now;
    struct tm tm;
    const char *slash = strrchr(exit_file, '/');
    if (!events_path || !event || !slash)
        return;
    snprintf(path, sizeof path, "%.*s/event", (int)(slash - exit_file), exit_file);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, renamed, sizeof renamed - 1) : 0;
    if (fd >= 0)
        close(fd);
    if (n > 0 && n < (ssize_t)sizeof renamed - 1)
        event = renamed;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    snprintf(head, sizeof head, ",\"Type\":\"container\",\"Status\":\"%s\",\"Time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ\"", status,
             tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec);
    struct iovec parts[] = {{"{", 1}, {(char *)event, strlen(event)}, {head, strlen(head)}, {(char *)facts, strlen(facts)}, {"}\n", 2}};
    ssize_t whole = (ssize_t)(3 + parts[1].iov_len + parts[2].iov_len + parts[3].iov_len);
    fd = open(events_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    n = fd >= 0 ? writev(fd, parts, 5) : 0;
    if (n > 0 && n < whole && write(fd, "\n", 1) < 0)
        note("events"); /* a full disk has cut the line */
    if (fd >= 0)
        close(fd);
}

/* What memory the container had and used, told when the kernel killed for it: the group is gone afterwards. */
static char memory_facts[160];

static long long counter(const char *group, const char *file)
{
    char path[4200], data[64];
    snprintf(path, sizeof path, "%s/%s", group, file);
    text_of(path, data, sizeof data);
    return data[0] >= '0' && data[0] <= '9' ? atoll(data) : -1;
}

static void look_at_memory(const char *group, int kills)
{
    if (group && kills > 0)
        snprintf(memory_facts, sizeof memory_facts, ",\"OOMKills\":%d,\"MemoryMax\":%lld,\"MemoryPeak\":%lld", kills, counter(group, "memory.max"),
                 counter(group, "memory.peak"));
}

static int timed_out; /* its --timeout is over */
static long long cpu_limit; /* seconds of processor time at which the kernel kills it; 0: none */
static char cpu_facts[48], asked_facts[240]; /* asked: what a health check has done about it */
static const char *health_killed = ""; /* its SIGKILL, at the end of the stop time, where that was sent */

/* A SIGKILL of one that has used up its time is the kernel's. The kernel's own count goes by ticks, so it is not quite the one told at the end. */
static void look_at_time(int status, const struct rusage *used)
{
    long long milliseconds = (used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000LL + (used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1000;
    if (cpu_limit > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && milliseconds >= cpu_limit * 800)
        snprintf(cpu_facts, sizeof cpu_facts, ",\"CPULimit\":%lld", cpu_limit);
}

/* What is recorded: -1 for one that its --timeout has killed, as Podman has it. */
static int exit_code(int status)
{
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return timed_out && sig == SIGKILL ? -1 : sig ? 128 + sig : WEXITSTATUS(status);
}

static void note_end(int status, int oom)
{
    char facts[512];
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    int n = snprintf(facts, sizeof facts, ",\"ContainerExitCode\":%d", exit_code(status));
    if (sig)
        n += snprintf(facts + n, sizeof facts - (size_t)n, ",\"Signal\":%d", sig);
    snprintf(facts + n, sizeof facts - (size_t)n, "%s%s%s%s%s", oom ? ",\"OOMKilled\":true" : "", memory_facts, cpu_facts, health_killed, log_lost);
    write_event("died", facts);
}

static char exit_temp[4200];
static int exit_fd = -1;

/* Room for the exit record was taken before the start: a container that has filled the disk still gets its exit code. */
static void reserve_exit(void)
{
    snprintf(exit_temp, sizeof exit_temp, "%s.tmp", exit_file);
    exit_fd = open(exit_temp, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (exit_fd < 0)
        note("exit record");
}

/* restart_ms: after which time the container is started again; negative: not at all. */
static void write_exit(int status, int oom, long restart_ms)
{
    char text[768], again[40] = "";
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0, code = exit_code(status);
    if (restart_ms >= 0)
        snprintf(again, sizeof again, ",\"restart_ms\":%ld", restart_ms);
    int n = snprintf(text, sizeof text, "{\"exit_code\":%d,\"signal\":%d,\"time\":%lld.%06ld,\"oom\":%s%s%s%s%s%s%s}", code, sig, (long long)now.tv_sec,
                     now.tv_nsec / 1000, oom ? "true" : "false", memory_facts, cpu_facts, health_killed, asked_facts, log_lost, again);
    if (journal_on) /* until when a reader of the journal may wait for entries */
        n += snprintf(text + n - 1, sizeof text - (size_t)n + 1, ",\"journal\":%lld}", journal_last()) - 1;
    if (exit_fd < 0 || pwrite(exit_fd, text, (size_t)n, 0) != n || ftruncate(exit_fd, n) || rename(exit_temp, exit_file) < 0)
        note("exit record");
}
