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
static int log_json, log_files = 1, log_full, log_lost;
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

int main(int argc, char **argv)
{
    int init_pid = -1, timeout = 0, status = 0, ended = 0, attach_fd = -1, cleanup_alone = 0, keep_stdio = 0, check_now = 0, tidy = 0, i, killed_oom;
    const char *oom_path = NULL, *cgroup = NULL;
    struct pollfd fds[12 + MAX_CLIENTS];

    if (argc > 2 && !strcmp(argv[1], "--exec"))
        return session_main(argc, argv);
    if (argc > 6 && !strcmp(argv[1], "--later"))
        return later_main(argv);
    for (i = 1; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--init"))
            init_pid = number(value);
        else if (!strcmp(name, "--stdin"))
            stdin_fd = number(value);
        else if (!strcmp(name, "--stdout"))
            stream_fd[0] = number(value);
        else if (!strcmp(name, "--stderr"))
            stream_fd[1] = number(value);
        else if (!strcmp(name, "--console"))
            console_fd = number(value);
        else if (!strcmp(name, "--attach"))
            attach_fd = number(value);
        else if (!strcmp(name, "--log"))
            log_path = value;
        else if (!strcmp(name, "--journal"))
            journal_on = 1, journal_field(value);
        else if (!strcmp(name, "--log-fd"))
            log_begin(number(value));
        else if (!strcmp(name, "--log-json"))
            log_json = number(value);
        else if (!strcmp(name, "--log-max"))
            log_max = atoll(value);
        else if (!strcmp(name, "--log-files"))
            log_files = number(value);
        else if (!strcmp(name, "--run-dir"))
            run_dir = value;
        else if (!strcmp(name, "--exit-file"))
            exit_file = value;
        else if (!strcmp(name, "--timeout"))
            timeout = number(value);
        else if (!strcmp(name, "--cpu-limit"))
            cpu_limit = atoll(value);
        else if (!strcmp(name, "--oom"))
            oom_path = value;
        else if (!strcmp(name, "--cgroup"))
            cgroup = value;
        else if (!strcmp(name, "--cleanup-alone"))
            cleanup_alone = number(value);
        else if (!strcmp(name, "--tidy"))
            tidy = number(value);
        else if (!strcmp(name, "--keep-stdio"))
            keep_stdio = number(value);
        else if (!strcmp(name, "--events"))
            events_path = value;
        else if (!strcmp(name, "--event"))
            event = value;
        else if (!strcmp(name, "--policy"))
            policy_file = value;
        else if (!strcmp(name, "--stopped"))
            stopped_file = value;
        else if (!strcmp(name, "--restarts"))
            restarts = number(value);
        else if (!strcmp(name, "--wait"))
            next_wait = atol(value);
        else if (!strcmp(name, "--health"))
            health_path = value;
        else if (!strcmp(name, "--health-state"))
            health_state_path = value;
        else if (!strcmp(name, "--secrets"))
            secret_fd = number(value);
        else if (!strcmp(name, "--notify"))
            notify_fd = number(value);
        else if (!strcmp(name, "--notify-listen"))
            notify_listen = number(value);
        else if (!strcmp(name, "--notify-mode"))
            notify_mode = number(value);
        else if (!strcmp(name, "--watchdog"))
            watchdog = atoll(value);
        else if (!strcmp(name, "--check"))
            check_now = number(value);
        else if (!strcmp(name, "--kill") && n_helpers < MAX_HELPERS) {
            helpers[n_helpers] = number(value);
            const char *colon = strchr(value, ':');
            helper_start[n_helpers++] = colon ? strtoull(colon + 1, NULL, 10) : 0;
        } else if (!strcmp(name, "--again") && n_helper_words < MAX_WORDS) {
            helper_words[n_helper_words++] = (char *)value;
        } else if (!strcmp(name, "--again-fd")) {
            helper_fd = number(value);
        } else {
            fprintf(stderr, "pyman-monitor: unknown option %s\n", name);
            return 125;
        }
    }
    if (init_pid < 1 || !run_dir || !exit_file) {
        fprintf(stderr, "usage: pyman-monitor --init PID --run-dir DIR --exit-file FILE [...] [-- COMMAND...]\n");
        return 125;
    }
    char **command = i + 1 < argc ? argv + i + 1 : NULL;
    clock_gettime(CLOCK_MONOTONIC, &began);
    if (!stopped_file || !command)
        policy_file = NULL;

    setsid();
    prctl(PR_SET_NAME, "pyman:[monitor]", 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    /* The memory of a dead monitor is not worth a container. Lowering needs privilege, so a failure is no news. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP); /* "the runtime directory was wiped: bind the attach socket again" */
    sigaddset(&set, SIGUSR1); /* "the plan of the health checks was changed" */
    sigaddset(&set, SIGUSR2); /* "the network's helper is wanted again" */
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    int timer_fd = -1;
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

    /* Whatever ended before the signal was blocked is looked for once without waiting. */
    for (int wait = 0; !ended; wait = -1) {
        int n = 0, at_stream[2] = {-1, -1}, at_signal, at_listen = -1, at_input = -1, at_timer = -1, at_notify = -1, at_checker = -1, at_journal = -1, first_client, polled_clients;
        fds[at_signal = n++] = (struct pollfd){signal_fd, POLLIN, 0};
        if (listen_fd >= 0)
            fds[at_listen = n++] = (struct pollfd){listen_fd, POLLIN, 0};
        if (timer_fd >= 0)
            fds[at_timer = n++] = (struct pollfd){timer_fd, POLLIN, 0};
        if (!pending_len && journal_room() && log_ready()) {
            if (console_fd >= 0) {
                fds[at_stream[0] = n++] = (struct pollfd){console_fd, POLLIN, 0};
            } else {
                for (int s = 0; s < 2; s++)
                    if (stream_fd[s] >= 0)
                        fds[at_stream[s] = n++] = (struct pollfd){stream_fd[s], POLLIN, 0};
            }
        }
        if (input_len > input_at)
            fds[at_input = n++] = (struct pollfd){console_fd >= 0 ? console_fd : stdin_fd, POLLOUT, 0};
        first_client = n;
        polled_clients = n_clients;
        for (int c = 0; c < n_clients; c++) {
            short events = input_len > input_at ? 0 : POLLIN;
            if (clients[c].behind || clients[c].missed)
                events |= POLLOUT;
            fds[n++] = (struct pollfd){clients[c].fd, events, 0};
        }
        if (checker_fd >= 0 && checker_awaited())
            fds[at_checker = n++] = (struct pollfd){checker_fd, POLLIN, 0};
        if (check_pipe >= 0 && check_slow < 0)
            fds[n++] = (struct pollfd){check_pipe, POLLIN, 0};
        if (notify_listen >= 0)
            fds[at_notify = n++] = (struct pollfd){notify_listen, POLLIN, 0};
        if (journal_at < journal_len && journal_fd >= 0)
            fds[at_journal = n++] = (struct pollfd){journal_fd, POLLOUT, 0};
        if (poll(fds, (nfds_t)n, earlier(earlier(earlier(earlier(health_wait(wait), watchdog_due), journal_due()), log_due()), clients_due())) < 0)
            continue;
        if (journal_at < journal_len && (at_journal < 0 || fds[at_journal].revents || now_ms() - journal_stuck >= JOURNAL_AGAIN))
            journal_flush(JOURNAL_PATIENCE);
        if (at_checker >= 0 && fds[at_checker].revents)
            checker_read();
        if (at_notify >= 0 && fds[at_notify].revents)
            notify_read();
        for (int c = polled_clients - 1; c >= 0; c--) {
            short got = fds[first_client + c].revents;
            if (clients[c].fd != fds[first_client + c].fd)
                continue; /* dropped above it in this round */
            if (got & POLLOUT && (clients[c].behind || clients[c].missed))
                client_ready(c);
            else if (got & (POLLIN | POLLHUP | POLLERR))
                client_read(c);
        }
        clients_look();
        if (at_input >= 0 && fds[at_input].revents)
            input_flush();
        /* Whoever has connected before the container wrote is to see it: `start --attach` lets it begin once it has connected. */
        if ((at_listen >= 0 && fds[at_listen].revents) || (at_stream[0] >= 0 && fds[at_stream[0]].revents) ||
            (at_stream[1] >= 0 && fds[at_stream[1]].revents))
            attach_accept();
        for (int s = 0; s < 2; s++)
            if (at_stream[s] >= 0 && fds[at_stream[s]].revents && !pending_len && !stream_read(s) && console_fd >= 0 && fds[at_stream[s]].revents & POLLHUP) {
                /* A pty without slaves hangs up for good only when init has ended; until then do not spin on it. */
                struct timespec pause = {0, 20 * 1000 * 1000};
                nanosleep(&pause, NULL);
            }
        if (at_timer >= 0 && fds[at_timer].revents) {
            timed_out = kill(init_pid, SIGKILL) == 0;
            close(timer_fd);
            timer_fd = -1;
        }
        if (fds[at_signal].revents) {
            struct signalfd_siginfo info;
            while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
                if (info.ssi_signo == SIGHUP)
                    attach_listen();
                else if (info.ssi_signo == SIGUSR1 && health_path)
                    health_load();
                else if (info.ssi_signo == SIGUSR2)
                    helper_wanted();
        }
        int child_status;
        struct rusage used;
        pid_t pid = 0;
        while ((wait == 0 || fds[at_signal].revents) && (pid = wait4(-1, &child_status, WNOHANG, &used)) > 0)
            if (pid == init_pid) {
                status = child_status;
                look_at_time(status, &used);
                ended = 1;
            } else {
                health_reaped(pid, child_status);
                helper_reaped(pid);
            }
        if (pid < 0 && errno == ECHILD && !ended)
            ended = 1; /* init is not our child (cannot happen with our runtime): nothing left to wait for */
        if (!ended) {
            health_tick();
            notify_tick();
        }
    }

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
    if (log_fd >= 0)
        close(log_fd);
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
