/* keep.h: the keeper of the bridges' namespace, of pasta and of the name servers. Part of ../network.c. */

enum { NETNS = 9, LIFE = 10 };

static const char *dns_program, *dns_port;
static struct server {
    char directory[PATH_MAX], resolv[PATH_MAX], pid_file[PATH_MAX];
    pid_t pid, launcher; /* it forks itself into the background: first there is only the launcher */
    time_t started;
    int again; /* the files have changed since the launcher started */
    int quick; /* ends in a row that came within a second */
} servers[2]; /* of the networks with a way out, and of the internal ones */
static pid_t pasta_pid;
static char netns_place[PATH_MAX]; /* where pasta finds the namespace */
static time_t pasta_started;

static void unblock(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A new network namespace: a process that lives for a moment makes it, since we may never come back from it to the host's. */
static int make_netns(void)
{
    int ends[2], fd = -1;
    char path[64], byte;
    if (pipe2(ends, O_CLOEXEC))
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        byte = unshare(CLONE_NEWNET) ? (char)errno : 0;
        if (write(ends[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    if (read(ends[0], &byte, 1) == 1 && !byte) {
        snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    } else
        errno = byte;
    int number = errno;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    errno = number;
    return fd;
}

/* pasta drops its rights before it opens the namespace: a mount of it, in our mount namespace alone, asks for none. It goes when the
   runtime directory is wiped. */
static void mount_netns(void)
{
    struct stat ours, there;
    if (!fstat(NETNS, &ours) && !stat(netns_place, &there) && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino)
        return;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", NETNS);
    int file = open(netns_place, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || mount(path, netns_place, NULL, MS_BIND, NULL))
        die(netns_place);
    close(file);
}

static void start_pasta(char **argv, int first)
{
    pasta_started = now();
    pasta_pid = fork();
    if (pasta_pid)
        return;
    unblock();
    if (!first) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        mount_netns();
    }
    close(NETNS);
    close(LIFE);
    execv(argv[0], argv + 1);
    die(argv[0]);
}

/* Whether the directory has a network's file. */
static int has_networks(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    int found = 0;
    while (directory && (entry = readdir(directory)))
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "aardvark.pid"))
            found = 1;
    if (directory)
        closedir(directory);
    return found;
}

static void start_server(struct server *server)
{
    server->started = now();
    server->again = 0;
    server->launcher = fork();
    if (server->launcher)
        return;
    unblock();
    char target[PATH_MAX];
    /* Its own view of resolv.conf: the host's may name a server that only the host reaches. */
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
        die("unshare");
    if (realpath("/etc/resolv.conf", target) && mount(server->resolv, target, NULL, MS_BIND, NULL))
        die("resolv.conf");
    if (setns(NETNS, CLONE_NEWNET))
        die("setns");
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    close(NETNS);
    close(LIFE);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* The second one serves internal networks: what it does not know, nobody does. Without a word it would ask on and on. */
    char *env[] = {(char *)"PATH=/usr/bin:/bin", server == &servers[1] ? (char *)"AARDVARK_NO_PROXY=1" : NULL, NULL};
    execle(dns_program, "aardvark-dns", "--config", server->directory, "-p", dns_port, "run", (char *)NULL, env);
    _exit(127);
}

/* aardvark-dns forks itself into the background: what it leaves is its pid file, and our child by adoption. */
static pid_t read_pid(const struct server *server)
{
    char text[16] = "";
    int fd = open(server->pid_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(fd);
    return (pid_t)atoi(text);
}

static void changed(struct server *server)
{
    if (server->launcher > 0)
        server->again = 1;
    else if (server->pid > 1)
        kill(server->pid, SIGHUP);
    else if (has_networks(server->directory))
        start_server(server);
}

/* It does not answer: its end, which `reap` sees, starts another one. */
static void replace(struct server *server)
{
    pid_t pid = server->launcher > 0 ? server->launcher : server->pid;
    server->quick = 0;
    if (pid > 1)
        kill(pid, SIGKILL);
    else
        changed(server);
}

static void reap(char **pasta)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == pasta_pid) {
            pasta_pid = 0;
            if (pasta_started == now()) /* it does not even start: not at once again */
                sleep(1);
            start_pasta(pasta, 0);
        }
        for (int n = 0; n < 2; n++) {
            struct server *server = &servers[n];
            if (pid == server->launcher) {
                server->launcher = 0;
                server->pid = WIFEXITED(status) && !WEXITSTATUS(status) ? read_pid(server) : 0;
                if (server->pid > 1 && !kill(server->pid, 0)) {
                    if (server->again)
                        changed(server);
                    continue;
                }
            } else if (pid != server->pid)
                continue;
            server->pid = 0;
            server->quick = server->started == now() ? server->quick + 1 : 0;
            if (server->quick < 3)
                changed(server);
        }
    }
}

/* The namespace ends, and its bridges: whose they were is forgotten (network/clashes.py). */
static void forget_bridges(const char *place)
{
    DIR *directory = opendir(place);
    struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        if (!strncmp(entry->d_name, "bridge-", 7) || !strcmp(entry->d_name, "uplink.json"))
            unlinkat(dirfd(directory), entry->d_name, 0);
}

static int keep(int argc, char **argv)
{
    char path[PATH_MAX];
    if (argc < 11)
        return 125;
    int life = atoi(argv[2]), ready = atoi(argv[3]), netns = atoi(argv[4]);
    const char *directory = argv[5], *lock = argv[6];
    dns_port = argv[7];
    dns_program = argv[8];
    char **pasta = argv + 10;
    static const char *places[] = {"dns", "dns-internal"}, *files[] = {"resolv.conf", "resolv-internal.conf"};
    for (int n = 0; n < 2; n++) {
        snprintf(servers[n].directory, sizeof servers[n].directory, "%s/%s", directory, places[n]);
        snprintf(servers[n].resolv, sizeof servers[n].resolv, "%s/%s", directory, files[n]);
        snprintf(servers[n].pid_file, sizeof servers[n].pid_file, "%s/%s/aardvark.pid", directory, places[n]);
    }
    if (netns < 0 && (netns = make_netns()) < 0)
        die("unshare");
    /* Out of the way of the two numbers that others know. */
    netns = fcntl(netns, F_DUPFD_CLOEXEC, 64);
    life = fcntl(life, F_DUPFD_CLOEXEC, 64);
    ready = fcntl(ready, F_DUPFD_CLOEXEC, 64);
    if (netns < 0 || life < 0 || ready < 0 || dup2(netns, NETNS) < 0 || dup2(life, LIFE) < 0)
        die("dup");
    syscall(SYS_close_range, 3, NETNS - 1, 0);
    syscall(SYS_close_range, LIFE + 1, 63, 0);
    if (unshare(CLONE_NEWPID))
        die("unshare");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid) {
        snprintf(path, sizeof path, "%d", (int)pid);
        return write(ready, path, strlen(path)) < 0;
    }
    close(netns);
    close(life);
    close(ready);
    setsid();
    prctl(PR_SET_NAME, "pyman:[net]", 0, 0, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_SETMASK, &set, NULL);
    int signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    snprintf(netns_place, sizeof netns_place, "%s/netns", directory);
    mount_netns();
    start_pasta(pasta, 1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (chdir("/"))
        return 1;
    for (;;) {
        struct pollfd fds[] = {{LIFE, 0, 0}, {signal_fd, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0)
            continue;
        struct signalfd_siginfo info;
        while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
            for (int n = 0; n < 2; n++)
                if (info.ssi_signo == SIGUSR1)
                    servers[n].quick = 0, changed(&servers[n]);
                else if (info.ssi_signo == SIGUSR2)
                    replace(&servers[n]);
        reap(pasta);
        if (fds[0].revents & POLLHUP) {
            /* Whoever is about to use the namespace holds the lock, and then the pipe's end. */
            int fd = open(lock, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (fd >= 0)
                flock(fd, LOCK_EX);
            struct pollfd again = {LIFE, 0, 0};
            poll(&again, 1, 0);
            if (again.revents & POLLHUP) {
                if (fd >= 0)
                    forget_bridges(directory);
                return 0;
            }
            if (fd >= 0)
                close(fd);
        }
    }
}
