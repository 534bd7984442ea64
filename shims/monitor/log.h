/* The log that the monitor writes itself: its form, its lines, its rotation. Part of ../monitor.c. */

static void log_begin(int fd)
{
    struct stat info;
    log_fd = fd;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    log_size = log_fd >= 0 && fstat(log_fd, &info) == 0 ? info.st_size : 0;
}

#include "logwait.h"

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

static int log_spare(void)
{
    return (int)(LOG_SPARE / log_max) + 8;
}

/* The oldest files go, so that with those that are `coming` log_files are left. A file that is being read stays for a while, but a reader
 * that has stopped must not fill the disk. The number of the oldest one. */
static int log_trim(int coming)
{
    int oldest = 0;
    while (oldest < 10000 && access(log_name(oldest + 1), F_OK) == 0)
        oldest++;
    for (int more; oldest >= 0 && (more = oldest + 1 + coming - log_files) > 0 && (more > log_spare() || !log_wanted(log_name(oldest))); oldest--)
        unlink(log_name(oldest));
    return oldest;
}

/* Files are taken away; then path.1 -> path.2, path -> path.1, and a new file. Renames keep readers' files, and go from the oldest to the
 * newest: a reader may rely on it. */
static void log_rotate(void)
{
    close(log_fd);
    int oldest = log_trim(1);
    for (int i = oldest; i >= 0; i--)
        rename(log_name(i), log_name(i + 1));
    log_begin(open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    log_behind(oldest + 2, log_spare());
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
    if (fstat(log_fd, &info) == 0) {
        struct rlimit most;
        log_lost = !getrlimit(RLIMIT_FSIZE, &most) && (rlim_t)info.st_size >= most.rlim_cur ? ",\"LogLost\":\"limit\"" : ",\"LogLost\":true";
        if (n > kept && ftruncate(log_fd, info.st_size - (n - kept)) < 0)
            note("log");
    }
    if (!log_full)
        note("log");
    log_full = 1;
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
