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

/* ---- log ---- */

static void log_begin(int fd)
{
    struct stat info;
    log_fd = fd;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    log_size = log_fd >= 0 && fstat(log_fd, &info) == 0 ? info.st_size : 0;
}

#include "monitor/logwait.h"

/* Somebody reads a file with a shared lock on it (pyman/monitor/logfiles.py): it is not to go before the one after it is found. */
static int log_wanted(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int wanted = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
    if (fd >= 0)
        close(fd);
    return wanted;
}

static const char *log_name(int number)
{
    static char name[2][4200];
    static int turn;
    turn = !turn;
    snprintf(name[turn], sizeof name[turn], number ? "%s.%d" : "%s", log_path, number);
    return name[turn];
}

/* The oldest files go, so that with the new one log_files are left; then path.1 -> path.2, path -> path.1, and a new file.
 * Renames keep readers' files, and go from the oldest to the newest: a reader may rely on it. A file that is being read stays
 * for a while, but a reader that has stopped must not fill the disk. */
static void log_rotate(void)
{
    int oldest = 0, spare = (int)(LOG_SPARE / log_max) + 8;
    close(log_fd);
    while (oldest < 10000 && access(log_name(oldest + 1), F_OK) == 0)
        oldest++;
    while (oldest >= 0 && oldest + 2 > log_files && (oldest + 2 - log_files > spare || !log_wanted(log_name(oldest)))) {
        unlink(log_name(oldest));
        oldest--;
    }
    for (int i = oldest; i >= 0; i--)
        rename(log_name(i), log_name(i + 1));
    log_begin(open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    log_behind(oldest + 2, spare);
}

/* Lines are gathered and written together; a batch never crosses a rotation. */
static char batch[BATCH];
static size_t batch_len;

static void log_flush(void)
{
    size_t length = batch_len;
    batch_len = 0;
    if (log_fd < 0 || !length)
        return;
    struct stat info;
    ssize_t n = write(log_fd, batch, length);
    if (n == (ssize_t)length) {
        log_size += n;
        log_full = 0;
        return;
    }
    /* A full disk must not stop the container: take half a line back, drop, and go on when there is room. */
    ssize_t kept = n > 0 ? n : 0;
    while (kept > 0 && batch[kept - 1] != '\n')
        kept--;
    log_size += kept;
    if (n > kept && fstat(log_fd, &info) == 0 && ftruncate(log_fd, info.st_size - (n - kept)) < 0)
        note("log");
    if (!log_full)
        note("log");
    log_full = log_lost = 1;
}

/* Where a line of at most `length` bytes may be put together. */
static char *log_room(size_t length)
{
    if (batch_len + length > sizeof batch)
        log_flush();
    return batch + batch_len;
}

/* The line of `length` bytes that lies there belongs to the batch, or is the first of a new file. */
static void log_add(size_t length)
{
    if (log_max > 0 && log_size + (long long)(batch_len + length) > log_max && log_size + (long long)batch_len > 0) {
        size_t at = batch_len;
        log_flush();
        if (log_size > 0)
            log_rotate();
        memmove(batch, batch + at, length);
    }
    batch_len += length;
}

/* The time as the log has it; the same for all lines of one piece of output. */
static size_t stamp(char *to, size_t size)
{
    static time_t second = -1;
    static char date[64];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        struct tm tm;
        gmtime_r(&now.tv_sec, &tm);
        snprintf(date, sizeof date, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        second = now.tv_sec;
    }
    return (size_t)snprintf(to, size, "%s.%09ld%s", date, now.tv_nsec, log_json ? "Z" : "+00:00");
}

static size_t json_text(char *to, const char *data, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c == '"' || c == '\\') {
            to[n++] = '\\';
            to[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            n += (size_t)sprintf(to + n, "\\u%04x", c);
        } else {
            to[n++] = (char)c;
        }
    }
    return n;
}

static size_t put(char *to, const char *data, size_t length)
{
    memcpy(to, data, length);
    return length;
}

/* One line, or a part of one without its end. */
static void log_line(int stream, const char *when, size_t when_len, const char *data, size_t length, int whole)
{
    char *to = log_room(length * (log_json ? 6 : 1) + 160);
    size_t n = 0;
    if (log_json) {
        n += put(to, "{\"log\":\"", 8);
        n += json_text(to + n, data, length);
        if (whole)
            n += put(to + n, "\\n", 2);
        n += put(to + n, stream ? "\",\"stream\":\"stderr\",\"time\":\"" : "\",\"stream\":\"stdout\",\"time\":\"", 28);
        n += put(to + n, when, when_len);
        n += put(to + n, "\"}\n", 3);
    } else {
        n += put(to, when, when_len);
        n += put(to + n, stream ? " stderr " : " stdout ", 8);
        n += put(to + n, whole ? "F " : "P ", 2);
        n += put(to + n, data, length);
        to[n++] = '\n';
    }
    log_add(n);
}

static int journal_on;
static void journal_add(int stream, const char *data, size_t length);

static void log_chunk(int stream, const char *data, size_t length)
{
    char when[128];
    if (journal_on)
        journal_add(stream, data, length);
    if (!log_path)
        return;
    size_t when_len = stamp(when, sizeof when);
    while (length > 0) {
        const char *end = memchr(data, '\n', length);
        size_t part = end ? (size_t)(end - data) : length;
        log_line(stream, when, when_len, data, part, end != NULL);
        part += end != NULL;
        data += part;
        length -= part;
    }
    log_flush();
}

/* ---- clients ---- */

#include "monitor/clients.h"

static void input_flush(void)
{
    int fd = console_fd >= 0 ? console_fd : stdin_fd;
    while (fd >= 0 && input_at < input_len) {
        ssize_t n = write(fd, input + input_at, (size_t)(input_len - input_at));
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* the container closed its stdin */
        input_at += (int)n;
    }
    input_at = input_len = 0;
    if (input_eof && stdin_fd >= 0) {
        close(stdin_fd);
        stdin_fd = -1;
    }
}

static void health_request(int fd, char what);
static long long journal_last(void);

static void client_read(int index)
{
    ssize_t n = recv(clients[index].fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        /* The starting command went away: nobody will ever write to the container's stdin again unless one attaches. */
        client_drop(index);
        return;
    }
    if (chunk[0] == 'i' && n > 1) {
        memcpy(input, chunk + 1, (size_t)n - 1);
        input_len = (int)n - 1;
        input_at = 0;
        input_flush();
    } else if (chunk[0] == 'e') {
        input_eof = 1;
        input_flush();
    } else if (chunk[0] == 'w' && n == 5 && console_fd >= 0) {
        uint16_t rows, cols;
        memcpy(&rows, chunk + 1, 2);
        memcpy(&cols, chunk + 3, 2);
        struct winsize size = {.ws_row = rows, .ws_col = cols};
        ioctl(console_fd, TIOCSWINSZ, &size);
    } else if (n == 1 && (chunk[0] == 'h' || chunk[0] == 'g')) {
        char what = chunk[0];
        health_request(client_take(index), what);
    }
}

/* The socket is bound through the directory's descriptor, so the length of its path does not matter. */
static void attach_listen(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (listen_fd >= 0)
        close(listen_fd);
    if (run_dir_fd >= 0)
        close(run_dir_fd);
    listen_fd = -1;
    run_dir_fd = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (run_dir_fd < 0)
        return;
    unlinkat(run_dir_fd, "attach", 0);
    listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/attach", run_dir_fd);
    mode_t mask = umask(0177);
    if (bind(listen_fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(listen_fd, 8) < 0)
        note("attach socket");
    umask(mask);
}

/* All who wait: the socket does not block. */
static void attach_accept(void)
{
    int fd;
    while (listen_fd >= 0 && (fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        client_add(fd, 0);
}

/* ---- streams ---- */

/* Reads once; 0: nothing more for now or ever. */
static int stream_read(int stream)
{
    int *fd = console_fd >= 0 ? &console_fd : &stream_fd[stream];
    if (*fd < 0)
        return 0;
    ssize_t n = read(*fd, chunk + 1, CHUNK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) { /* EIO: the last slave of the pty was closed */
        if (fd != &console_fd) {
            close(*fd);
            *fd = -1;
        }
        return 0;
    }
    chunk[0] = stream ? 3 : 2;
    log_chunk(stream, chunk + 1, (size_t)n);
    broadcast(chunk, (int)n + 1);
    return 1;
}

/* ---- events ---- */

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
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, data, sizeof data - 1) : 0;
    if (fd >= 0)
        close(fd);
    data[n > 0 ? n : 0] = 0;
    return n > 0 && data[0] >= '0' && data[0] <= '9' ? atoll(data) : -1;
}

static void look_at_memory(const char *group, int kills)
{
    if (group && kills > 0)
        snprintf(memory_facts, sizeof memory_facts, ",\"OOMKills\":%d,\"MemoryMax\":%lld,\"MemoryPeak\":%lld", kills, counter(group, "memory.max"),
                 counter(group, "memory.peak"));
}

/* ---- end ---- */

static int timed_out; /* its --timeout is over */
static long long cpu_limit; /* seconds of processor time at which the kernel kills it; 0: none */
static char cpu_facts[48], asked_facts[240]; /* asked: what a health check has done about it */

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
    char facts[320];
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    int n = snprintf(facts, sizeof facts, ",\"ContainerExitCode\":%d", exit_code(status));
    if (sig)
        n += snprintf(facts + n, sizeof facts - (size_t)n, ",\"Signal\":%d", sig);
    snprintf(facts + n, sizeof facts - (size_t)n, "%s%s%s%s", oom ? ",\"OOMKilled\":true" : "", memory_facts, cpu_facts, log_lost ? ",\"LogLost\":true" : "");
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
    int n = snprintf(text, sizeof text, "{\"exit_code\":%d,\"signal\":%d,\"time\":%lld.%06ld,\"oom\":%s%s%s%s%s%s}", code, sig, (long long)now.tv_sec,
                     now.tv_nsec / 1000, oom ? "true" : "false", memory_facts, cpu_facts, asked_facts, log_lost ? ",\"LogLost\":true" : "", again);
    if (journal_on) /* until when a reader of the journal may wait for entries */
        n += snprintf(text + n - 1, sizeof text - (size_t)n + 1, ",\"journal\":%lld}", journal_last()) - 1;
    if (exit_fd < 0 || pwrite(exit_fd, text, (size_t)n, 0) != n || ftruncate(exit_fd, n) || rename(exit_temp, exit_file) < 0)
        note("exit record");
}

/* ---- restart policy ---- */

enum { GOOD_RUN = 10, FIRST_WAIT = 100 }; /* seconds, milliseconds */
static const char *policy_file, *stopped_file;
static int restarts; /* since a user started the container */
static long next_wait = FIRST_WAIT;
static struct timespec began;
static int force_restart; /* the health check's wish, whatever the policy */

/* The policy is a word in a file, so that it can be changed while the container runs; the file is missing where there is none.
 * How long to wait until the container is started again, in milliseconds; -1: it stays as it is. */
static long restart_after(int code)
{
    char text[64];
    struct timespec now;
    int fd = policy_file ? open(policy_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    if (!stopped_file || access(stopped_file, F_OK) == 0) /* the user's wish comes first */
        return -1;
    text[n > 0 ? n : 0] = 0;
    if (!force_restart && !strncmp(text, "on-failure", 10)) {
        int most = text[10] == ':' ? atoi(text + 11) : 0;
        if (code == 0 || (most > 0 && restarts >= most))
            return -1;
    } else if (!force_restart && strncmp(text, "always", 6) && strncmp(text, "unless-stopped", 14)) {
        return -1;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - began.tv_sec >= GOOD_RUN ? FIRST_WAIT : next_wait;
}

/* Executes the command with one more argument, or two. */
static void execute(char **command, char *last, char *more)
{
    char *argv[33];
    int n = 0;
    sigset_t none;
    while (command[n] && n < 30) {
        argv[n] = command[n];
        n++;
    }
    argv[n++] = last;
    argv[n++] = more;
    argv[n] = NULL;
    /* Whoever took the container for a running one may have sent, or may still send, what the monitor listens to: ignored, what is
     * pending is dropped. */
    for (int sig = 1; sig < 32; sig++)
        signal(sig, sig == SIGHUP || sig == SIGUSR1 || sig == SIGUSR2 ? SIG_IGN : SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(argv[0], argv);
}

/* Whoever wants the container otherwise (start, stop, rm, kill) ends this process under the container's lock. */
static void start_again(char **command, long wait_ms)
{
    struct timespec pause = {wait_ms / 1000, wait_ms % 1000 * 1000 * 1000};
    while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
        ;
    if (access(stopped_file, F_OK) == 0 || access(exit_file, F_OK) < 0)
        return;
    reach("monitor:again");
    execute(command, "--restart", NULL);
}

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

static int oom_kills(const char *path)
{
    char data[16384]; /* /proc/vmstat */
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd >= 0 ? read(fd, data, sizeof data - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    data[n] = 0;
    char *at = strstr(data, "oom_kill ");
    return at ? atoi(at + 9) : 0;
}

/* The groups that the container has made below its own; systemd makes many. */
static void cgroup_remove_below(const char *path, int depth)
{
    char below[4200];
    struct dirent *entry;
    DIR *dir = depth < 32 ? opendir(path) : NULL;
    while (dir && (entry = readdir(dir)))
        if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
            snprintf(below, sizeof below, "%s/%s", path, entry->d_name) < (int)sizeof below && rmdir(below) < 0)
            cgroup_remove_below(below, depth + 1), rmdir(below);
    if (dir)
        closedir(dir);
}

/* With --pid=host processes may have outlived init: they are the container's, and end with it. */
static void cgroup_remove(const char *path)
{
    char file[4200];
    snprintf(file, sizeof file, "%s/cgroup.kill", path);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    for (int try = 0; try < 2500 && rmdir(path) < 0 && (errno == EBUSY || errno == ENOTEMPTY); try++) {
        struct timespec pause = {0, 2 * 1000 * 1000};
        if (fd >= 0 && write(fd, "1", 1) < 0)
            try = 2500;
        cgroup_remove_below(path, 0);
        nanosleep(&pause, NULL);
    }
    if (fd >= 0)
        close(fd);
}

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
