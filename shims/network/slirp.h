/* slirp.h: slirp4netns started again by a container's monitor. Part of network.c.
 *
 *   pyman-network slirp RUN-DIR PROGRAM ARGV...
 *
 * It learns of its published ports by requests on its socket (RUN-DIR/slirp.sock); RUN-DIR/slirp-ports has one a line. We become
 * slirp4netns, so that it is the monitor's child; a process that the monitor reaps makes the requests once it is ready. If one is
 * refused, slirp4netns ends: half of the ports would look like all of them. */

enum { SLIRP_READY = 9 }; /* the descriptor to which slirp4netns says that it is ready, as network/slirp4netns.py has it */

/* Whether slirp4netns did what the line asks for. */
static int slirp_request(const char *line, size_t length)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "slirp.sock"};
    struct timeval patience = {30, 0};
    char answer[4096];
    size_t got = 0;
    ssize_t n = -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!connect(fd, (struct sockaddr *)&address, sizeof address) && send(fd, line, length, MSG_NOSIGNAL) == (ssize_t)length
        && !shutdown(fd, SHUT_WR))
        while (got < sizeof answer - 1 && (n = recv(fd, answer + got, sizeof answer - 1 - got, 0)) > 0)
            got += (size_t)n;
    close(fd);
    answer[got] = 0;
    return got && !strstr(answer, "\"error\"");
}

static int slirp_ports(int ready, pid_t slirp)
{
    char line[512], byte;
    FILE *file = fopen("slirp-ports", "re");
    if (read(ready, &byte, 1) != 1)
        return 1;
    while (file && fgets(line, sizeof line, file))
        if (!slirp_request(line, strcspn(line, "\n"))) {
            kill(slirp, SIGTERM);
            return 1;
        }
    unlink("slirp-wait");
    return 0;
}

static int slirp(int argc, char **argv)
{
    int ready[2];
    pid_t self = getpid(), pid;
    if (argc < 5 || chdir(argv[2]) || pipe2(ready, O_CLOEXEC))
        return 125;
    unlink("slirp.sock");
    close(open("slirp-wait", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    pid = fork();
    if (pid < 0)
        return 125;
    if (pid == 0) {
        close(ready[1]);
        if (fork() == 0)
            _exit(slirp_ports(ready[0], self));
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    if (dup2(ready[1], SLIRP_READY) < 0)
        return 125;
    execv(argv[3], argv + 4);
    return 127;
}
