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

enum { MAX_WAITERS = 1024, MAX_OUTPUT = 16 << 20, MAX_LOG = 16 << 20, MAX_PLAN = 8 << 20, MAX_GROUPS = 1024, MAX_RLIMITS = 16 };
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

#include "health_plan.h"
#include "health_results.h"
#include "health_checker.h"
#include "health_run.h"

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
