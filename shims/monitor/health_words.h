/* What the monitor and its checker tell each other, over a channel of packets and a page that both see. Part of health.h.
 *
 * The monitor orders: 'c' run the check, 's' run the startup check, 'k' kill what runs, 'q' go on alone: run the check again and again,
 * and be silent as long as its result is that of the told one `number` (an order that a newer result has overtaken is void).
 * The checker tells: 'O' + bytes that the check has written, 'S' it runs and takes its time, 'R' it has ended, 'K' it was killed as
 * ordered, 'E' + why the checker gives up. What it has found in silence stands on the board, so that the monitor can read it also while
 * the container is frozen, or after the checker was killed. Nothing that the checker tells is believed to be more than the container's word.
 */
enum { OUTPUT_PART = 4096, BOARD = 120 };

struct order {
    char what;
    uint32_t number, silent;      /* of 'q': the result it answers; how many checks may pass in silence */
    long long interval, patience; /* of 'q': between the end of one and the next; milliseconds */
};

struct told {
    char what, asked; /* asked: that the check was ordered, not begun by the checker alone */
    uint32_t number;
    int status; /* as of wait */
    struct timespec began;
    long long began_ms; /* the same moment, of CLOCK_MONOTONIC */
};

struct board {
    uint32_t count;     /* of all silent results; the last BOARD - 1 of them stand here */
    int child;          /* the process of a check, as long as nobody has taken it back */
    long long ended_ms; /* when the last one ended, of CLOCK_MONOTONIC */
    struct {
        struct timespec began, ended;
    } spans[BOARD];
};

static struct board *board;

/* The checker's: one more result like the last one that was told. */
static void board_note(struct timespec began)
{
    uint32_t count = board->count;
    board->spans[count % BOARD].began = began;
    clock_gettime(CLOCK_REALTIME, &board->spans[count % BOARD].ended);
    board->ended_ms = now_ms();
    __atomic_store_n(&board->count, count + 1, __ATOMIC_RELEASE);
}
