/* Reading the plan of the health checks, and the container's secret variables for them. Part of health.h. */

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
    /* Memory comes with what is written. So much as the user has asked for; where that is no limit at all, what a monitor may have. */
    check_room = plan.log_size > 0 ? (size_t)plan.log_size : MAX_OUTPUT;
    check_output = malloc(check_room + 1);
    if (!check_output && check_room > MAX_OUTPUT)
        check_output = malloc((check_room = MAX_OUTPUT) + 1);
    return check_output ? 0 : -1;
}
