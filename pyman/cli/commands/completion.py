"""`pyman completion`: scripts that ask pyman itself for the candidates. CLI process."""

from __future__ import annotations

import sys

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCRIPTS = {
    "bash": """_pyman() {
    local IFS=$'\\n'
    COMPREPLY=($(pyman __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o default
}
complete -F _pyman pyman
""",
    "zsh": """#compdef pyman
_pyman() {
    local -a found
    found=("${(@f)$(pyman __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[*]}" ]]; then compadd -a found; else _files; fi
}
compdef _pyman pyman
""",
    "fish": """function __pyman_complete
    set -l words (commandline -opc) (commandline -ct)
    pyman __complete -- $words[2..-1] 2>/dev/null
end
complete -c pyman -f -a '(__pyman_complete)'
complete -c pyman -F -n 'test -z "(__pyman_complete)"'
""",
}


def main(opts: Any, args: list[str]) -> int:
    """Print the script for the shell named."""
    if not args or args[0] not in SCRIPTS:
        raise UsageError(f"no completion for {args[0] if args else 'no shell'!r}", "known are bash, zsh and fish", "pyman completion bash")
    sys.stdout.write(SCRIPTS[args[0]])
    return 0
