/* pyman-monitor: the parent of one container's init. Copies its output to the log and to attached clients, waits for its
 * end, writes the exit record, ends the helpers, runs the clean-up command or, as the restart policy wants, the command that
 * starts the container again. Runs in the container's user and mount namespaces (U1, M1), which it keeps alive; allocates no
 * memory between its start and the container's end. With --exec: the parent of a detached exec's process (monitor/session.h).
 *
 * Attach protocol (SOCK_SEQPACKET, one byte of type first):
 *   monitor -> client: 2 stdout data, 3 stderr data, x + exit code (le32), l + number of bytes it was not given (le64), f there are too many
 *   client -> monitor: i stdin data, e end of stdin, w + rows, columns (le16 each)
 *   client -> monitor, which answers and closes: h run a health check, g write down the state of health
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 16, CHUNK = 16384, BATCH = 8 * CHUNK, LOG_SPARE = 64 << 20 };

static int stdin_fd = -1, stream_fd[2] = {-1, -1}, console_fd = -1, listen_fd = -1, log_fd = -1, run_dir_fd = -1;
static const char *log_path, *exit_file, *run_dir;
static int log_json, log_files = 1, log_full;
static const char *log_lost = ""; /* that lines are missing from the log, and why: a fact of JSON for the exit record */
static long long log_max, log_size;
static char chunk[CHUNK + 1];
static char input[CHUNK + 1]; /* stdin data the container could not take yet */
static int input_len, input_at, input_eof;

/* For tests, as pyman/stages.py: with PYMAN_KILL_AT=STAGE in the environment the monitor kills itself there. */
static void reach(const char *stage)
{
    const char *at = getenv("PYMAN_KILL_AT");
    if (at && !strcmp(at, stage))
        kill(getpid(), SIGKILL);
}

static void note(const char *what)
{
    dprintf(2, "pyman-monitor: %s: %s\n", what, strerror(errno));
}

/* What a small file says, as a text; empty if it cannot be read. */
static void text_of(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, size - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
}

#include "monitor/log.h"
#include "monitor/clients.h"
#include "monitor/attach.h"
#include "monitor/end.h"
#include "monitor/restart.h"
#include "monitor/helper.h"

static int number(const char *text)
{
    return text ? atoi(text) : -1;
}

static void nonblocking(int fd)
{
    if (fd >= 0) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
}

#include "monitor/cgroup.h"
#include "monitor/health.h"
#include "monitor/journal.h"
#include "monitor/notify.h"
#include "monitor/session.h"
#include "monitor/later.h"
#include "monitor/options.h"

static int status, ended, killed_oom, signal_fd = -1, timer_fd = -1;

static void signals_begin(void)
{
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* the log has reached the caller's limit of file sizes: to the container as a full disk */
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP); /* "the runtime directory was wiped: bind the attach socket again" */
    sigaddset(&set, SIGUSR1); /* "the plan of the health checks was changed" */
    sigaddset(&set, SIGUSR2); /* "the network's helper is wanted again" */
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void begin(char **argv)
{
    clock_gettime(CLOCK_MONOTONIC, &began);
    setsid();
    prctl(PR_SET_NAME, "pyman:[monitor]", 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    signals_begin();
    if (timeout > 0) {
        struct itimerspec when = {.it_value = {.tv_sec = timeout}};
        timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        timerfd_settime(timer_fd, 0, &when, NULL);
    }
    nonblocking(stdin_fd);
    nonblocking(stream_fd[0]);
    nonblocking(stream_fd[1]);
    nonblocking(console_fd);
    attach_listen();
    if (attach_fd >= 0) {
        fcntl(attach_fd, F_SETFD, FD_CLOEXEC);
        client_add(attach_fd, 1);
    }
    /* Nothing of the caller's terminal or pipes may be kept open by a container that outlives it. */
    int null = keep_stdio ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    killed_oom = oom_kills(oom_path);
    reserve_exit();
    health_init = init_pid;
    health_argv = argv;
    health_cgroup = cgroup;
    notify_begin();
    if (secret_fd >= 0)
        fcntl(secret_fd, F_SETFD, FD_CLOEXEC);
    if (check_now)
        health_load();
}

/* What is waited for in one round, and where in `fds` it stands; -1: not this time. */
static struct {
    struct pollfd fds[12 + MAX_CLIENTS];
    int n, signal, listen, timer, stream[2], input, first_client, clients, checker, notify, journal;
} now_polled;

static int watch(int fd, short events)
{
    now_polled.fds[now_polled.n] = (struct pollfd){fd, events, 0};
    return now_polled.n++;
}

static int happened(int at)
{
    return at >= 0 && now_polled.fds[at].revents;
}

static void watch_all(void)
{
    now_polled.n = 0;
    now_polled.stream[0] = now_polled.stream[1] = -1;
    now_polled.signal = watch(signal_fd, POLLIN);
    now_polled.listen = listen_fd >= 0 ? watch(listen_fd, POLLIN) : -1;
    now_polled.timer = timer_fd >= 0 ? watch(timer_fd, POLLIN) : -1;
    if (!pending_len && journal_room() && log_ready()) {
        if (console_fd >= 0)
            now_polled.stream[0] = watch(console_fd, POLLIN);
        for (int s = 0; s < 2 && console_fd < 0; s++)
            if (stream_fd[s] >= 0)
                now_polled.stream[s] = watch(stream_fd[s], POLLIN);
    }
    now_polled.input = input_len > input_at ? watch(console_fd >= 0 ? console_fd : stdin_fd, POLLOUT) : -1;
    now_polled.first_client = now_polled.n;
    now_polled.clients = n_clients;
    for (int c = 0; c < n_clients; c++)
        watch(clients[c].fd, (short)((input_len > input_at ? 0 : POLLIN) | (clients[c].behind || clients[c].missed ? POLLOUT : 0)));
    now_polled.checker = checker_fd >= 0 ? watch(checker_fd, POLLIN) : -1;
    now_polled.notify = notify_listen >= 0 ? watch(notify_listen, POLLIN) : -1;
    now_polled.journal = journal_at < journal_len && journal_fd >= 0 ? watch(journal_fd, POLLOUT) : -1;
}

static void answer_clients(void)
{
    for (int c = now_polled.clients - 1; c >= 0; c--) {
        struct pollfd *polled = &now_polled.fds[now_polled.first_client + c];
        if (clients[c].fd != polled->fd)
            continue; /* dropped above it in this round */
        if (polled->revents & POLLOUT && (clients[c].behind || clients[c].missed))
            client_ready(c);
        else if (polled->revents & (POLLIN | POLLHUP | POLLERR))
            client_read(c);
    }
    clients_look();
}

static void answer_streams(void)
{
    /* Whoever has connected before the container wrote is to see it: `start --attach` lets it begin once it has connected. */
    if (happened(now_polled.listen) || happened(now_polled.stream[0]) || happened(now_polled.stream[1]))
        attach_accept();
    for (int s = 0; s < 2; s++)
        if (happened(now_polled.stream[s]) && !pending_len && !stream_read(s) && console_fd >= 0 &&
            now_polled.fds[now_polled.stream[s]].revents & POLLHUP) {
            /* A pty without slaves hangs up for good only when init has ended; until then do not spin on it. */
            struct timespec pause = {0, 20 * 1000 * 1000};
            nanosleep(&pause, NULL);
        }
}

static void answer_signals(void)
{
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGHUP)
            attach_listen();
        else if (info.ssi_signo == SIGUSR1 && health_path)
            health_load();
        else if (info.ssi_signo == SIGUSR2)
            helper_wanted();
}

static void reap(void)
{
    int child_status;
    struct rusage used;
    pid_t pid;
    while ((pid = wait4(-1, &child_status, WNOHANG, &used)) > 0)
        if (pid == init_pid) {
            status = child_status;
            look_at_time(status, &used);
            ended = 1;
        } else {
            health_reaped(pid);
            helper_reaped(pid);
        }
    if (pid < 0 && errno == ECHILD)
        ended = 1; /* init is not our child (cannot happen with our runtime): nothing left to wait for */
}

/* Waits for what comes, and answers it. first: waits for nothing; whatever ended before the signal was blocked is looked for. */
static void look(int first)
{
    watch_all(); /* (says since when the log waits for its readers: before log_due) */
    int wait = first ? 0 : earlier(earlier(earlier(earlier(health_wait(-1), watchdog_due), journal_due()), log_due()), clients_due());
    if (poll(now_polled.fds, (nfds_t)now_polled.n, wait) < 0)
        return;
    if (journal_at < journal_len && (now_polled.journal < 0 || happened(now_polled.journal) || now_ms() - journal_stuck >= JOURNAL_AGAIN))
        journal_flush(JOURNAL_PATIENCE);
    if (happened(now_polled.checker))
        checker_read();
    if (happened(now_polled.notify))
        notify_read();
    answer_clients();
    if (happened(now_polled.input))
        input_flush();
    answer_streams();
    if (happened(now_polled.timer)) {
        timed_out = kill(init_pid, SIGKILL) == 0;
        close(timer_fd);
        timer_fd = -1;
    }
    if (happened(now_polled.signal))
        answer_signals();
    if (first || happened(now_polled.signal))
        reap();
    if (!ended) {
        health_tick();
        notify_tick();
    }
}

/* The container has ended: what is left of its output, its record, and whatever comes after it. */
static int finish(void)
{
    for (int h = 0; h < n_helpers; h++)
        helpers[h] = end_helper(helpers[h], helper_start[h]);
    health_end();
    for (int more = 0; more < 16 && notify_listen >= 0; more++)
        notify_read();

    /* The pid namespace died with init, so nobody writes any more: take what lies in the pipes, then stop. With
     * --pid=host left-over processes may hold them open; what they write later is theirs to lose. */
    attach_accept();
    clients_ending();
    for (int s = 0; s < 2; s++)
        while (stream_read(s))
            ;
    if (journal_on)
        journal_end();
    if (log_fd >= 0) {
        close(log_fd);
        if (log_max > 0)
            log_trim(0); /* what was kept for readers that have gone since */
    }
    int code = exit_code(status);
    long wait_ms = restart_after(code);
    reach("monitor:ended");
    int kills = code ? oom_kills(oom_path) - killed_oom : 0, oom = code == 137 && kills > 0;
    look_at_memory(cgroup, kills);
    note_end(status, oom); /* before the record: whoever finds no record, and no monitor, looks whether the event was written */
    reach("monitor:noted");
    /* Before the record as well: whoever has read it may start the container again, and its new group and socket have these names. */
    if (cgroup)
        cgroup_remove(cgroup);
    unlinkat(run_dir_fd, "attach", 0);
    if (!cleanup_alone)
        write_event("cleanup", "");
    write_exit(status, oom, wait_ms);
    reach("monitor:recorded");
    char code_option[32];
    clients_end(code);
    /* The monitor's own end tells that the published ports are free again; nobody else has to wait for the helpers. */
    for (int h = 0; h < n_helpers; h++)
        if (helpers[h] >= 0) {
            struct pollfd one = {helpers[h], POLLIN, 0};
            poll(&one, 1, 10000);
        }
    /* The container's end is on record: only now a client that is stopped, or whose reader is, may keep this process. */
    clients_wait(code);
    if (wait_ms >= 0)
        start_again(command, wait_ms);
    /* A service manager takes the exit code of its service's main process for that of the service. */
    snprintf(code_option, sizeof code_option, "--exit-code=%d", code & 255);
    if (wait_ms < 0 && command && cleanup_alone && !primary_told)
        execute(command, "--rm", notify_fd >= 0 ? code_option : NULL);
    else if (wait_ms < 0 && command && tidy && !cleanup_alone && !fork()) /* nobody waits for that */
        execute(command, NULL, NULL);
    return notify_fd >= 0 ? code : 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "--exec"))
        return session_main(argc, argv);
    if (argc > 6 && !strcmp(argv[1], "--later"))
        return later_main(argv);
    if (options_read(argc, argv) < 0)
        return 125;
    begin(argv);
    for (int first = 1; !ended; first = 0)
        look(first);
    return finish();
}
