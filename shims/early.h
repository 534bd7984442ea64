/* Namespaces begun before the interpreter starts, for the commands that will need them.
 *
 * newuidmap, newgidmap and a network namespace take 4 ms; the interpreter's own start takes longer and uses one processor. Which
 * ids they are to have depends on the user's subordinate ids, which the Python half works out; it leaves them in the run directory,
 * as numbers. Whoever could write there would gain nothing: no program is named there, newuidmap allows the user's own ids only,
 * and the Python half takes over the namespaces of exactly what it wants, or drops them: see rootless/early.py.
 * Whatever is unusual means: not now. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#define EARLY_FD 200 /* above what --preserve-fds and socket activation pass */

static int is_starting(int argc, char **argv)
{
    int at = argc > 2 && !strcmp(argv[1], "container") ? 2 : 1;
    if (argc <= at + 1 || (strcmp(argv[at], "run") && strcmp(argv[at], "start")))
        return 0;
    for (at++; at < argc; at++)
        if (!strcmp(argv[at], "--help") || !strncmp(argv[at], "--preserve-fd", 13))
            return 0;
    return 1;
}

/* A file that no other user can have put there, or one of the kernel's. Its length, or -1. */
static ssize_t read_own(const char *path, char *text, size_t size)
{
    struct stat info;
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -1;
    if (!fstat(fd, &info) && S_ISREG(info.st_mode) && (info.st_uid == getuid() || info.st_uid == 0) && info.st_nlink == 1 && !(info.st_mode & 022))
        n = read(fd, text, size - 1);
    close(fd);
    if (n >= 0)
        text[n] = 0;
    return n;
}

/* Whether a monitor lives whose user namespace the command will rather join. */
static int can_join(const char *run)
{
    char path[600], text[4096];
    snprintf(path, sizeof path, "%.400s/pyman/userns.json", run);
    if (read_own(path, text, sizeof text) <= 0)
        return 0;
    const char *pid = strstr(text, "\"pid\":");
    snprintf(path, sizeof path, "/proc/%d/stat", pid ? atoi(pid + 6) : 0);
    if (read_own(path, text, sizeof text) <= 0)
        return 0;
    const char *state = strrchr(text, ')');
    return state && state[1] && state[2] != 'Z' && state[2] != 'X';
}

/* newuidmap or newgidmap in `path`, as rootless/namespaces.py looks for it. */
static int find_program(const char *tool, char *path, size_t size)
{
    const char *from = getenv("PATH");
    while (from && *from) {
        size_t length = strcspn(from, ":");
        if (length && length + strlen(tool) + 2 < size) {
            snprintf(path, size, "%.*s/%s", (int)length, from, tool);
            if (access(path, X_OK) == 0)
                return 1;
        }
        from += length + (from[length] == ':');
    }
    return 0;
}

/* The arguments after the descriptors: "maps", newuidmap and its numbers, "--", newgidmap and its numbers. 0 if `text` is anything else. */
static int find_words(char *text, ssize_t used, char **args, int most)
{
    static char uid_program[4096], gid_program[4096];
    int count = 0, groups = 0;
    if (used <= 0 || text[used - 1] || !find_program("newuidmap", uid_program, sizeof uid_program) ||
        !find_program("newgidmap", gid_program, sizeof gid_program))
        return 0;
    args[count++] = (char *)"maps";
    args[count++] = uid_program;
    for (char *word = text; word < text + used; word += strlen(word) + 1) {
        if (count + 3 > most)
            return 0;
        if (!strcmp(word, "--") && !groups++) {
            args[count++] = word;
            args[count++] = gid_program;
        } else if (*word && strspn(word, "0123456789") == strlen(word))
            args[count++] = word;
        else
            return 0;
    }
    args[count] = NULL;
    return groups;
}

static int raise_fd(int fd)
{
    int high = fcntl(fd, F_DUPFD, EARLY_FD);
    close(fd);
    return high;
}

/* Start pyman-namespaces of the package in `package`; "PID:RESULT-FD:LIFE-FD" into `told`, or nothing. */
static void begin_early(int argc, char **argv, const char *package, char *told, size_t size)
{
    static char how[4096], program[4700];
    char *args[300], result_text[16], life_text[16];
    const char *run = getenv("XDG_RUNTIME_DIR");
    int result[2], life[2];
    told[0] = 0;
    if (!run || run[0] != '/' || getuid() == 0 || getuid() != geteuid() || !is_starting(argc, argv))
        return;
    if (getenv("PYMAN_RUNROOT") || getenv("PYMAN_USERNS") || getenv("PYMAN_MAPPER_FD"))
        return;
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            return; /* a pipe must not become the command's output */
    snprintf(program, sizeof program, "%.400s/pyman/namespaces", run);
    ssize_t used = read_own(program, how, sizeof how);
    if (!find_words(how, used, args + 3, 290) || can_join(run))
        return;
    args[0] = (char *)"pyman-namespaces";
    args[1] = result_text;
    args[2] = life_text;
    if (pipe(result))
        return;
    if (pipe(life)) {
        close(result[0]);
        close(result[1]);
        return;
    }
    for (int end = 0; end < 2; end++) {
        result[end] = raise_fd(result[end]);
        life[end] = raise_fd(life[end]);
    }
    snprintf(program, sizeof program, "%.4600s/_native/pyman-namespaces", package);
    snprintf(result_text, sizeof result_text, "%d", result[1]);
    snprintf(life_text, sizeof life_text, "%d", life[0]);
    pid_t pid = result[0] < 0 || result[1] < 0 || life[0] < 0 || life[1] < 0 ? -1 : fork();
    if (pid == 0) {
        char *none[] = {NULL};
        close(result[0]);
        close(life[1]);
        execve(program, args, none);
        _exit(127);
    }
    close(result[1]);
    close(life[0]);
    if (pid > 0)
        snprintf(told, size, "%d:%d:%d", (int)pid, result[0], life[1]);
    else {
        close(result[0]);
        close(life[1]);
    }
}
