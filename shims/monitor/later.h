/* A restart that failed because something had run short (a full disk, too many processes): this process, which was the monitor and
 * then the command that failed, waits longer and tries again. It is small, like a monitor, and keeps its pid, by which it can be ended.
 * Part of monitor.c.
 *
 *   pyman-monitor --later MILLISECONDS ALIVE-FILE STOPPED-FILE -- COMMAND... */
static int later_main(char **argv)
{
    static const int unheard[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    prctl(PR_SET_NAME, "pyman:[restart]", 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    for (size_t i = 0; i < sizeof unheard / sizeof *unheard; i++)
        signal(unheard[i], SIG_IGN);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    exit_file = argv[3]; /* gone: the container was removed */
    stopped_file = argv[4];
    start_again(argv + 6, atol(argv[2]));
    return 125;
}
