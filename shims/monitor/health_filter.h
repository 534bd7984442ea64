/* Whether the container's seccomp filter lets the checker do its work. Part of health.h.
 *
 * As with exec the filter belongs to the program that the container has asked for. It is loaded by the checker, once, where the calls that a
 * checker needs are allowed; else by each check just before its program. That needs no_new_privs where the container has not set it:
 * whoever may load a filter without would have to be privileged until then, in sight of the container.
 */
#include <linux/audit.h>

#if defined __x86_64__
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined __riscv
#define OUR_ARCH AUDIT_ARCH_RISCV64
#elif defined __s390x__
#define OUR_ARCH AUDIT_ARCH_S390X
#elif defined __powerpc64__ && __BYTE_ORDER == __LITTLE_ENDIAN
#define OUR_ARCH AUDIT_ARCH_PPC64LE
#else
#define OUR_ARCH 0 /* no filter is known to allow anything: each check loads it */
#endif

/* What a filter says of one call: SECCOMP_RET_*. Of BPF it knows what libseccomp writes; for anything else the answer is KILL. */
static uint32_t filter_run(const struct sock_fprog *filter, const struct seccomp_data *call)
{
    uint32_t a = 0;
    for (size_t at = 0; at < filter->len; at++) {
        const struct sock_filter *step = &filter->filter[at];
        int holds;
        switch (step->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (step->k % 4 || step->k > sizeof *call - 4)
                return SECCOMP_RET_KILL_PROCESS;
            memcpy(&a, (const char *)call + step->k, 4);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= step->k;
            continue;
        case BPF_JMP | BPF_JA:
            at += step->k;
            continue;
        case BPF_RET | BPF_K:
            return step->k;
        case BPF_JMP | BPF_JEQ | BPF_K:
            holds = a == step->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            holds = a > step->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            holds = a >= step->k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            holds = (a & step->k) != 0;
            break;
        default:
            return SECCOMP_RET_KILL_PROCESS;
        }
        at += holds ? step->jt : step->jf;
    }
    return SECCOMP_RET_KILL_PROCESS;
}

static int filter_allows(const struct sock_fprog *filter, int number, uint64_t argument)
{
    struct seccomp_data call = {.nr = number, .arch = OUR_ARCH, .args = {argument}};
    uint32_t says = filter_run(filter, &call) & SECCOMP_RET_ACTION_FULL;
    return OUR_ARCH && (says == SECCOMP_RET_ALLOW || says == SECCOMP_RET_LOG);
}

/* All calls after the filter in checker_become, and those of checker_serve. */
static int filter_lets_us_work(const struct sock_fprog *filter)
{
    static const int needed[] = {
        SYS_ppoll,  SYS_recvfrom,  SYS_sendto,    SYS_pipe2,  SYS_fcntl, SYS_close, SYS_read,    SYS_wait4,         SYS_kill,       SYS_dup3,  SYS_setpgid,
        SYS_prctl,  SYS_setgroups, SYS_setresgid, SYS_capset, SYS_umask, SYS_write, SYS_openat2, SYS_clock_gettime, SYS_exit_group, SYS_fchdir,
        SYS_getcwd, SYS_setresuid, SYS_prlimit64, SYS_execve, SYS_newfstatat,
#ifdef SYS_dup2
        SYS_dup2,
#endif
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!filter_allows(filter, needed[i], 0))
            return 0;
    return filter_allows(filter, SYS_clone, CLONE_PIDFD | SIGCHLD);
}
