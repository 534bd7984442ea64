/* The journal as a log: one entry of systemd-journald's native protocol for each line. Part of ../monitor.c.
 *
 * What was read waits in a queue until the journal's socket takes it; while the queue is full the container's pipes are not read, so that
 * a slow journal makes the container slower and loses nothing. A journal that takes nothing at all for JOURNAL_PATIENCE (its socket gone,
 * or nobody behind it) must not stop a container for ever: from then on lines are dropped and counted until it answers again.
 */
enum { JOURNAL_LINE = 16384, JOURNAL_QUEUE = 8 * CHUNK, JOURNAL_PATIENCE = 30000, JOURNAL_LAST_PATIENCE = 10000, JOURNAL_AGAIN = 100 };

static const char *const journal_address = "/run/systemd/journal/socket";
static char *journal_head; /* the fields that all entries have */
static size_t journal_head_len;
static int journal_fd = -1;
static char journal_queue[JOURNAL_QUEUE];
static size_t journal_at, journal_len; /* of the queue: what is to be sent next, and its end */
static char journal_begun[2][JOURNAL_LINE]; /* of each stream: the beginning of a line whose end is still to come */
static size_t journal_begun_len[2];
static long long journal_stuck = -1;   /* since when nothing is taken */
static long long journal_sent_us;      /* when the last entry was sent */
static unsigned long long journal_dropped; /* lines */

struct journal_piece {
    int stream;
    unsigned length;
};

/* NAME=VALUE becomes a field with the length before its value: it may hold anything. */
static void journal_field(const char *text)
{
    const char *equals = strchr(text, '=');
    size_t name = equals ? (size_t)(equals - text) : 0;
    uint64_t length = equals ? strlen(equals + 1) : 0;
    char *more = equals ? realloc(journal_head, journal_head_len + name + length + 10) : NULL;
    if (!more)
        return;
    journal_head = more;
    more += journal_head_len;
    memcpy(more, text, name);
    more[name] = '\n';
    for (int i = 0; i < 8; i++)
        more[name + 1 + (size_t)i] = (char)(length >> (8 * i));
    memcpy(more + name + 9, equals + 1, length);
    more[name + 9 + length] = '\n';
    journal_head_len += name + length + 10;
}

static int journal_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", journal_address);
    if (journal_fd >= 0 && connect(journal_fd, (struct sockaddr *)&address, sizeof address) == 0)
        return 1;
    if (journal_fd >= 0)
        close(journal_fd);
    journal_fd = -1;
    return 0;
}

/* 1: sent, or of no use to try again; 0: later. */
static int journal_send(struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    struct timespec now;
    for (int try = 0; try < 2; try++) {
        if (journal_fd < 0 && !journal_open())
            return 0;
        clock_gettime(CLOCK_REALTIME, &now);
        if (sendmsg(journal_fd, &message, MSG_NOSIGNAL) >= 0) {
            journal_sent_us = now.tv_sec * 1000000LL + now.tv_nsec / 1000;
            journal_stuck = -1;
            return 1;
        }
        if (errno == EMSGSIZE) {
            journal_dropped++;
            log_lost = ",\"LogLost\":\"journal\"";
            return 1;
        }
        if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EINTR)
            return 0;
        close(journal_fd); /* the socket was made anew, or is gone */
        journal_fd = -1;
    }
    return 0;
}

static struct iovec journal_text(const char *text)
{
    return (struct iovec){(char *)text, strlen(text)};
}

/* Readers know this entry by its priority: it is not the container's. */
static int journal_tell_loss(void)
{
    char text[160];
    snprintf(text, sizeof text, "PRIORITY=4\nMESSAGE=%llu lines could not be written to the journal and were lost\n", journal_dropped);
    struct iovec parts[2] = {{journal_head, journal_head_len}, journal_text(text)};
    if (!journal_send(parts, 2))
        return 0;
    journal_dropped = 0;
    return 1;
}

static int journal_entry(int stream, const char *data, size_t length, int whole)
{
    uint64_t size = journal_begun_len[stream] + length;
    char number[8];
    for (int i = 0; i < 8; i++)
        number[i] = (char)(size >> (8 * i));
    if (journal_dropped && !journal_tell_loss())
        return 0;
    struct iovec parts[6] = {
        {journal_head, journal_head_len},
        journal_text(stream ? "PRIORITY=3\nMESSAGE\n" : "PRIORITY=6\nMESSAGE\n"),
        {number, sizeof number},
        {journal_begun[stream], journal_begun_len[stream]},
        {(char *)data, length},
        journal_text(whole ? "\n" : "\nCONTAINER_PARTIAL_MESSAGE=true\n"),
    };
    return journal_send(parts, 6);
}

static void journal_drop(void)
{
    struct journal_piece piece;
    while (journal_at < journal_len) {
        memcpy(&piece, journal_queue + journal_at, sizeof piece);
        journal_at += sizeof piece;
        for (size_t i = 0; i < piece.length; i++)
            journal_dropped += journal_queue[journal_at + i] == '\n';
        journal_at += piece.length;
    }
    journal_at = journal_len = 0;
    journal_begun_len[0] = journal_begun_len[1] = 0;
    log_lost = ",\"LogLost\":\"journal\"";
}

/* Nothing was taken; whoever has waited long enough goes on without the journal. */
static void journal_wait_or_drop(int patience)
{
    if (journal_stuck < 0)
        journal_stuck = now_ms();
    if (now_ms() - journal_stuck >= patience)
        journal_drop();
}

/* Sends what is whole, or longer than a line may be. */
static void journal_flush(int patience)
{
    struct journal_piece piece;
    while (journal_at < journal_len) {
        memcpy(&piece, journal_queue + journal_at, sizeof piece);
        char *data = journal_queue + journal_at + sizeof piece;
        size_t room = JOURNAL_LINE - journal_begun_len[piece.stream];
        char *end = memchr(data, '\n', piece.length);
        size_t part = end ? (size_t)(end - data) : piece.length;
        int whole = end && part <= room;
        if (!end && part < room) {
            memcpy(journal_begun[piece.stream] + journal_begun_len[piece.stream], data, part);
            journal_begun_len[piece.stream] += part;
            journal_at += sizeof piece + part;
            continue;
        }
        part = part < room ? part : room;
        if (!journal_entry(piece.stream, data, part, whole)) {
            journal_wait_or_drop(patience);
            return;
        }
        journal_begun_len[piece.stream] = 0;
        part += (size_t)whole;
        piece.length -= (unsigned)part;
        journal_at += piece.length ? part : sizeof piece + part;
        if (piece.length)
            memcpy(journal_queue + journal_at, &piece, sizeof piece);
    }
    journal_at = journal_len = 0;
}

static int journal_room(void)
{
    return JOURNAL_QUEUE - (journal_len - journal_at) >= CHUNK + sizeof(struct journal_piece);
}

/* Milliseconds until the journal is tried again; -1: there is nothing to send, or poll tells when. */
static long long journal_due(void)
{
    return journal_at == journal_len ? -1 : now_ms() + JOURNAL_AGAIN;
}

static void journal_wait(int patience)
{
    struct pollfd one = {journal_fd, POLLOUT, 0};
    poll(&one, journal_fd >= 0, JOURNAL_AGAIN);
    journal_flush(patience);
}

static void journal_add(int stream, const char *data, size_t length)
{
    struct journal_piece piece = {stream, (unsigned)length};
    while (!journal_room())
        journal_wait(JOURNAL_LAST_PATIENCE); /* at the container's end only: else nothing is read without room */
    if (JOURNAL_QUEUE - journal_len < length + sizeof piece) {
        memmove(journal_queue, journal_queue + journal_at, journal_len - journal_at);
        journal_len -= journal_at;
        journal_at = 0;
    }
    memcpy(journal_queue + journal_len, &piece, sizeof piece);
    memcpy(journal_queue + journal_len + sizeof piece, data, length);
    journal_len += sizeof piece + length;
    journal_flush(JOURNAL_PATIENCE);
}

/* The container has ended: what is left goes out, lines without an end too. */
static void journal_end(void)
{
    while (journal_at < journal_len)
        journal_wait(JOURNAL_LAST_PATIENCE);
    for (int stream = 0; stream < 2; stream++)
        while (journal_begun_len[stream] && !journal_entry(stream, "", 0, 0)) {
            journal_wait_or_drop(JOURNAL_LAST_PATIENCE);
            struct pollfd one = {journal_fd, POLLOUT, 0};
            poll(&one, journal_fd >= 0, JOURNAL_AGAIN);
        }
}

/* When the last entry was sent, in microseconds since 1970; 0: none was. */
static long long journal_last(void)
{
    return journal_sent_us;
}
