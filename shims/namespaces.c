/* pyman-namespaces: make (or join) pyman's user namespace and a network namespace in it, and hold both until told to end.
 *
 *   pyman-namespaces RESULT-FD LIFE-FD join FD
 *   pyman-namespaces RESULT-FD LIFE-FD maps NEWUIDMAP ID... -- NEWGIDMAP ID...
 *   pyman-namespaces RESULT-FD LIFE-FD single UID-MAP GID-MAP
 *   pyman-namespaces RESULT-FD LIFE-FD ask FD
 *   pyman-namespaces RESULT-FD LIFE-FD own -          a user namespace alone; the caller writes its maps
 *   pyman-namespaces child PARENT PROGRAM ARGV...     execute PROGRAM, so that it dies with the process PARENT
 *
 * newuidmap, newgidmap and a new network namespace take about 5 ms, most of it waiting; forks of a Python process to do
 * that beside the command would cost as much again. Written to RESULT-FD, once: "n" (both namespaces), "u" (only the user
 * namespace), or "E WHAT ERRNO TEXT". The process ends when the other end of LIFE-FD is closed, whatever ended the command. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int result_fd;

static void put(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) < 0)
        _exit(125); /* the command has gone */
}

static void __attribute__((noreturn)) fail(const char *what, int number, const char *text)
{
    char message[900];
    snprintf(message, sizeof message, "E %s %d %.700s", what, number, text);
    put(result_fd, message);
    _exit(1);
}

static void write_file(pid_t pid, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fail(name, errno, "");
    close(fd);
}

/* newuidmap or newgidmap for `pid`, under way: its stderr. */
static int run_mapper(char **argv, pid_t pid, pid_t *child)
{
    int ends[2];
    char number[16];
    if (pipe2(ends, O_CLOEXEC))
        fail("pipe", errno, "");
    *child = fork();
    if (*child < 0)
        fail("fork", errno, "");
    if (*child == 0) {
        int count = 0;
        while (argv[count])
            count++;
        char **args = calloc((size_t)count + 2, sizeof *args);
        snprintf(number, sizeof number, "%d", (int)pid);
        args[0] = argv[0];
        args[1] = number;
        memcpy(args + 2, argv + 1, (size_t)count * sizeof *args);
        char *env[] = {(char *)"PATH=/usr/bin:/bin", (char *)"LC_ALL=C", NULL};
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        execve(argv[0], args, env);
        dprintf(2, "%s", strerror(errno));
        _exit(127);
    }
    close(ends[1]);
    return ends[0];
}

static void end_mapper(const char *name, pid_t child, int fd)
{
    char text[512];
    size_t used = 0;
    ssize_t n;
    while (used < sizeof text - 1 && (n = read(fd, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = 0;
    int status;
    waitpid(child, &status, 0);
    if (status)
        fail(name, 0, text);
}

/* Write the maps of `pid`, from outside its user namespace. */
static void map(pid_t pid, char **argv)
{
    if (!strcmp(argv[0], "maps")) {
        int at = 1;
        while (argv[at] && strcmp(argv[at], "--"))
            at++;
        argv[at] = NULL;
        pid_t uid_child, gid_child; /* both at the same time */
        int uid_fd = run_mapper(argv + 1, pid, &uid_child), gid_fd = run_mapper(argv + at + 1, pid, &gid_child);
        end_mapper("newuidmap", uid_child, uid_fd);
        end_mapper("newgidmap", gid_child, gid_fd);
    } else if (!strcmp(argv[0], "single")) {
        write_file(pid, "setgroups", "deny");
        write_file(pid, "uid_map", argv[1]);
        write_file(pid, "gid_map", argv[2]);
    } else { /* root's part of pyman writes them */
        char text[256];
        int fd = atoi(argv[1]);
        snprintf(text, sizeof text, "%d", (int)pid);
        put(fd, text);
        ssize_t n = read(fd, text, sizeof text - 1);
        text[n > 0 ? n : 0] = 0;
        if (strcmp(text, "ok"))
            fail("ask", 0, text);
    }
}

/* Says what there is, and keeps it for as long as the command wants. */
static int hold(const char *answer, int life_fd)
{
    char byte;
    put(result_fd, answer);
    close(result_fd);
    return read(life_fd, &byte, 1) < 0;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 125;
    if (!strcmp(argv[1], "child")) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != atoi(argv[2]))
            return 125;
        execv(argv[3], argv + 4);
        perror(argv[3]);
        return 127;
    }
    result_fd = atoi(argv[1]);
    int life_fd = atoi(argv[2]), other = strcmp(argv[3], "join") && strcmp(argv[3], "ask") ? -1 : atoi(argv[4]);
    fcntl(result_fd, F_SETFD, FD_CLOEXEC);
    fcntl(life_fd, F_SETFD, FD_CLOEXEC);
    for (int fd = 3; fd < 256; fd++) /* what the command's caller leaked must not be kept open */
        if (fd != result_fd && fd != life_fd && fd != other)
            close(fd);
    prctl(PR_SET_NAME, "pyman:[ns]", 0, 0, 0);
    if (!strcmp(argv[3], "own")) {
        /* The root of another container may own what is made here, and would have all rights over a process in it. This one was executed in
         * the caller's user namespace: what is closed to all but that one's root stays so. */
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if (unshare(CLONE_NEWUSER))
            fail("unshare", errno, "");
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* new rights may have set it */
        return hold("u", life_fd);
    }
    if (!strcmp(argv[3], "join")) {
        if (setns(other, CLONE_NEWUSER))
            fail("setns", errno, "");
    } else {
        int go[2];
        char byte;
        if (pipe2(go, O_CLOEXEC))
            fail("pipe", errno, "");
        pid_t mapper = fork();
        if (mapper < 0)
            fail("fork", errno, "");
        if (mapper == 0) {
            close(go[1]);
            if (read(go[0], &byte, 1) != 1)
                _exit(1);
            map(getppid(), argv + 3);
            _exit(0);
        }
        if (unshare(CLONE_NEWUSER))
            fail("unshare", errno, "");
        put(go[1], "g");
        int net = unshare(CLONE_NEWNET), status; /* while the maps are written */
        waitpid(mapper, &status, 0);
        if (status)
            return 1; /* the mapper has told */
        return hold(net ? "u" : "n", life_fd);
    }
    return hold(unshare(CLONE_NEWNET) ? "u" : "n", life_fd);
}
