/* logwait.h: a container that writes faster than its log is followed waits for the reader, so that rotation loses no line under `logs -f`.
 * Part of monitor.c.
 *
 * Files that are read stay for a while (log_rotate). Once half of that room is used, nothing is read from the container until the reader is
 * on a newer file. A reader that does not get there in LOG_PATIENCE ms and LOG_LOOKS looks (a machine that stood still has spent the time, and
 * looked once) has stopped: it is not waited for again before it has caught up.
 */

enum { LOG_PATIENCE = 10000, LOG_LOOK = 5, LOG_LOOKS = 1000 }; /* milliseconds, but for the last */

static long long log_patience = -1; /* until when the container waits; -1: it does not */
static int log_given_up, log_looks, log_first; /* the number of the oldest file that may still be read while the container writes */

static long long now_ms(void);
static int log_wanted(const char *path);
static const char *log_name(int number);

/* After a rotation: `files` are there, `spare` more than asked for may be. */
static void log_behind(int files, int spare)
{
    log_first = log_files - 1 + spare / 2;
    if (files <= log_first + 1)
        log_given_up = 0;
    else if (!log_given_up && log_patience < 0) {
        log_patience = now_ms() + LOG_PATIENCE;
        log_looks = 0;
    }
}

static int log_read_behind(void)
{
    for (int i = log_first + 1; access(log_name(i), F_OK) == 0; i++)
        if (log_wanted(log_name(i)))
            return 1;
    return 0;
}

/* Whether the container's output may be read now. */
static int log_ready(void)
{
    if (log_patience < 0)
        return 1;
    if (log_read_behind()) {
        if (now_ms() < log_patience || log_looks++ < LOG_LOOKS)
            return 0;
        log_given_up = 1;
    }
    log_patience = -1;
    return 1;
}

/* When to look again, or -1. */
static long long log_due(void)
{
    return log_patience < 0 ? -1 : now_ms() + LOG_LOOK;
}
