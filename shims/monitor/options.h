/* What pyman/monitor/spawn.py calls the monitor with. Part of ../monitor.c. */

static int init_pid = -1, timeout, attach_fd = -1, cleanup_alone, keep_stdio, check_now, tidy;
static const char *oom_path, *cgroup;
static char **command; /* what is executed at the end, or NULL */

static const struct {
    const char *name;
    int *number; /* exactly one of these */
    long long *large;
    const char **text;
} options[] = {
    {"--init", &init_pid, NULL, NULL},
    {"--stdin", &stdin_fd, NULL, NULL},
    {"--stdout", &stream_fd[0], NULL, NULL},
    {"--stderr", &stream_fd[1], NULL, NULL},
    {"--console", &console_fd, NULL, NULL},
    {"--attach", &attach_fd, NULL, NULL},
    {"--keep-stdio", &keep_stdio, NULL, NULL},
    {"--log", NULL, NULL, &log_path},
    {"--log-json", &log_json, NULL, NULL},
    {"--log-max", NULL, &log_max, NULL},
    {"--log-files", &log_files, NULL, NULL},
    {"--run-dir", NULL, NULL, &run_dir},
    {"--exit-file", NULL, NULL, &exit_file},
    {"--timeout", &timeout, NULL, NULL},
    {"--cpu-limit", NULL, &cpu_limit, NULL},
    {"--oom", NULL, NULL, &oom_path},
    {"--cgroup", NULL, NULL, &cgroup},
    {"--cleanup-alone", &cleanup_alone, NULL, NULL},
    {"--tidy", &tidy, NULL, NULL},
    {"--events", NULL, NULL, &events_path},
    {"--event", NULL, NULL, &event},
    {"--policy", NULL, NULL, &policy_file},
    {"--stopped", NULL, NULL, &stopped_file},
    {"--restarts", &restarts, NULL, NULL},
    {"--wait", NULL, &next_wait, NULL},
    {"--health", NULL, NULL, &health_path},
    {"--health-state", NULL, NULL, &health_state_path},
    {"--secrets", &secret_fd, NULL, NULL},
    {"--check", &check_now, NULL, NULL},
    {"--notify", &notify_fd, NULL, NULL},
    {"--notify-listen", &notify_listen, NULL, NULL},
    {"--notify-mode", &notify_mode, NULL, NULL},
    {"--watchdog", NULL, &watchdog, NULL},
    {"--again-fd", &helper_fd, NULL, NULL},
};

/* Those that do more than to set a variable, and those that come several times. 0 if it is none of them. */
static int option_more(const char *name, char *value)
{
    if (!strcmp(name, "--journal"))
        journal_on = 1, journal_field(value);
    else if (!strcmp(name, "--log-fd"))
        log_begin(number(value));
    else if (!strcmp(name, "--kill") && n_helpers < MAX_HELPERS) {
        helpers[n_helpers] = number(value);
        const char *colon = strchr(value, ':');
        helper_start[n_helpers++] = colon ? strtoull(colon + 1, NULL, 10) : 0;
    } else if (!strcmp(name, "--again") && n_helper_words < MAX_WORDS)
        helper_words[n_helper_words++] = value;
    else
        return 0;
    return 1;
}

/* 0, or -1 after it has said what is wrong. */
static int options_read(int argc, char **argv)
{
    int i;
    for (i = 1; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
        size_t at = 0, count = sizeof options / sizeof *options;
        while (at < count && strcmp(argv[i], options[at].name))
            at++;
        if (at < count && options[at].number)
            *options[at].number = number(argv[i + 1]);
        else if (at < count && options[at].large)
            *options[at].large = atoll(argv[i + 1]);
        else if (at < count)
            *options[at].text = argv[i + 1];
        else if (!option_more(argv[i], argv[i + 1])) {
            fprintf(stderr, "pyman-monitor: unknown option %s\n", argv[i]);
            return -1;
        }
    }
    if (init_pid < 1 || !run_dir || !exit_file) {
        fprintf(stderr, "usage: pyman-monitor --init PID --run-dir DIR --exit-file FILE [...] [-- COMMAND...]\n");
        return -1;
    }
    command = i + 1 < argc ? argv + i + 1 : NULL;
    if (!stopped_file || !command)
        policy_file = NULL;
    return 0;
}
