"""Why a run ended: one sentence, its proof and what to do, from the facts kept of it. Pure. CLI process.

A run: started, finished (seconds since 1970), exit_code, signal, oom, facts (run_end.FACTS), asked (the
events of its time that tell of a wish to end it, oldest first), stopped_by, stopped_who, stopped_with (the words of the command), stopped_facts (Signal, Timeout, Deaf, At), note, timeout (--timeout, 0: none),
init (--init; None: not known), silent (there is no log to look at), tail (its last lines, if the log is there), room (bytes free in the store, -1: not known), denied (the system calls that the kernel's
log tells of; None: it may not be read), host (the container whose pid namespace it shared, and that ended with it).
"""

from __future__ import annotations

from pyman.engine import why_wishes
from pyman.engine.why_wishes import signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Run = dict[str, Any]
    Wish = dict[str, Any]
    # A word for programs, the sentence without its subject and full stop, the proof, what to do.
    Cause = tuple[str, str, list[str], str]

_NO_ROOM = 64 << 10  # bytes: too few for an event and a state
_MUCH_ROOM = 1 << 30  # bytes: it is not the store that is full
_QUOTA = ("Disk quota exceeded", "EDQUOT")
_FULL = ("No space left on device", "ENOSPC", *_QUOTA)
# What a signal that the program brought upon itself means: (kind, sentence, hint).
_OWN = {
    4: ("illegal-instruction", "executed an instruction that this processor does not have", "use an image built for this processor"),
    6: ("abort", "aborted itself: an assertion or a check of its own failed", "its last lines say more"),
    7: ("bus-error", "touched memory that has no room behind it: a truncated file, or a full /dev/shm", "try a larger --shm-size"),
    8: ("arithmetic", "divided by zero", ""),
    11: ("segfault", "crashed: it touched memory that is not its own", ""),
    13: ("broken-pipe", "wrote into a pipe whose reader had gone", ""),
    24: ("cpu-limit", "used up its limit of processor time", "raise --ulimit cpu"),
    25: ("file-size-limit", "wrote a file beyond its limit of size", "raise --ulimit fsize"),
}


def amount(number: float) -> str:
    """Bytes in powers of 1024: 64 MiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.4g} {unit}"
        number /= 1024
    return ""


def explain(run: Run) -> Cause:
    """The cause of a run's end."""
    found = None
    for look in (_lost, _memory, _asked, _signalled, _disk, _code):
        found = found or look(run)
    kind, sentence, proof, hint = found or ("", "", [], "")
    if why_wishes.idle(run):
        who = f" ({run['stopped_who']})" if run.get("stopped_who") else ""
        proof = [*proof, f"then pyman {run.get('stopped_with') or 'stop'}{who} kept it from being started again"]
    return (kind, sentence, proof, "" if run.get("silent") and "last lines" in hint else hint)


def _lost(run: Run) -> Cause | None:
    if not run.get("note") or run["signal"] or run.get("facts", {}).get("OOMKills"):
        return None
    if "restarted" in run["note"]:
        return ("reboot", "ended with the machine, which was restarted", ["the boot id is another one"], "")
    if "monitor" in run["note"]:
        if run.get("cut"):
            proof = ["the log of events has no start of this run, and its monitor left no exit record"]
            return ("start-killed", "was not started wholly: the command that started it was killed", proof, "start it again")
        proof = ["its monitor left no exit record, and neither it nor the container's process is alive"]
        return ("monitor-killed", "ended when its monitor was killed from the host, and its exit code with it", proof, "")
    return None


def _memory(run: Run) -> Cause | None:
    kills = int(run["facts"].get("OOMKills") or 0)
    if not run["oom"] and not kills:
        return None
    limit, peak = int(run["facts"].get("MemoryMax") or -1), int(run["facts"].get("MemoryPeak") or -1)
    proof = []
    if kills:
        proof.append(f"memory.events of its control group counted {kills} out-of-memory kill{'s' if kills > 1 else ''}")
    else:
        proof.append("the kernel counted an out-of-memory kill in the control group it shares, and SIGKILL ended it")
    if limit >= 0:
        proof.append(f"its limit was {amount(limit)}" + (f", its peak {amount(peak)}" if peak >= 0 else ""))
    cause = f"because it used more memory than its limit of {amount(limit)}" if limit >= 0 else "because memory ran out"
    hint = "give it a larger --memory, or make the program use less" if limit >= 0 else "the machine, or the group around it, had no more"
    if run["oom"]:
        return ("oom", f"was killed by the kernel {cause}", proof, hint)
    return ("oom-child", f"ended with exit code {run['exit_code']} after the kernel had killed one of its processes {cause}", proof, hint)


def _asked(run: Run) -> Cause | None:
    """Somebody wanted it to end, by pyman."""
    if why_wishes.killed(run):
        return _killed(run)
    last = why_wishes.last(run)
    if last is None:
        return None
    verb, who = why_wishes.whose(last)
    name = signal_name(why_wishes.signal_of(last))
    if last["Status"] == "kill":
        return _by_kill(last)
    kind = _kind(last)
    if last.get("Deaf"):
        sentence = f"ended by itself with exit code {run['exit_code']} while {verb}{who} waited: it has no handler for {name}"
        return (kind, sentence, _said(last), "")
    return (kind, f"was stopped by {verb}{who}: it heeded {name} and ended with exit code {run['exit_code']}", _said(last), "")


def _kind(wish: Wish) -> str:
    return "health" if why_wishes.by_check(wish) else "stopped"


def _by_kill(wish: Wish) -> Cause:
    verb, who = why_wishes.whose(wish)
    name = signal_name(why_wishes.signal_of(wish))
    if why_wishes.by_check(wish):
        return ("health", f"was killed with {name}, as {verb} asks{who}", _said(wish), "")
    return ("killed", f"was killed by {verb} with {name}{who or ' (by whom is not known)'}", _said(wish), "")


def _killed(run: Run) -> Cause | None:
    """SIGKILL has ended it, and somebody has sent that by pyman."""
    sender, others = why_wishes.killer(run)
    if sender is None:
        return None
    if sender["Status"] == "kill":
        return _by_kill(sender)
    verb, who = why_wishes.whose(sender)
    kind, name, proof = _kind(sender), signal_name(why_wishes.signal_of(sender)), _said(sender)
    proof += [f"{''.join(why_wishes.whose(other))} had asked for its end, too" for other in others]
    timeout, stopped = sender.get("Timeout"), f"was stopped by {verb}{who}"
    if timeout == 0:
        why = f"it has no handler for {name}, and --stop-smart does not wait" if sender.get("Deaf") else "no time to end was given"
        return (kind, f"{stopped} with SIGKILL, for {why}", proof, "")
    if name == "SIGKILL":
        return (kind, f"{stopped} with SIGKILL, its stop signal", proof, "")
    length = f" {timeout} second{'s' if timeout != 1 else ''}" if timeout else ""
    if sender.get("Deaf"):
        proof.append(f"it did not heed {name}" + (f" within{length}" if length else ""))
        hint = "its first process has no handler for the signal: use --init, or --stop-signal"
        return (kind, f"{stopped}: it did not heed {name}, so SIGKILL followed", proof, hint)
    # It has a handler, or waits for the signal; of a health check's stop nobody has looked.
    hint = "give it more time to end: --stop-timeout"
    if why_wishes.by_check(sender):
        hint += f"; or, if its first process has no handler for {name}, use --init, or --stop-signal"
    elif verb.split()[-1] in ("stop", "restart", "rm"):
        hint += f", or --time of {verb}"
    return (kind, f"{stopped}: it had not ended{length + ' after' if length else ' by'} {name}, so SIGKILL followed", proof, hint)


def _before(run: Run) -> tuple[list[str], list[str]]:
    """(what had asked it to end before another's SIGKILL did end it, what may have sent that one)."""
    others, doubts = [], []
    for stop in why_wishes.killer(run)[1]:
        verb, who = why_wishes.whose(stop)
        if why_wishes.doubtful(run, stop):
            doubts.append(f"{verb}{who} had asked it to end, and its SIGKILL was due before: it may have been that one, if it was sent")
        else:
            how = f"had sent {signal_name(why_wishes.signal_of(stop))}" if stop.get("Timeout") else "had asked it to end"
            others.append(f"{verb}{who} {how} before, and this SIGKILL is not its")
    return others, doubts


def _said(event: dict[str, Any]) -> list[str]:
    return [f"the log of events has its {event['Status']} at {event['Time'][:19]}Z"] if event.get("Time") else []


def _signalled(run: Run) -> Cause | None:
    number = run["signal"]
    if not number:
        return None
    name = signal_name(number)
    proof = [f"its first process was ended by {name}"]
    if number == 31:
        hint = "find the call with strace, or allow it in a profile: --security-opt seccomp=FILE"
        if run.get("denied"):
            proof.append(f"the kernel's log names the system call {', '.join(run['denied'])}")
            hint = "if it may have the call, allow it in a profile: --security-opt seccomp=FILE"
        elif run.get("denied") is None:
            proof.append("which call it was stands in the kernel's log, which you may not read (as root: dmesg)")
        return ("seccomp", "was killed by the kernel for a system call that its seccomp profile forbids (SIGSYS)", proof, hint)
    if number in _OWN:
        kind, sentence, hint = _OWN[number]
        return (kind, f"{sentence} ({name})", proof, hint)
    if run["exit_code"] == -1:
        length = f" of {run['timeout']} second{'s' if run['timeout'] != 1 else ''}" if run.get("timeout") else ""
        return ("timeout", f"was killed at the end of its --timeout{length}", [*proof, *_before(run)[0]], "")
    if number == 9 and run["facts"].get("CPULimit"):
        seconds = int(run["facts"]["CPULimit"])
        proof.append(f"it had used {seconds} second{'s' if seconds != 1 else ''} of processor time, its limit")
        return ("cpu-limit", "was killed by the kernel: it used up its limit of processor time (SIGKILL)", proof, _OWN[24][2])
    if number == 9 and run.get("host"):
        sentence = f"was killed by the kernel when container {run['host']} ended, whose pid namespace it shared"
        return ("shared-pid", sentence, proof, f"pyman why {run['host']} tells why that one ended")
    if number == 9 and not run.get("asked") and 0 <= run["room"] < _NO_ROOM:
        proof += [f"the store has {amount(run['room'])} free now: who asks for an end cannot be noted there"]
        return ("killed", "was killed with SIGKILL: by whom is not known, since the disk is full", proof, "make room: pyman image prune -a")
    if number == 9:
        before, doubts = _before(run)
        if doubts:
            return ("killed", "was killed with SIGKILL: by whom is not known", [*proof, *before, *doubts], "")
        proof += [*(before or ["no pyman command asked for it"]), "the kernel counted no out-of-memory kill of it"]
        return ("killed-from-host", "was killed with SIGKILL from outside: by a process of the host, not by pyman", proof, "")
    proof.append("no pyman command asked for it")
    return ("signalled", f"was ended by {name}, sent by a process of the host or by the container itself", proof, "")


def _disk(run: Run) -> Cause | None:
    if run["exit_code"] == 0:
        return None
    line = next((line for line in reversed(run["tail"]) if any(word in line for word in _FULL)), "")
    full = run["facts"].get("LogLost") is True
    if not line and not full:
        return None
    proof = [f"it wrote: {line.strip()}"] if line else []
    if full:
        proof.append("its log could not be written for want of room")
    if run["room"] >= 0:
        proof.append(f"the store has {amount(run['room'])} free now")
    sentence = f"ended with exit code {run['exit_code']} when a disk was full"
    hint = "free some room: pyman image prune, or look with df at its volumes"
    if not full and run["room"] >= _MUCH_ROOM and not any(word in line for word in _QUOTA):
        hint = "look with df which file system of the container is full: a volume, a --tmpfs, or /dev/shm (--shm-size)"
    return ("disk-full", sentence, proof, hint)


def _code(run: Run) -> Cause:
    code = run["exit_code"]
    proof = ["its first process ended by itself"]
    if run["tail"] and code:
        proof.append(f"its last line: {run['tail'][-1].strip()}")
    if run["facts"].get("LogLost") == "limit":
        proof.append("its log has reached the limit of file sizes (ulimit -f) of who started it: later lines are not in it")
    elif run["facts"].get("LogLost") == "journal":
        proof.append("the journal has not taken all of its lines")
    if code == 0:
        return ("success", "ended by itself with exit code 0: it had done its work", proof, "")
    if code == 127:
        return ("not-found", "ended with exit code 127: a shell in it did not find a command", proof, "look at its last lines")
    if code == 126:
        return ("not-executable", "ended with exit code 126: a shell in it could not execute a command", proof, "look at its last lines")
    if 128 < code <= 192:
        who = {None: "a shell or an init (--init) says", False: "a shell says", True: "its init (--init) or a shell says"}[run.get("init")]
        sentence = f"ended with exit code {code}: {who} so of a program that {signal_name(code - 128)} has ended"
        return ("child-signalled", sentence, proof, "")
    return ("error", f"ended by itself with exit code {code}", proof, "its last lines may say more: pyman logs")
