"""Shell completions, made from the parsers: bash, zsh and fish."""

from __future__ import annotations

from collections.abc import Sequence

from git_replicate.core.names import RUNS_PREFIX
from tools.options import Described, Option

_NOTE = "# Completion of git replicate; made by make pages."
_PREFIX = RUNS_PREFIX.rstrip("/")
_RUNS = f"git for-each-ref --sort=-refname --format='%(refname:lstrip=-1)' {_PREFIX} 2>/dev/null"
_EXPERIMENTS = f"git for-each-ref --format='%(refname:lstrip=2)' {_PREFIX} 2>/dev/null | sed 's,/[^/]*$,,' | uniq"
_NAMES = ("latest", "latest~1")


def bash(commands: Sequence[Described]) -> str:
    """The function that git's own bash completion calls for `git replicate`."""
    return _BASH.format(
        note=_NOTE,
        runs=_RUNS,
        experiments=_EXPERIMENTS,
        names=" ".join(_NAMES),
        commands=" ".join(each.command.name for each in commands),
        cases="\n".join(_bash_case(each) for each in commands),
    )


_BASH = """\
{note}

_git_replicate_runs ()
{{
    printf '%s\\n' {names}
    {runs}
}}

_git_replicate_experiments ()
{{
    {experiments}
}}

_git_replicate ()
{{
    local command="" i options="" valued="" positional="" word
    for ((i = 1; i < cword; i++)); do
        word=${{words[i]}}
        if [ "$word" = replicate ] && [ -z "$command" ]; then
            command=replicate
        elif [ "$command" = replicate ] || [ "${{words[0]##*/}}" = git-replicate -a -z "$command" ]; then
            case $word in -*) ;; *) command=$word; break ;; esac
        fi
    done
    if [ "$i" -ge "$cword" ]; then
        __gitcomp "{commands}"
        return
    fi
    case $command in
{cases}
        *) return ;;
    esac
    case "$positional" in
        command)
            # From the command on, the words are its own.
            for ((i++; i < cword; i++)); do
                case " $valued " in *" ${{words[i]}} "*) i=$((i + 1)); continue ;; esac
                case ${{words[i]}} in --) return ;; -*) ;; *) return ;; esac
            done
            ;;
    esac
    case "$cur" in
        -*) __gitcomp "$options" ;;
        *)
            case "$positional" in
                run) __gitcomp_nl "$(_git_replicate_runs)" ;;
                experiment) __gitcomp_nl "$(_git_replicate_experiments)" ;;
                command | "") ;;
                *) __gitcomp "$positional" ;;
            esac
            ;;
    esac
}}

if declare -F __git_complete > /dev/null; then
    __git_complete git-replicate _git_replicate
fi
"""


def _bash_case(each: Described) -> str:
    flags = [flag for option in each.flags for flag in option.flags if flag != "-h"]
    valued = [flag for option in each.flags if option.value for flag in option.flags]
    lines = [f"        {each.command.name})", f'            options="{" ".join(flags)}"']
    lines.append(f'            valued="{" ".join(valued)}"')
    lines.append(f'            positional="{_positional(each)}"')
    cases = [line for option in each.flags if (line := _bash_value(option))]
    if cases:
        lines += ["            case ${words[cword-1]} in", *cases, "            esac"]
    return "\n".join([*lines, "            ;;"])


def _positional(each: Described) -> str:
    first = each.positionals[0] if each.positionals else None
    if first is None:
        return ""
    return " ".join(first.choices) if first.takes == "choice" else first.takes


def _bash_value(option: Option) -> str:
    if not option.value:
        return ""
    answers = {
        "choice": f'__gitcomp "{" ".join(option.choices)}"; return',
        "run": '__gitcomp_nl "$(_git_replicate_runs)"; return',
        "experiment": '__gitcomp_nl "$(_git_replicate_experiments)"; return',
    }
    if "--experiment" in option.flags:
        return f"                {' | '.join(option.flags)}) {answers['experiment']} ;;"
    # What is not listed is left to the shell, which offers files.
    return f"                {' | '.join(option.flags)}) {answers.get(option.takes, 'return')} ;;"


def zsh(commands: Sequence[Described]) -> str:
    """The function that zsh's completion of git calls."""
    return _ZSH.format(
        note=_NOTE,
        runs=_RUNS,
        experiments=_EXPERIMENTS,
        names=" ".join(_NAMES),
        commands="\n".join(f"    {_zsh_quoted(f'{c.command.name}:{c.command.summary}')}" for c in commands),
        cases="\n".join(_zsh_case(each) for each in commands),
    )


_ZSH = """\
#compdef git-replicate
#description record experiments, and replicate them
{note}

_git_replicate_runs () {{
  local -a runs
  runs=({names} ${{(f)"$({runs})"}})
  _wanted -V runs expl run compadd -a runs
}}

_git_replicate_experiments () {{
  local -a experiments
  experiments=(${{(f)"$({experiments})"}})
  _wanted experiments expl experiment compadd -a experiments
}}

_git-replicate () {{
  local curcontext=$curcontext state line ret=1
  local -a commands
  commands=(
{commands}
  )
  _arguments -C '(-h --help)'{{-h,--help}}'[show help]' '1: :->command' '*:: :->argument' && ret=0
  case $state in
    command)
      _describe -t commands 'git replicate command' commands && ret=0
      ;;
    argument)
      curcontext=${{curcontext%:*}}-$words[1]:
      case $words[1] in
{cases}
      esac
      ;;
  esac
  return ret
}}

_git-replicate "$@"
"""


def _zsh_case(each: Described) -> str:
    words = [_zsh_option(option) for option in each.flags]
    words += [_zsh_positional(option) for option in each.positionals]
    lines = [f"        {each.command.name})", "          _arguments -s -S \\"]
    lines += [f"            {word} \\" for word in words]
    return "\n".join([*lines, "            && ret=0", "          ;;"])


def _zsh_option(option: Option) -> str:
    value = f":{_zsh_plain(option.value)}:{_zsh_action(option)}" if option.value else ""
    about = _zsh_quoted(f"[{_zsh_plain(option.help)}]{value}")
    star = "*" if option.repeated else ""
    if len(option.flags) == 1:
        return f"'{star}'{option.flags[0]}{about}"
    excluded = star or f"({' '.join(option.flags)})"
    return f"'{excluded}'{{{','.join(option.flags)}}}{about}"


def _zsh_positional(option: Option) -> str:
    if option.takes == "command":
        return "'*::command: _normal'"
    return _zsh_quoted(f"{'*' if option.repeated else ''}:{_zsh_plain(option.value)}:{_zsh_action(option)}")


def _zsh_action(option: Option) -> str:
    if option.takes == "choice":
        return f"({' '.join(option.choices)})"
    if "--experiment" in option.flags or option.takes == "experiment":
        return "_git_replicate_experiments"
    return {"run": "_git_replicate_runs", "file": "_files"}.get(option.takes, " ")


def _zsh_plain(text: str) -> str:
    return text.replace("[", "(").replace("]", ")").replace(":", r"\:")


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def fish(commands: Sequence[Described]) -> str:
    """Completions for fish, of `git-replicate`: fish's own completion of git asks those of the program it would run."""
    lines = [
        _NOTE,
        "",
        "function __git_replicate_runs",
        f"    printf '%s\\n' {' '.join(_NAMES)}",
        f"    {_RUNS}",
        "end",
        "",
        "function __git_replicate_experiments",
        f"    {_EXPERIMENTS}",
        "end",
        "",
        "function __git_replicate_command",
        "    set -l words (commandline -opc)",
        "    for word in $words[2..]",
        "        if not string match -q -- '-*' $word",
        "            echo $word",
        "            return",
        "        end",
        "    end",
        "    return 1",
        "end",
        "",
        "function __git_replicate_needs_command",
        "    not __git_replicate_command >/dev/null",
        "end",
        "",
        "function __git_replicate_uses",
        "    contains -- $argv[1] (__git_replicate_command)",
        "end",
        "",
    ]
    for each in commands:
        name = each.command.name
        lines.append(
            f"complete -f -c git-replicate -n __git_replicate_needs_command -a {name} -d {_fish(each.command.summary)}"
        )
    for each in commands:
        lines += ["", *(_fish_option(each, option) for option in each.flags)]
        lines += [line for option in each.positionals if (line := _fish_positional(each, option))]
    return "\n".join(lines) + "\n"


def _fish_option(each: Described, option: Option) -> str:
    files = "" if option.takes == "file" else "-f "
    words = [f"complete {files}-c git-replicate -n '__git_replicate_uses {each.command.name}'"]
    words += [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    values = _fish_values(option)
    if option.takes == "file":
        words += ["-r -F"]
    elif option.value:
        words += [f"-x -a {_fish(values)}" if values else "-x"]
    return " ".join([*words, f"-d {_fish(option.help)}"])


def _fish_positional(each: Described, option: Option) -> str:
    values = _fish_values(option)
    if not values:
        return ""
    return f"complete -f -c git-replicate -n '__git_replicate_uses {each.command.name}' -a {_fish(values)}"


def _fish_values(option: Option) -> str:
    if option.takes == "choice":
        return " ".join(option.choices)
    if "--experiment" in option.flags or option.takes == "experiment":
        return "(__git_replicate_experiments)"
    return "(__git_replicate_runs)" if option.takes == "run" else ""


def _fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
