"""Exit codes shared by all commands (podman-run(1), "Exit Status"). Any process."""

OK = 0
ERROR = 1  # commands other than run/create/exec/start: an object was not found or an action failed
PYMAN_FAILED = 125  # pyman itself failed
CANNOT_INVOKE = 126  # the container's command exists and cannot be run
NOT_FOUND = 127  # the container's command was not found
EXEC_FAILED = 255  # exec: the container is there, and the command cannot begin in it
SIGNAL_BASE = 128  # 128 + signal number: ended by a signal
