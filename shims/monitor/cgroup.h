/* The container's control group: what the kernel counted in it, and taking it away. Part of ../monitor.c. */

static int oom_kills(const char *path)
{
    char data[16384]; /* /proc/vmstat */
    if (!path)
        return 0;
    text_of(path, data, sizeof data);
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
