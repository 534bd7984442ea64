/* Health checks of the container, run by timers of the monitor: no interpreter, no systemd. Part of ../monitor.c.
 *
 * The plan is a file of records (engine/health_plan.py): one byte of kind, le32 length, that many bytes, one NUL. The monitor reads
 * it at its start and at SIGUSR1. What a check has found lies in memory and, written at every change, in a file beside the plan;
 * inspect asks for the newest state by a packet 'g' to the attach socket, `healthcheck run` asks for a check by 'h'.
 *
 * A check is a child of the checker: a process that the monitor makes once, born in the container's control group. It enters the
 * container's namespaces, keeps nothing of the host's (descriptors, environment, arguments), takes the container's user,
 * capabilities and filter, and then waits for orders (health_words.h). For each check it makes a process in the container's pid namespace,
 * with nothing left to do but to execute the command. The checker itself is outside of that namespace: the container's processes
 * cannot see it, and what they see of its children is no more than their own, whatever capabilities they have.
 *
 * While a container is healthy, and its checks find the same each time, the checker keeps their time, and the monitor sleeps. It is woken
 * by what is new; all that follows from a result is decided here.
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

enum { MAX_WAITERS = 1024, MAX_OUTPUT = 16 << 20, MAX_LOG = 16 << 20, MAX_PLAN = 8 << 20, MAX_GROUPS = 1024, MAX_RLIMITS = 16, FEW_FILES = 16 };
/* Milliseconds: quicker checks are not told of; for a kill; beyond the interval; until the next check while the container comes to its end. */
enum { SLOW_CHECK = 50, GRACE = 1000, SILENCE = 5000, STOPPING = 1000 };
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
static int check_runs, check_alone; /* one is asked for or under way; the checker begins them by itself */
static int check_is_startup, check_killed, check_timed_out, check_sigkilled, check_was_frozen;
static uint32_t told_number;               /* the last result that the checker has told */
static uint32_t board_seen, board_watched; /* how many of the board's results are known; how many there were at the last look */
static char *check_output;
static size_t check_length, check_room;
static long long check_due = -1, check_deadline = -1, check_watch = -1, kill_due = -1; /* milliseconds of CLOCK_MONOTONIC; -1: never */
static struct timespec check_began;
static long long check_began_ms; /* the same moment, of CLOCK_MONOTONIC */
static long long check_ended_ms; /* of the last one that was told */
static long long stopping_until; /* for so long the program may come to its end, whoever has asked for that and has gone */
static int check_interrupted; /* by the container's end */
static int plan_changed;      /* while a check ran */
static int *waiters, n_waiters, waiters_room, n_asked; /* asked: how many of them had asked before the check began */
static const char *health_action_taken = "";
static char **health_argv; /* the monitor's arguments */

static long long check_timeout(void)
{
    return check_is_startup ? plan.startup_timeout : plan.timeout;
}

static void notify_healthy(void);

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
    struct tm tm = {0}; /* the years of what a checker tells may be too many */
    gmtime_r(&when.tv_sec, &tm);
    snprintf(to, size, "%04d-%02d-%02dT%02d:%02d:%02d.%09ld", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             when.tv_nsec);
}

#include "health_words.h"
#include "health_plan.h"
#include "health_results.h"
#include "health_filter.h"
#include "health_checker.h"
#include "health_serve.h"
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

/* At the start, and when `update` has changed the plan: what was found so far stays. A check that runs comes to its end by its own plan first. */
static void health_load(void)
{
    int was_on = health_on;
    plan_changed = check_runs && access(health_path, F_OK) == 0;
    if (plan_changed)
        return;
    secrets_read();
    board_read();
    checker_end(); /* there is no plan any more: the result of what runs does not count */
    if (board && board->ended_ms > check_ended_ms && board->ended_ms <= now_ms())
        check_ended_ms = board->ended_ms;
    check_runs = 0;
    check_due = check_deadline = check_watch = -1;
    health_on = plan_read() == 0;
    if (!health_on) {
        check_answer("stopped", n_waiters);
        return;
    }
    if (!was_on && health_init_fd >= 0)
        state_write(); /* it was switched off for a while: what this run's checks had found by then */
    if (health_init_fd < 0) {
        health_init_fd = (int)syscall(SYS_pidfd_open, health_init, 0);
        health_cgroup_fd = health_cgroup ? open(health_cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        freeze_fd = health_cgroup_fd >= 0 ? openat(health_cgroup_fd, "cgroup.freeze", O_RDONLY | O_CLOEXEC) : -1;
        health_namespaces();
    }
    long long interval = plan.startup[0] && !startup_passed ? plan.startup_interval : plan.interval;
    if (n_waiters || (interval > 0 && !was_on))
        check_due = now_ms();
    else if (interval > 0) /* also of those who change it ever again */
        check_due = check_ended_ms + interval;
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
    return earlier(earlier(earlier(earlier(wait, check_due), check_deadline), kill_due), check_watch);
}

static void health_tick(void)
{
    if (!health_on)
        return;
    long long now = now_ms();
    if (check_deadline >= 0 && now >= check_deadline)
        checker_read(); /* it may have ended, even */
    if (check_deadline >= 0 && now >= check_deadline) {
        if (frozen_lately()) {
            check_deadline = now + check_timeout();
        } else if (!check_killed && order('k', 0, 0) == 0) {
            check_killed = 1;
            check_deadline = now + GRACE;
        } else {
            checker_end();
            check_timed_out = 1;
            check_reap(0);
        }
    }
    if (check_watch >= 0 && now >= check_watch) {
        long long last = board->ended_ms;
        if (frozen_lately())
            watch_from(now);
        else if (board->count != board_watched && last <= now && last > now - plan.interval - SILENCE)
            watch_from(last);
        else
            check_start();
    }
    if (kill_due >= 0 && now >= kill_due) {
        kill_due = -1;
        if (kill(health_init, SIGKILL) == 0)
            health_killed = ",\"HealthKilled\":true";
    }
    if (check_due >= 0 && now >= check_due && !check_runs) {
        if (health_frozen())
            check_due = now + (plan.interval > 0 ? plan.interval : 1000);
        else
            check_start();
    }
}

/* A child that is not init has ended. */
static void health_reaped(int pid)
{
    if (!health_on || pid != checker_pid) {
        if (board && pid == board->child) /* what a checker that was killed has left */
            kill(-pid, SIGKILL);
        return;
    }
    checker_read();
    board_read();
    int was_alone = check_alone;
    checker_pid = 0;
    check_left();
    checker_end();
    if (check_runs || (was_alone && *checker_error))
        check_impossible(*checker_error ? checker_error : "its process was killed");
    else if (was_alone)
        check_due = now_ms();
}

/* A client's wish: 'h' to run a check now, 'g' to write down what is known. Its descriptor is ours from now on. */
static void health_request(int fd, char what)
{
    if (what == 'g') {
        board_read();
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
    if (!check_runs)
        check_start(); /* else one comes after that which runs: it could have begun before what the client did last */
}

/* The container has ended. */
static void health_end(void)
{
    if (!health_on)
        return;
    board_read();
    checker_end();
    if (n_waiters || check_runs || check_interrupted)
        status_set("stopped");
    check_answer("stopped", n_waiters);
    if (health_stale || !strcmp(health_status, "stopped"))
        state_write();
}
