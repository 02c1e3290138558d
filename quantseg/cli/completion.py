"""Shell completion: a script for bash, zsh or fish with all commands, their flags, and the words that flags take.

The scripts are plain text without calls of Python, so that a completion takes no time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

CHOICES = {
    "--activation-type": ("uint8", "int8"),
    "--calibrator": ("minmax", "percentile", "entropy", "mse"),
    "--channels": ("RGB", "BGR", "GRAY"),
    "--completion": ("bash", "zsh", "fish"),
    "--effort": ("fast", "balanced", "best"),
    "--format": ("qdq", "qoperator", "channels-last", "web"),
    "--head": ("argmax", "threshold", "multilabel", "labels", "mask-rcnn", "yolo-seg", "query-masks"),
    "--layout": ("NCHW", "NHWC"),
    "--processor": ("exact", "avx2", "sse", "neon", "wasm"),
    "--resize": ("nearest", "bilinear", "bicubic", "lanczos", "box"),
    "--rounding": ("onnxruntime", "onnxruntime-channels-last", "gemmlowp", "half-away", "half-even", "exact"),
    "--runtime": ("onnxruntime", "onnxruntime-web", "openvino", "litert", "litert-reference"),
    "--target": ("portable", "ort-cpu", "ort-web", "openvino", "litert"),
    "--weight-type": ("int8", "uint8", "int4"),
}
"""Flag → the words that it takes; written by hand, so that no table is imported."""
_LONGEST = 72
"""Characters of a description."""


@dataclass(frozen=True)
class Flag:
    """A flag of a command. names: all its words. takes: whether a value follows; of CHOICES, or a file."""

    names: tuple[str, ...]
    text: str
    takes: bool

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it takes; none where it takes anything, or nothing."""
        return CHOICES.get(self.names[0], ())


@dataclass(frozen=True)
class Completed:
    """A command and its flags; the program itself has no name."""

    name: str
    text: str
    flags: tuple[Flag, ...]


def script(shell: str, program: Any) -> str:
    """The completion script of a program, a click group, for one of SHELLS."""
    commands = [_completed(name, command) for name, command in program.commands.items()]
    return SHELLS[shell](_completed("", program), commands)


def _completed(name: str, command: Any) -> Completed:
    """What is completed of a click command. Words of older versions are not."""
    flags = []
    for param in command.params:
        if param.param_type_name == "option" and not param.hidden:
            words = (*param.opts, *param.secondary_opts)
            flags.append(Flag(words, _short(param.help or ""), not param.is_flag))
    flags.append(Flag(("--help", "-h"), "Show what it does and its flags.", takes=False))
    return Completed(name, _short((command.help or "").split("\n\n")[0]), tuple(flags))


def _short(text: str) -> str:
    """The first sentence, cut to its first words where it is long."""
    first = " ".join(text.split()).split(". ")[0].rstrip(".")
    return first if len(first) <= _LONGEST else first[: _LONGEST - 2].rpartition(" ")[0] + " …"


def _words(flags: Iterable[Flag]) -> str:
    return " ".join(word for flag in flags for word in flag.names)


def _bash(program: Completed, commands: list[Completed]) -> str:
    names = [command.name for command in commands]
    choices = [f"        {flag}) words='{' '.join(words)}' ;;" for flag, words in CHOICES.items()]
    flags = [f"            {command.name}) words='{_words(command.flags)}' ;;" for command in commands]
    return "\n".join(
        [
            "# Completion of quantseg for bash.",
            "_quantseg() {",
            "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= word words=",
            "    if [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi",
            "    if [[ $current == = ]]; then current=; fi",
            '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            f"        case $word in {'|'.join(names)}) command=$word; break ;; esac",
            "    done",
            "    case $before in",
            *choices,
            "    esac",
            "    if [[ -z $words ]]; then",
            "        case $command in",
            f"            '') words='{' '.join(names)} {_words(program.flags)}' ;;",
            *flags,
            "        esac",
            "        if [[ -n $command && $current != -* ]]; then words=; fi",
            "    fi",
            "    COMPREPLY=()",
            '    if [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$current")); fi',
            "}",
            "complete -o default -o bashdefault -F _quantseg quantseg",
        ]
    )


def _zsh(program: Completed, commands: list[Completed]) -> str:
    described = [f"        {_quoted(f'{command.name}:{_plain(command.text)}')}" for command in commands]
    cases: list[str] = []
    for command in commands:
        cases += [f"      {command.name})", "        _arguments \\"]
        cases += [f"          {_zsh_flag(word, flag)} \\" for flag in command.flags for word in flag.names]
        cases += ["          '*:file:_files' ;;"]
    return "\n".join(
        [
            "#compdef quantseg",
            "_quantseg() {",
            "  local context state state_descr line",
            "  typeset -A opt_args",
            "  _arguments -C \\",
            *(f"    {_zsh_flag(word, flag)} \\" for flag in program.flags for word in flag.names),
            "    '1: :->command' '*:: :->rest'",
            "  case $state in",
            "    command)",
            "      local -a commands=(",
            *described,
            "      )",
            "      _describe command commands ;;",
            "    rest)",
            "      case $words[1] in",
            *cases,
            "      esac ;;",
            "  esac",
            "}",
            'if [[ $funcstack[1] == _quantseg ]]; then _quantseg "$@"; else compdef _quantseg quantseg; fi',
        ]
    )


def _zsh_flag(word: str, flag: Flag) -> str:
    """What _arguments takes: flags may be given several times."""
    if not flag.takes:
        return _quoted(f"*{word}[{_plain(flag.text)}]")
    values = f"({' '.join(flag.choices)})" if flag.choices else "_files"
    return _quoted(f"*{word}[{_plain(flag.text)}]:value:{values}")


def _plain(text: str) -> str:
    """A text in which nothing is a command to zsh's completion."""
    return "".join(f"\\{letter}" if letter in "[]:\\" else letter for letter in text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish(program: Completed, commands: list[Completed]) -> str:
    lines = ["# Completion of quantseg for fish."]
    for flag in program.flags:
        lines.append(_fish_flag("__fish_use_subcommand", flag))
    for command in commands:
        lines.append(
            f"complete -c quantseg -n __fish_use_subcommand -f -a {command.name} -d {_fish_quoted(command.text)}"
        )
        lines += [_fish_flag(f"__fish_seen_subcommand_from {command.name}", flag) for flag in command.flags]
    return "\n".join(lines)


def _fish_flag(condition: str, flag: Flag) -> str:
    words = " ".join(f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}" for word in flag.names)
    takes = f" -x -a {_fish_quoted(' '.join(flag.choices))}" if flag.choices else " -r -F" if flag.takes else ""
    return f"complete -c quantseg -n {_fish_quoted(condition)} {words}{takes} -d {_fish_quoted(flag.text)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[Completed, list[Completed]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
"""Shell → how its script is written."""
