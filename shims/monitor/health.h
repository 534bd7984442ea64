/* Health checks of the container, run by timers of the monitor: no interpreter, no systemd. Part of ../monitor.c.
 *
 * The plan is a file of records (engine/health_plan.py): one byte of kind, le32 length, that many bytes, one NUL. The monitor reads
 * it at its start and at SIGUSR1. What a check has found lies in memory and, written at every change, in a file beside the plan;
 * inspect asks for the newest state by a packet 'g' to the attach socket, `healthcheck run` asks for a check by 'h'.
 *
 * A check is a child of the checker: a process that the monitor makes once, born in the container's control group. It enters the
 * container's namespaces, keeps nothing of the host's (descriptors, environment, arguments), takes the container's user,
 * capabilities and filter, and then waits. For each check it makes a process that is born in the container's pid namespace, as
 * the monitor's child, with nothing left to do but to execute the command. The checker itself is outside of that namespace: the container's
 * processes cannot see it, and what they see of its children is no more than their own, whatever capabilities they have.
 */
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>

enum { MAX_WAITERS = 1024, MAX_OUTPUT = 1 << 20, MAX_LOG = 4 << 20, MAX_PLAN = 8 << 20, MAX_GROUPS = 1024, MAX_RLIMITS = 16 };
enum { SLOW_CHECK = 50 }; /* milliseconds: quicker ones wake the monitor only at their end */
enum { ACTION_NONE, ACTION_KILL, ACTION_RESTART, ACTION_STOP };

struct health_plan {
    char **command, **startup, **env;
    const char *cwd, *destination, *id;
    long long interval, timeout, start_period, startup_interval, startup_timeout, stop_timeout; /* milliseconds; interval 0: no timer */
    long long retries, startup_retries, startup_success, log_count, log_size, action, stop_signal, events, limited, divides;
    unsigned long long caps[5]; /* bounding, effective, permitted, inheritable, ambient */
    long long uid, gid, umask, no_new_privs, oom_score, set_oom;
    gid_t groups[MAX_GROUPS];
    int n_groups, n_rlimits, rlimit_kind[MAX_RLIMITS];
    struct rlimit rlimits[MAX_RLIMITS];
    struct sock_fprog filter;
};

struct entry {
    struct entry *next;
    size_t length;
    const char *result; /* the part of `text` from the exit code on, for comparison */
    char text[];        /* one JSON object */
};

static int secret_fd = -1; /* the container's secret variables, one after the other, each with its NUL: they are in no file */
static char *secrets;
static size_t secrets_size;
static const char *health_path, *health_state_path, *health_cgroup;
static char *plan_data;
static size_t plan_size;
static struct health_plan plan;
static int health_on, health_init, health_init_fd = -1, health_cgroup_fd = -1, freeze_fd = -1, health_flags;
static struct entry *entries, **entries_end = &entries;
static long long n_entries, entries_size;
static const char *health_status = "starting";
static long long failing_streak, startup_failures, startup_successes;
static int startup_passed, health_stale;
static int checker_pid, checker_fd = -1; /* the channel to it */
static char checker_error[256];
static int check_waits, check_pid; /* asked for, not begun yet; its process */
static int check_pipe = -1, check_timed_out, check_is_startup, check_was_frozen;
static struct {
    int pid, status;
} gone[8]; /* children that ended while a check was asked for: one of them may be it */
static unsigned n_gone;
static char *check_output;
static size_t check_length, check_room;
static long long check_due = -1, check_deadline = -1, kill_due = -1; /* milliseconds of CLOCK_MONOTONIC; -1: never */
static long long check_slow = -1; /* from when on what the check writes is read while it runs */
static struct timespec check_began;
static long long check_began_ms; /* the same moment, of CLOCK_MONOTONIC */
static int *waiters, n_waiters, waiters_room;
static const char *health_action_taken = "";
static char **health_argv; /* the monitor's arguments */

static long long check_timeout(void)
{
    return check_is_startup ? plan.startup_timeout : plan.timeout;
}

static void notify_healthy(void);
static void checker_read(void);

static long long milliseconds(struct timespec moment)
{
    return moment.tv_sec * 1000LL + moment.tv_nsec / 1000000;
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return milliseconds(now);
}

/* A time as RFC 3339, in nanoseconds and without its zone. */
static void stamp_at(char *to, size_t size, struct timespec when)
{
    struct tm tm;
    gmtime_r(&when.tv_sec, &tm);
    snprintf(to, size, "%04d-%02d-%02dT%02d:%02d:%02d.%09ld", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             when.tv_nsec);
}

/* ---- the plan ---- */

static void plan_setting(const char *name, const char *value)
{
    static const struct {
        const char *name;
        long long *to;
    } numbers[] = {
        {"interval", &plan.interval},
        {"timeout", &plan.timeout},
        {"start_period", &plan.start_period},
        {"startup_interval", &plan.startup_interval},
        {"startup_timeout", &plan.startup_timeout},
        {"stop_timeout", &plan.stop_timeout},
        {"retries", &plan.retries},
        {"startup_retries", &plan.startup_retries},
        {"startup_success", &plan.startup_success},
        {"log_count", &plan.log_count},
        {"log_size", &plan.log_size},
        {"action", &plan.action},
        {"stop_signal", &plan.stop_signal},
        {"events", &plan.events},
        {"limited", &plan.limited},
        {"divides", &plan.divides},
        {"uid", &plan.uid},
        {"gid", &plan.gid},
        {"umask", &plan.umask},
        {"no_new_privs", &plan.no_new_privs},
    };
    static const char *const sets[] = {"bounding", "effective", "permitted", "inheritable", "ambient"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(name, numbers[i].name))
            *numbers[i].to = atoll(value);
    for (int i = 0; i < 5; i++)
        if (!strcmp(name, sets[i]))
            plan.caps[i] = strtoull(value, NULL, 10);
    if (!strcmp(name, "oom_score")) {
        plan.oom_score = atoll(value);
        plan.set_oom = 1;
    } else if (!strcmp(name, "destination")) {
        plan.destination = value;
    } else if (!strcmp(name, "id")) {
        plan.id = value;
    }
}

static int plan_record(char kind, char *data, uint32_t length, int counts[3], int pass)
{
    char *equals;
    char ***lists[3] = {&plan.command, &plan.startup, &plan.env};
    int list = kind == 'a' ? 0 : kind == 'A' ? 1 : kind == 'e' ? 2 : -1;
    if (list >= 0) {
        if (pass)
            (*lists[list])[counts[list]] = data;
        counts[list]++;
        return 0;
    }
    if (!pass)
        return 0;
    if (kind == 'c') {
        plan.cwd = data;
    } else if (kind == 'g' && plan.n_groups < MAX_GROUPS) {
        plan.groups[plan.n_groups++] = (gid_t)strtoul(data, NULL, 10);
    } else if (kind == 'l' && plan.n_rlimits < MAX_RLIMITS) {
        unsigned long long soft, hard;
        if (sscanf(data, "%d:%llu:%llu", &plan.rlimit_kind[plan.n_rlimits], &soft, &hard) != 3)
            return -1;
        plan.rlimits[plan.n_rlimits++] = (struct rlimit){(rlim_t)soft, (rlim_t)hard};
    } else if (kind == 'f' && length % 8 == 0 && length / 8 <= USHRT_MAX) {
        plan.filter = (struct sock_fprog){(unsigned short)(length / 8), (struct sock_filter *)data};
    } else if (kind == 's' && (equals = strchr(data, '='))) {
        *equals = 0;
        plan_setting(data, equals + 1);
    } else {
        return -1;
    }
    return 0;
}

static int plan_walk(int counts[3], int pass)
{
    for (size_t at = 0; at < plan_size;) {
        uint32_t length;
        if (plan_size - at < 6)
            return -1;
        memcpy(&length, plan_data + at + 1, 4);
        if (length > plan_size - at - 6 || plan_data[at + 5 + length])
            return -1;
        if (plan_record(plan_data[at], plan_data + at + 5, length, counts, pass) < 0)
            return -1;
        at += 6 + length;
    }
    return 0;
}

static void plan_free(void)
{
    free(plan.command);
    free(plan.startup);
    free(plan.env);
    free(plan_data);
    free(check_output);
    plan_data = check_output = NULL;
    memset(&plan, 0, sizeof plan);
}

static void secrets_read(void)
{
    struct stat info;
    if (secret_fd < 0 || fstat(secret_fd, &info) < 0 || info.st_size < 1 || info.st_size > MAX_PLAN || !(secrets = malloc((size_t)info.st_size)))
        return;
    secrets_size = (size_t)info.st_size;
    if (pread(secret_fd, secrets, secrets_size, 0) != (ssize_t)secrets_size || secrets[secrets_size - 1])
        secrets_size = 0;
    close(secret_fd);
    secret_fd = -1;
}

/* The secret variables take the place of equal ones. `env` has room for `count` entries, all secrets, and NULL. */
static void secrets_add(char **env, int count)
{
    for (char *at = secrets; at < secrets + secrets_size; at += strlen(at) + 1) {
        size_t name = strcspn(at, "=") + 1;
        int i = 0;
        while (i < count && strncmp(env[i], at, name) != 0)
            i++;
        env[i] = at;
        count += i == count;
    }
}

/* 0, or -1 if there is none (or a damaged one: no check is better than a wrong one). */
static int plan_read(void)
{
    struct stat info;
    int counts[3] = {0, 0, 0}, again[3] = {0, 0, 0};
    plan_free();
    int fd = open(health_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -1;
    int bad = fstat(fd, &info) < 0 || info.st_size > MAX_PLAN;
    plan_size = bad ? 0 : (size_t)info.st_size;
    plan_data = malloc(plan_size + 1);
    bad = bad || !plan_data || read(fd, plan_data, plan_size) != (ssize_t)plan_size || plan_walk(counts, 0) < 0;
    close(fd);
    plan.command = calloc((size_t)counts[0] + 1, sizeof(char *));
    plan.startup = calloc((size_t)counts[1] + 1, sizeof(char *));
    plan.env = calloc((size_t)counts[2] + 1 + secrets_size / 2, sizeof(char *));
    if (bad || !plan.command || !plan.startup || !plan.env || plan_walk(again, 1) < 0 || !plan.command[0])
        return -1;
    secrets_add(plan.env, counts[2]);
    check_room = plan.log_size > 0 && plan.log_size < MAX_OUTPUT ? (size_t)plan.log_size : MAX_OUTPUT;
    check_output = malloc(check_room + 1);
    return check_output ? 0 : -1;
}

/* ---- what was found ---- */

static void write_all(int fd, const char *data, size_t length, int *bad)
{
    while (length > 0 && !*bad) {
        ssize_t n = write(fd, data, length);
        if (n <= 0) {
            *bad = 1;
            return;
        }
        data += n;
        length -= (size_t)n;
    }
}

static int state_write_to(const char *path)
{
    char temp[4200], head[128];
    int bad = 0;
    snprintf(temp, sizeof temp, "%s.tmp", path);
    unlink(temp);
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    int n = snprintf(head, sizeof head, "{\"Status\":\"%s\",\"FailingStreak\":%lld,\"Log\":%s", health_status, failing_streak, entries ? "[" : "null");
    write_all(fd, head, (size_t)n, &bad);
    for (struct entry *e = entries; e; e = e->next) {
        write_all(fd, e->text, e->length, &bad);
        write_all(fd, e->next ? "," : "]", 1, &bad);
    }
    write_all(fd, "}", 1, &bad);
    close(fd);
    if (bad || rename(temp, path) < 0) {
        unlink(temp);
        return -1;
    }
    return 0;
}

static void state_write(void)
{
    char path[4200];
    int failed = state_write_to(health_state_path) < 0;
    if (plan.destination && plan.id) {
        snprintf(path, sizeof path, "%s/%s-healthcheck.log", plan.destination, plan.id);
        failed |= state_write_to(path) < 0;
    }
    health_stale = failed; /* a full disk: the next check, or whoever asks, tries again */
}

static void entry_add(struct entry *entry)
{
    entry->next = NULL;
    *entries_end = entry;
    entries_end = &entry->next;
    n_entries++;
    entries_size += (long long)entry->length;
    /* "Without limit" is what fits: the memory of a monitor must not grow for ever. */
    while (entries && entries->next && ((plan.log_count > 0 && n_entries > plan.log_count) || entries_size > MAX_LOG)) {
        struct entry *first = entries;
        entries = first->next;
        n_entries--;
        entries_size -= (long long)first->length;
        free(first);
    }
}

/* One result as JSON, with the first `output` bytes of what the check wrote: at most 384 bytes and six for each of them. */
static size_t entry_text(char *text, struct timespec end, long long exit_code, size_t output)
{
    char from[128], to[128];
    stamp_at(from, sizeof from, check_began);
    stamp_at(to, sizeof to, end);
    size_t n = (size_t)sprintf(text, "{\"Start\":\"%sZ\",\"End\":\"%sZ\",\"ExitCode\":%lld,\"Output\":\"", from, to, exit_code);
    n += json_text(text + n, check_output, output);
    return n + (size_t)sprintf(text + n, "\"}");
}

/* Notes one result; true if it tells something that the one before did not. */
static int entry_note(struct timespec end, long long exit_code)
{
    struct entry *entry = malloc(sizeof *entry + 384 + check_length * 6), *last = NULL;
    if (!entry)
        return 0;
    for (struct entry *e = entries; e; e = e->next)
        last = e;
    entry->length = entry_text(entry->text, end, exit_code, check_length);
    entry->result = strstr(entry->text, "\"ExitCode\"");
    int news = !last || strcmp(last->result, entry->result) != 0;
    entry_add(entry);
    return news;
}

/* The facts of Podman's event; the result itself, as a text of JSON, only where the log of events is its destination. */
static void health_event(struct timespec end, long long exit_code)
{
    enum { MOST = 1024 };
    static char text[384 + 6 * MOST], facts[256 + 2 * sizeof text];
    size_t n = (size_t)snprintf(facts, 256, ",\"HealthStatus\":\"%s\",\"HealthFailingStreak\":%lld", health_status, failing_streak);
    if (plan.events == 2) {
        n += (size_t)sprintf(facts + n, ",\"HealthLog\":\"");
        n += json_text(facts + n, text, entry_text(text, end, exit_code, check_length < MOST ? check_length : MOST));
        n += (size_t)sprintf(facts + n, "\"");
    }
    facts[n] = 0;
    write_event("health_status", facts);
}

/* ---- what follows ---- */

/* As the user's stop and kill are noted: before the signal, so that the end comes after its cause. The exit record has it, too. */
static void act_event(const char *status, int sig)
{
    char facts[128];
    struct timespec now;
    long long failures = check_is_startup ? startup_failures : failing_streak;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(facts, sizeof facts, ",\"Signal\":%d,\"Timeout\":%lld,\"By\":\"%s check, %lld failure%s%s\"", sig, plan.stop_timeout / 1000,
             check_is_startup ? "startup" : "health", failures, failures == 1 ? "" : "s", check_is_startup ? "" : " in a row");
    snprintf(asked_facts, sizeof asked_facts, ",\"asked\":{\"Status\":\"%s\",\"At\":%lld.%03ld%s}", status, (long long)now.tv_sec,
             now.tv_nsec / 1000000, facts);
    write_event(status, facts);
}

static void health_act(long long action)
{
    int sig = action == ACTION_KILL || plan.stop_timeout == 0 ? SIGKILL : (int)plan.stop_signal;
    if (*health_action_taken)
        return; /* it is ending already */
    if (action == ACTION_KILL) {
        health_action_taken = "kill";
        act_event("kill", sig);
        kill(health_init, sig);
    } else if (action == ACTION_STOP || action == ACTION_RESTART) {
        health_action_taken = action == ACTION_STOP ? "stop" : "restart";
        force_restart = action == ACTION_RESTART;
        if (action == ACTION_STOP && stopped_file) {
            int fd = open(stopped_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
            if (fd >= 0 && write(fd, "health", 6) < 0)
                note("stopped");
            if (fd >= 0)
                close(fd);
        }
        act_event("stop", sig);
        kill(health_init, sig);
        kill_due = plan.stop_timeout > 0 ? now_ms() + plan.stop_timeout : -1;
    }
}

static void status_set(const char *status)
{
    int ready = !strcmp(status, "healthy") && strcmp(health_status, "healthy") != 0;
    health_status = status;
    if (ready)
        notify_healthy();
}

/* Whether the check began in it: however long it took, the container was starting when it was asked. */
static int in_start_period(void)
{
    return check_began_ms - milliseconds(began) < plan.start_period;
}

static void check_answer(const char *word)
{
    char packet[32];
    int n = snprintf(packet, sizeof packet, "h%s", word);
    for (int i = 0; i < n_waiters; i++) {
        if (send(waiters[i], packet, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            note("health client");
        close(waiters[i]);
    }
    n_waiters = 0;
}

static void checker_end(void);

static void check_done(long long exit_code)
{
    const char *before = health_status, *answer = "healthy";
    long long streak = failing_streak, action = ACTION_NONE;
    int again = 0;
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    check_pid = 0;
    if (plan.divides)
        checker_end(); /* a process in the container's own group keeps systemd from giving controllers to the groups below it */
    check_deadline = -1;
    if (check_pipe >= 0) {
        close(check_pipe);
        check_pipe = -1;
    }
    if (check_is_startup && exit_code == 0) {
        if (++startup_successes >= plan.startup_success) {
            startup_passed = again = 1;
            failing_streak = 0;
            status_set("healthy");
        }
    } else if (check_is_startup) {
        answer = "starting";
        if (++startup_failures >= plan.startup_retries && plan.startup_retries > 0)
            action = ACTION_RESTART;
    } else if (exit_code == 0) {
        failing_streak = 0;
        status_set("healthy");
    } else {
        answer = "unhealthy";
        if (!in_start_period() && ++failing_streak >= plan.retries) {
            status_set("unhealthy");
            action = plan.action;
        }
    }
    int news = entry_note(end, exit_code) | (health_status != before) | (failing_streak != streak);
    if (news || plan.destination)
        state_write();
    else
        health_stale = 1;
    if (plan.events == 2 || (plan.events && health_status != before))
        health_event(end, exit_code);
    check_answer(check_timed_out ? "timeout" : answer);
    reach("monitor:checked");
    long long interval = check_is_startup && !startup_passed ? plan.startup_interval : plan.interval;
    check_due = interval > 0 ? now_ms() + (again ? 0 : interval) : -1;
    health_act(action);
}

/* ---- running the command ---- */

static int checker_told = -1; /* in the checker: where its own errors go */

static void check_fail(int code, const char *what, const char *why)
{
    char text[256];
    int n = snprintf(text, sizeof text, "E%s: %s", what, why);
    n = n < (int)sizeof text ? n : (int)sizeof text - 1;
    if (checker_told >= 0)
        send(checker_told, text, (size_t)n, MSG_NOSIGNAL);
    else
        dprintf(2, "%s\n", text + 1);
    _exit(code);
}

static void check_exec(char **command)
{
    const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *name = command[0];
    char candidate[PATH_MAX];
    struct stat info;
    int error = ENOENT;
    if (strchr(name, '/')) {
        execve(name, command, plan.env);
        check_fail(errno == ENOENT ? 127 : 126, name, strerror(errno));
    }
    for (char **e = plan.env; *e; e++)
        if (!strncmp(*e, "PATH=", 5) && (*e)[5])
            path = *e + 5;
    for (const char *part = path; part;) {
        const char *colon = strchr(part, ':');
        int length = colon ? (int)(colon - part) : (int)strlen(part);
        if (snprintf(candidate, sizeof candidate, "%.*s/%s", length ? length : 1, length ? part : ".", name) < (int)sizeof candidate &&
            stat(candidate, &info) == 0 && S_ISREG(info.st_mode) && info.st_mode & 0111) {
            execve(candidate, command, plan.env);
            error = errno;
            break;
        }
        part = colon ? colon + 1 : NULL;
    }
    check_fail(error == ENOENT ? 127 : 126, name, error == ENOENT ? "no such program in the container" : strerror(error));
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
    if (plan.filter.len && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &plan.filter, 0, 0) < 0)
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
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
        check_fail(125, "/dev/null", strerror(errno));
    if (setns(health_init_fd, health_flags) < 0)
        check_fail(125, "cannot join the container", strerror(errno));
    checker_told = dup2(channel, 3);
    if (checker_told != 3 || syscall(SYS_close_range, 4, ~0U, 0) < 0 || fcntl(3, F_SETFD, FD_CLOEXEC) < 0)
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
        if (setrlimit((unsigned)plan.rlimit_kind[i], &plan.rlimits[i]) < 0)
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

/* Waits for the monitor's wishes: a byte that says which command, and the pipe for what it writes. */
static void checker_serve(void)
{
    for (;;) {
        union {
            char room[CMSG_SPACE(sizeof(int))];
            struct cmsghdr align;
        } control;
        char which;
        int output;
        struct iovec part = {&which, 1};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
        ssize_t n = recvmsg(3, &message, MSG_CMSG_CLOEXEC);
        struct cmsghdr *first = CMSG_FIRSTHDR(&message);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            _exit(0); /* the monitor has ended */
        if (n < 0 || !first)
            check_fail(125, "cannot wait for checks", strerror(errno));
        memcpy(&output, CMSG_DATA(first), sizeof output);
        long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
        if (pid == 0) {
            setsid();
            checker_told = -1;
            if (dup2(output, 1) < 0 || dup2(output, 2) < 0) /* the others are closed by exec */
                _exit(125);
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
            check_exec(which == 's' ? plan.startup : plan.command);
        }
        if (pid < 0)
            check_fail(125, "cannot start a process", strerror(errno));
        close(output);
        int32_t number = (int32_t)pid;
        send(3, &number, sizeof number, MSG_NOSIGNAL);
    }
}

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
    while (check_pipe >= 0) {
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

/* ---- the main loop's side ---- */

static void health_namespaces(void)
{
    static const struct {
        const char *name;
        int flag;
    } kinds[] = {{"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS}, {"pid", CLONE_NEWPID},      {"net", CLONE_NEWNET},
                 {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}};
    char path[64];
    struct stat theirs, ours;
    health_flags = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(path, sizeof path, "/proc/%d/ns/%s", health_init, kinds[i].name);
        if (stat(path, &theirs) < 0)
            continue;
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i].name);
        if (stat(path, &ours) == 0 && theirs.st_ino != ours.st_ino)
            health_flags |= kinds[i].flag;
    }
}

/* At the start, and when `update` has changed the plan: what was found so far stays. */
static void health_load(void)
{
    int was_on = health_on;
    secrets_read();
    /* Its plan is going away: the result does not count. */
    checker_read();
    if (check_pid) {
        kill(-check_pid, SIGKILL);
        kill(check_pid, SIGKILL);
    }
    checker_end();
    check_pid = check_waits = 0;
    if (check_pipe >= 0)
        close(check_pipe);
    check_pipe = -1;
    check_due = check_deadline = -1;
    check_answer("stopped");
    health_on = plan_read() == 0;
    if (!health_on)
        return;
    if (!was_on && health_init_fd >= 0)
        state_write(); /* it was switched off for a while: what this run's checks had found by then */
    if (health_init_fd < 0) {
        health_init_fd = (int)syscall(SYS_pidfd_open, health_init, 0);
        health_cgroup_fd = health_cgroup ? open(health_cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        freeze_fd = health_cgroup_fd >= 0 ? openat(health_cgroup_fd, "cgroup.freeze", O_RDONLY | O_CLOEXEC) : -1;
        health_namespaces();
    }
    long long interval = plan.startup[0] && !startup_passed ? plan.startup_interval : plan.interval;
    check_due = interval > 0 ? now_ms() + (was_on ? interval : 0) : -1;
}

static int earlier(int wait, long long moment)
{
    long long left = moment - now_ms();
    if (moment < 0)
        return wait;
    left = left < 0 ? 0 : left > INT_MAX ? INT_MAX : left;
    return wait < 0 || left < wait ? (int)left : wait;
}

/* How long poll may wait, given that it would wait `wait` ms. */
static int health_wait(int wait)
{
    if (!health_on)
        return wait;
    return earlier(earlier(earlier(earlier(wait, check_due), check_deadline), kill_due), check_waits || check_pid ? check_slow : -1);
}

static void health_tick(void)
{
    if (!health_on)
        return;
    long long now = now_ms();
    if (check_slow >= 0 && now >= check_slow)
        check_slow = -1;
    if (check_slow < 0)
        check_read();
    if (check_deadline >= 0 && now >= check_deadline)
        checker_read(); /* which process it is; it may have ended, even */
    if (check_deadline >= 0 && now >= check_deadline) {
        /* A check that was frozen under way could not end in time: it gets its whole time again once the container goes on. */
        int frozen = health_frozen(), again = frozen || check_was_frozen;
        check_was_frozen = frozen;
        if (again)
            check_deadline = now + check_timeout();
    }
    if (check_deadline >= 0 && now >= check_deadline) {
        check_timed_out = 1;
        check_deadline = -1;
        if (check_pid) {
            kill(-check_pid, SIGKILL);
            kill(check_pid, SIGKILL); /* it had not made its group yet */
        } else {
            checker_end();
            check_waits = 0;
            check_reap(0);
        }
    }
    if (kill_due >= 0 && now >= kill_due) {
        kill_due = -1;
        kill(health_init, SIGKILL);
    }
    if (check_due >= 0 && now >= check_due && !check_pid && !check_waits) {
        if (health_frozen())
            check_due = now + (plan.interval > 0 ? plan.interval : 1000);
        else
            check_start();
    }
}

/* Whether the monitor has to wait for what the checker says. Most checks end at once: what it has said is read when they have. */
static int checker_awaited(void)
{
    return check_waits && n_gone;
}

/* What the checker says: the process of the check, or why it gives up. Only a child of the monitor's own is believed. */
static void checker_read(void)
{
    char text[sizeof checker_error];
    siginfo_t info = {0};
    int32_t pid;
    if (checker_fd < 0)
        return;
    ssize_t n = recv(checker_fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (n > 1 && text[0] == 'E' && n != sizeof pid) {
        memcpy(checker_error, text + 1, (size_t)n - 1);
        checker_error[n - 1] = 0;
    }
    if (n != sizeof pid || !check_waits)
        return;
    memcpy(&pid, text, sizeof pid);
    for (unsigned i = 0; i < n_gone; i++)
        if (gone[i].pid == pid) {
            check_waits = 0;
            check_reap(gone[i].status);
            return;
        }
    if (pid > 1 && pid != health_init && pid != checker_pid && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
        check_waits = 0;
        check_pid = pid;
    }
}

/* A child that is not init has ended. */
static void health_reaped(int pid, int status)
{
    if (!health_on)
        return;
    if (pid == check_pid) {
        check_reap(status);
    } else if (pid == checker_pid) {
        checker_read();
        checker_pid = 0;
        checker_end();
        if (check_waits)
            check_impossible(*checker_error ? checker_error : "its process was killed");
    } else if (check_waits && n_gone < sizeof gone / sizeof *gone) {
        gone[n_gone].pid = pid;
        gone[n_gone++].status = status;
        checker_read();
    }
}

/* A client's wish: 'h' to run a check now, 'g' to write down what is known. Its descriptor is ours from now on. */
static void health_request(int fd, char what)
{
    if (what == 'g') {
        if (health_on && health_stale)
            state_write();
        if (send(fd, "g", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            note("health client");
        close(fd);
        return;
    }
    if (health_on && n_waiters == waiters_room && n_waiters < MAX_WAITERS) {
        int *more = realloc(waiters, (size_t)(waiters_room + 16) * sizeof *waiters);
        waiters = more ? more : waiters;
        waiters_room += more ? 16 : 0;
    }
    if (!health_on || n_waiters == waiters_room) {
        close(fd);
        return;
    }
    waiters[n_waiters++] = fd;
    if (!check_pid && !check_waits)
        check_start();
}

/* The container has ended. */
static void health_end(void)
{
    if (!health_on)
        return;
    checker_end();
    if (n_waiters)
        status_set("stopped");
    check_answer("stopped");
    if (health_stale || !strcmp(health_status, "stopped"))
        state_write();
}
