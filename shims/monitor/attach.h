/* The attach socket, what its clients ask for, and the container's streams. Part of ../monitor.c. */

static void input_flush(void)
{
    int fd = console_fd >= 0 ? console_fd : stdin_fd;
    while (fd >= 0 && input_at < input_len) {
        ssize_t n = write(fd, input + input_at, (size_t)(input_len - input_at));
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* the container closed its stdin */
        input_at += (int)n;
    }
    input_at = input_len = 0;
    if (input_eof && stdin_fd >= 0) {
        close(stdin_fd);
        stdin_fd = -1;
    }
}

static void health_request(int fd, char what);
static long long journal_last(void);

static void client_read(int index)
{
    ssize_t n = recv(clients[index].fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        /* The starting command went away: nobody will ever write to the container's stdin again unless one attaches. */
        client_drop(index);
        return;
    }
    if (chunk[0] == 'i' && n > 1) {
        memcpy(input, chunk + 1, (size_t)n - 1);
        input_len = (int)n - 1;
        input_at = 0;
        input_flush();
    } else if (chunk[0] == 'e') {
        input_eof = 1;
        input_flush();
    } else if (chunk[0] == 'w' && n == 5 && console_fd >= 0) {
        uint16_t rows, cols;
        memcpy(&rows, chunk + 1, 2);
        memcpy(&cols, chunk + 3, 2);
        struct winsize size = {.ws_row = rows, .ws_col = cols};
        ioctl(console_fd, TIOCSWINSZ, &size);
    } else if (n == 1 && (chunk[0] == 'h' || chunk[0] == 'g')) {
        char what = chunk[0];
        health_request(client_take(index), what);
    }
}

/* The socket is bound through the directory's descriptor, so the length of its path does not matter. */
static void attach_listen(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (listen_fd >= 0)
        close(listen_fd);
    if (run_dir_fd >= 0)
        close(run_dir_fd);
    listen_fd = -1;
    run_dir_fd = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (run_dir_fd < 0)
        return;
    unlinkat(run_dir_fd, "attach", 0);
    listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/attach", run_dir_fd);
    mode_t mask = umask(0177);
    if (bind(listen_fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(listen_fd, 8) < 0)
        note("attach socket");
    umask(mask);
}

/* All who wait: the socket does not block. */
static void attach_accept(void)
{
    int fd;
    while (listen_fd >= 0 && (fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        client_add(fd, 0);
}

/* Reads once; 0: nothing more for now or ever. */
static int stream_read(int stream)
{
    int *fd = console_fd >= 0 ? &console_fd : &stream_fd[stream];
    if (*fd < 0)
        return 0;
    ssize_t n = read(*fd, chunk + 1, CHUNK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) { /* EIO: the last slave of the pty was closed */
        if (fd != &console_fd) {
            close(*fd);
            *fd = -1;
        }
        return 0;
    }
    chunk[0] = stream ? 3 : 2;
    log_chunk(stream, chunk + 1, (size_t)n);
    broadcast(chunk, (int)n + 1);
    return 1;
}
