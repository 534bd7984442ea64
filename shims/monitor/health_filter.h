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

/* All calls after the filter in checker_become, and those of checker_serve, with those of their arguments that are no addresses. */
static int filter_lets_us_work(const struct sock_fprog *filter)
{
    static const struct seccomp_data needed[] = {
        {SYS_clone, OUR_ARCH, 0, {CLONE_PIDFD | SIGCHLD}},
        {SYS_ppoll, OUR_ARCH, 0, {0, 1}},
        {SYS_ppoll, OUR_ARCH, 0, {0, 3}},
        {SYS_recvfrom, OUR_ARCH, 0, {3, 0, sizeof(struct order)}},
        {SYS_sendto, OUR_ARCH, 0, {3, 0, sizeof(struct told), MSG_NOSIGNAL}},
        {SYS_pipe2, OUR_ARCH, 0, {0, O_CLOEXEC}},
        {SYS_fcntl, OUR_ARCH, 0, {4, F_SETFL, O_NONBLOCK}},
        {SYS_read, OUR_ARCH, 0, {4, 0, OUTPUT_PART}},
        {SYS_write, OUR_ARCH, 0, {2}},
        {SYS_close, OUR_ARCH, 0, {4}},
        {SYS_wait4, OUR_ARCH, 0, {2, 0, __WALL}},
        {SYS_kill, OUR_ARCH, 0, {2, SIGKILL}},
        {SYS_setpgid, OUR_ARCH, 0, {0}},
#ifdef SYS_dup2
        {SYS_dup2, OUR_ARCH, 0, {5, 1}},
#endif
        {SYS_dup3, OUR_ARCH, 0, {5, 1}},
        {SYS_prlimit64, OUR_ARCH, 0, {0, RLIMIT_NOFILE}},
        {SYS_prctl, OUR_ARCH, 0, {PR_CAPBSET_DROP}},
        {SYS_prctl, OUR_ARCH, 0, {PR_SET_KEEPCAPS}},
        {SYS_prctl, OUR_ARCH, 0, {PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE}},
        {SYS_prctl, OUR_ARCH, 0, {PR_SET_DUMPABLE}},
        {SYS_prctl, OUR_ARCH, 0, {PR_SET_PDEATHSIG, SIGKILL}},
        {SYS_setgroups, OUR_ARCH, 0, {0}},
        {SYS_setresgid, OUR_ARCH, 0, {0}},
        {SYS_setresuid, OUR_ARCH, 0, {0}},
        {SYS_capset, OUR_ARCH, 0, {0}},
        {SYS_umask, OUR_ARCH, 0, {0}},
        {SYS_openat2, OUR_ARCH, 0, {(uint64_t)AT_FDCWD}},
        {SYS_fchdir, OUR_ARCH, 0, {4}},
        {SYS_getcwd, OUR_ARCH, 0, {0, PATH_MAX}},
        {SYS_newfstatat, OUR_ARCH, 0, {(uint64_t)AT_FDCWD}},
        {SYS_clock_gettime, OUR_ARCH, 0, {CLOCK_REALTIME}},
        {SYS_clock_gettime, OUR_ARCH, 0, {CLOCK_MONOTONIC}},
        {SYS_execve, OUR_ARCH, 0, {0}},
        {SYS_exit_group, OUR_ARCH, 0, {125}},
    };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        uint32_t says = filter_run(filter, &needed[i]) & SECCOMP_RET_ACTION_FULL;
        if (!OUR_ARCH || (says != SECCOMP_RET_ALLOW && says != SECCOMP_RET_LOG))
            return 0;
    }
    return 1;
}
