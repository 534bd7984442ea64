/* pyman, pyman-runtime, pyman-quadlet: start the interpreter of this virtual environment without site (-S) and isolated (-I).
 * site and pip's own wrapper scripts cost 3 to 8 ms per command; hot commands need nothing of site-packages. */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "early.h"

static char python[4200], program[4600], early[80];

/* lib/pythonX.Y/site-packages/pyman below the environment. */
static int find_package(const char *root, const char *file)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/lib", root);
    DIR *lib = opendir(path);
    struct dirent *entry;
    int found = 0;
    while (lib && !found && (entry = readdir(lib)))
        if (!strncmp(entry->d_name, "python", 6)) {
            snprintf(program, sizeof program, "%.4000s/lib/%.200s/site-packages/pyman/%s", root, entry->d_name, file);
            found = access(program, R_OK) == 0;
        }
    if (lib)
        closedir(lib);
    return found;
}

int main(int argc, char **argv)
{
    char self[4000];
    signal(SIGCHLD, SIG_DFL); /* a caller that ignores it has the kernel reap his children: ours are waited for */
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0) {
        perror("pyman: /proc/self/exe");
        return 125;
    }
    self[n] = 0;
    const char *called = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    if (strcmp(called, "pyman") && strcmp(called, "pyman-runtime"))
        setenv("PYMAN_CALLED_AS", called, 1);
    const char *file = "__main__.py", *module = "pyman";
    if (!strcmp(called, "pyman-runtime") || strstr(self, "/pyman-runtime"))
        file = "runtime/__main__.py", module = "pyman.runtime";
    else if (!strcmp(called, "pyman-quadlet") || strstr(self, "/pyman-quadlet"))
        file = "systemd/quadlet/__main__.py", module = "pyman.systemd.quadlet";
    *strrchr(self, '/') = 0;
    snprintf(python, sizeof python, "%s/python3", self);
    char *bin = strrchr(self, '/');
    *bin = 0;
    char **args = calloc((size_t)argc + 8, sizeof *args);
    int count = 0;
    args[count++] = python;
    if (find_package(self, file)) {
        if (!strcmp(module, "pyman")) {
            char told[64];
            *strrchr(program, '/') = 0;
            begin_early(argc, argv, program, told, sizeof told);
            strcat(program, "/__main__.py");
            if (told[0]) {
                snprintf(early, sizeof early, "pyman=%s", told);
                args[count++] = (char *)"-X";
                args[count++] = early;
            }
        }
        args[count++] = (char *)"-SI";
        args[count++] = program;
    } else { /* an editable installation: only site knows where the package is */
        args[count++] = (char *)"-I";
        args[count++] = (char *)"-m";
        args[count++] = (char *)module;
    }
    for (int i = 1; i < argc; i++)
        args[count++] = argv[i];
    execv(python, args);
    perror(python);
    return 125;
}
