/* What the health checks have found, its file and its events, and what follows from that. Part of health.h. */

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

/* The beginning of a result as JSON: at most 320 bytes. */
static size_t entry_times(char *text, struct timespec began, struct timespec end)
{
    char from[128], to[128];
    stamp_at(from, sizeof from, began);
    stamp_at(to, sizeof to, end);
    return (size_t)sprintf(text, "{\"Start\":\"%sZ\",\"End\":\"%sZ\",", from, to);
}

/* One result as JSON, with the first `output` bytes of what the check wrote: at most 384 bytes and six for each of them. */
static size_t entry_text(char *text, struct timespec end, long long exit_code, size_t output)
{
    size_t n = entry_times(text, check_began, end);
    n += (size_t)sprintf(text + n, "\"ExitCode\":%lld,\"Output\":\"", exit_code);
    n += json_text(text + n, check_output, output);
    return n + (size_t)sprintf(text + n, "\"}");
}

/* Notes a result that is like the last one, but for its times. */
static void entry_repeat(struct timespec began, struct timespec end)
{
    struct entry *last = entries;
    while (last && last->next)
        last = last->next;
    size_t rest = last ? strlen(last->result) : 0;
    struct entry *entry = last ? malloc(sizeof *entry + 384 + rest) : NULL;
    if (!entry)
        return;
    size_t n = entry_times(entry->text, began, end);
    memcpy(entry->text + n, last->result, rest + 1);
    entry->length = n + rest;
    entry->result = entry->text + n;
    entry_add(entry);
}

/* What the checker has found in silence since the last time. */
static void board_read(void)
{
    uint32_t count = board ? __atomic_load_n(&board->count, __ATOMIC_ACQUIRE) : 0, most = BOARD - 1;
    if (count == board_seen)
        return;
    if (plan.log_count > 0 && plan.log_count < most)
        most = (uint32_t)plan.log_count;
    for (uint32_t n = count - board_seen > most ? count - most : board_seen; n != count; n++)
        entry_repeat(board->spans[n % BOARD].began, board->spans[n % BOARD].ended);
    board_seen = count;
    health_stale = 1;
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
    if (check_length > 1 << 17) { /* its pages are given back until another check writes so much */
        /* Not its beginning, which the event has. */
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = ((uintptr_t)check_output + 2 * page - 1) & ~(page - 1);
        madvise((void *)first, ((uintptr_t)check_output + check_length - first) & ~(page - 1), MADV_DONTNEED);
    }
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

/* Answers the first `count` of those who wait. */
static void check_answer(const char *word, int count)
{
    char packet[32];
    int n = snprintf(packet, sizeof packet, "h%s", word);
    for (int i = 0; i < count; i++) {
        if (send(waiters[i], packet, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            note("health client");
        close(waiters[i]);
    }
    n_waiters -= count;
    n_asked = 0;
    if (n_waiters)
        memmove(waiters, waiters + count, (size_t)n_waiters * sizeof *waiters);
}

static int container_ending(void);
static int stop_under_way(void);
static void checker_end(void);
static void check_go_alone(void);

/* Counts a result, and does what follows from it. */
static void check_count(long long exit_code)
{
    const char *before = health_status, *answer = "healthy";
    long long streak = failing_streak, action = ACTION_NONE;
    int again = 0;
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    board_read(); /* which came before it */
    check_runs = 0;
    check_deadline = -1;
    check_ended_ms = now_ms();
    long long interval = check_is_startup ? plan.startup_interval : plan.interval;
    int ending = exit_code && check_sigkilled && container_ending();
    if (exit_code && stop_under_way())
        stopping_until = check_ended_ms + (plan.stop_timeout > 0 ? plan.stop_timeout : 0);
    if (ending || (exit_code && check_ended_ms <= stopping_until)) { /* that a program which comes to its end does not answer is no failure */
        check_interrupted |= ending;
        check_answer("stopped", ending ? 0 : n_waiters);
        check_due = interval > 0 || n_waiters ? check_ended_ms + STOPPING : -1;
        return;
    }
    if (plan.divides)
        checker_end(); /* a process in the container's own group keeps systemd from giving controllers to the groups below it */
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
    check_answer(check_timed_out ? "timeout" : answer, n_asked);
    reach("monitor:checked");
    if (startup_passed)
        interval = plan.interval;
    if (n_waiters)
        check_due = now_ms();
    else
        check_due = interval > 0 ? now_ms() + (again ? 0 : interval) : -1;
    /* Where each result has to be written, or the checker goes after each, there is nothing that it could do alone. */
    int each = plan.destination || plan.events == 2 || plan.divides;
    if (exit_code == 0 && interval > 0 && !check_is_startup && !each && !n_waiters && !*health_action_taken)
        check_go_alone();
    health_act(action);
}

static void health_load(void);

/* A check has ended. */
static void check_done(long long exit_code)
{
    check_count(exit_code);
    if (plan_changed)
        health_load();
}
