# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make statements of lines: exceptions with their reasons, and messages, each with the kind that it is of. Pure.

The processes of a service write at once, so that each process's lines are read by themselves. Frames and source lines
of a traceback state nothing. A header such as ``1 validation error for ModelConfig`` is stated by its reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .lines import Level, Line
from .signature import Rank, Section, Signature
from .signatures import SIGNATURES, recognise


@dataclass(frozen=True)
class Statement:
    """What a line states: its place in the journal, the text to quote, the kind and the rank.

    ``signature`` is None for an exception that no kind fits; ``rank`` is None for a line that explains nothing.
    ``request``: the exception is that of one request. ``replaces`` is the place of the header that it explains.
    """

    place: int
    line: Line
    text: str
    signature: Signature | None = None
    rank: Rank | None = None
    request: bool = False
    replaces: int | None = None


_EXCEPTION = re.compile(
    r"^(?P<type>(?:[A-Za-z_]\w*\.)*(?:[A-Za-z_]\w*(?:Error|Exception|Interrupt|Exit|Timeout|Fault|Died|Enabled|Failed)|"
    r"\w*Error_\w+|OutOfResources|StopIteration|BackendCompilerFailed))(?:\((?P<inner>[\w.]+)\))?(?::(?:\s+(?P<reason>.*))?)?$"
)
# An exception in the words of another one, such as InductorError: PermissionError: ...
_INNER = re.compile(r"^[\w.]+: ((?:\w+\.)*\w*(?:Error|Exception): .*)$")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\)")
_FRAME = re.compile(r'^\s+File ".*", line \d+')
_LAST = re.compile(r"^[A-Za-z_][\w.]*(:\s.*)?$")
# The reasons of pydantic's errors: a sentence with its type, indented below the name of a field.
_REASON = re.compile(r"^(Value error|Assertion failed), |\[type=\w+[],]")
_HEADER = re.compile(r"\b\d+ validation errors? for (?P<model>\S+)")
_FIELD = re.compile(r"^[\w.]+$")
# Blocks of lines that report an exception which nobody felt.
_UNFELT = re.compile(r"^Exception ignored (in|on)|^Exception in thread .*(monitor|usage|telemetry|stat)", re.IGNORECASE)
# What only a request can have done.
_REQUEST = re.compile(
    r"maximum context length|longer than the maximum model length|Please reduce the length|"
    r"Exception in ASGI application|BadRequest|"
    r"validation errors? for (\w*Request|ValidatorIterator|\d)|RequestValidationError|VLLMValidationError|"
    r"HTTPException|ClientDisconnect|Error in (preprocessing|applying|processing) .*(prompt|input|template|request)|"
    r"Invalid (base64|image|audio)|is not a multimodal model|At most \d+ \w+\(s\) may be provided",
    re.IGNORECASE,
)
# What a process that is told to end throws last.
_FAREWELL = re.compile(
    r"^(\w+\.)*(KeyboardInterrupt|SystemExit|CancelledError|ContextTerminated|BrokenPipeError|EOFError|GeneratorExit|"
    r"StopIteration|StopAsyncIteration|ProcessLookupError|ConnectionResetError)\b|"
    r"^\S*FileNotFoundError: .*'/(psm_|sem\.|mp-|dev/shm/|tmp/\S*(sock|ipc))|^ChildProcessError|Cannot send a request, "
)
# Words that say only that something else failed: they are worth as much as the engine's word of its death.
_WRAPPER = re.compile(
    r"See (the )?(root cause|stack ?trace|logs?|error)s? \(?(above|for)|"
    r"(stack ?trace|logs?|error message)s? (\(?above\)? )?for (the )?(root|cause|details?|original)|"
    r"[Pp]lease check the (stack ?trace|logs?)|original error|in a background process|failed to be inspected|"
    r"RayTaskError\(|Engine ?DeadError|[Ee]rror executing method|"
    r"Task exception was never retrieved|Failed core proc|TaskGroup|BrokenProcessPool"
)
# A wrapper that names the signal by which the engine's core ended says more than others.
_SIGNAL = re.compile(r": -\d+\}")
# The engine reports the signal that ends it as of nothing grave.
_SIGNALLED = re.compile(r"(received|caught|got) (a )?signal ?[=:]? ?(SIG)?(TERM|INT|HUP|QUIT)\b", re.IGNORECASE)
_KILLED = next(signature for signature in SIGNATURES if signature.kind == "killed")
_DEATH = next(signature for signature in SIGNATURES if signature.kind == "engine_dead")
# What a request can be refused for; it cannot take a GPU away.
_OF_REQUESTS = (Section.MODEL, Section.CONFIGURATION)
# Without these a bare line may be a list of options that are merely set.
_COMPLAINT = re.compile(
    r"(?i)\b(error|exception\w*|fail\w*|cannot|can't|couldn't|could not|unable|not|no|unknown|missing|invalid|must|"
    r"unexpected|\d+ client)\b|\w+NotFound\b"
)
# How many lines after an exception may still belong to its message.
_MESSAGE_LINES = 12


@dataclass
class _Voice:
    """What is known of one process while its lines are read."""

    header: Statement | None = None  # a validation error whose reason is to come
    field_name: str = ""
    source: str = ""  # the last source line of a traceback
    in_traceback: bool = False
    unfelt: bool = False
    request: bool = False
    message: int = 0  # so many of the next lines may belong to the message of an exception
    exception: Statement | None = None

    def forget(self) -> None:
        """The process speaks of something else."""
        self.header, self.exception, self.message = None, None, 0
        self.in_traceback = self.unfelt = self.request = False


def statements(lines: Sequence[Line]) -> list[Statement]:
    """Return what the lines state, in their order; a header whose reason came is left out."""
    voices: dict[str, _Voice] = {}
    stated = [_state(place, line, voices.setdefault(line.process, _Voice())) for place, line in enumerate(lines)]
    found = [statement for statement in stated if statement is not None and statement.rank is not None]
    explained = {statement.replaces for statement in found}
    return [statement for statement in found if statement.place not in explained]


def _state(place: int, line: Line, voice: _Voice) -> Statement | None:
    """Return the statement of a line, and keep what the next lines of the process need."""
    if line.level is Level.BENIGN and _SIGNALLED.search(line.message):
        return Statement(place, line, line.message, _KILLED, Rank.TOLD)
    if _is_context(line, voice):
        return None
    after_traceback, voice.in_traceback = voice.in_traceback, False
    if _REASON.search(line.message):
        return _reason(place, line, voice)
    if _EXCEPTION.match(line.text) or (after_traceback and _LAST.match(line.text)):
        return _raised(place, line, voice)
    continued = _continued(place, line, voice)
    is_statement = continued is None and (not line.indented or line.message.startswith("what():"))
    return _spoken(place, line, voice) if is_statement else continued


def _is_context(line: Line, voice: _Voice) -> bool:
    """Whether a line only leads to others; what it says of them is kept."""
    message = line.message
    if _TRACEBACK.search(line.text):
        voice.in_traceback, voice.source, voice.message = True, "", 0
    elif _UNFELT.match(message):
        voice.unfelt = True
    elif line.level is Level.BENIGN and message:
        voice.forget()
    elif voice.in_traceback and line.indented:
        voice.source = voice.source if set(message) <= set("^~ ") or _FRAME.match(line.text) else message
    elif voice.in_traceback and voice.unfelt and message:
        voice.forget()
    elif voice.header is not None and _FIELD.match(message):
        voice.field_name = message
    else:
        return not message
    return True


def _raised(place: int, line: Line, voice: _Voice) -> Statement:
    message, weight = line.message, line.message
    inner = _INNER.match(message)
    if inner and recognise(inner[1], raised=True):
        weight = inner[1]
    if ":" not in message and voice.source:
        # An exception without words: the source line that threw it is all there is.
        weight = message if recognise(message, raised=True) else f"{message}: {voice.source}"
        message = f"{message} ({voice.source})"
    statement = _weighed(place, line, message, weight, raised=True)
    statement = replace(statement, request=statement.request or voice.request)
    header = _HEADER.search(line.message)
    voice.header = statement if header else None
    voice.field_name, voice.source = "", ""
    voice.message = _MESSAGE_LINES
    voice.exception = statement
    return statement


def _reason(place: int, line: Line, voice: _Voice) -> Statement:
    """The reason of a validation error stands for its header."""
    message = line.message
    text = message if message.startswith(("Value error", "Assertion failed")) else f"{voice.field_name}: {message}"
    statement = _weighed(place, line, text.removeprefix(": "), message, raised=True)
    if voice.header is None:
        return statement
    return replace(statement, request=voice.header.request or statement.request, replaces=voice.header.place)


def _continued(place: int, line: Line, voice: _Voice) -> Statement | None:
    """A further line of an exception's message counts where the exception itself is of no kind."""
    if not voice.message or voice.exception is None or voice.exception.signature is not None:
        return None
    voice.message -= 1
    statement = _weighed(place, line, line.message, line.message, raised=True)
    if statement.signature is None or statement.signature.general or statement.request:
        return None
    voice.message = 0
    return statement


def _spoken(place: int, line: Line, voice: _Voice) -> Statement | None:
    """A message that is no exception."""
    if _REQUEST.search(line.message):
        voice.request = True
    elif line.level is Level.ERROR:
        voice.request = False
    statement = _weighed(place, line, line.message, line.message, raised=line.level is Level.ERROR)
    signature = statement.signature
    of_options = signature is not None and signature.section in _OF_REQUESTS and line.level is Level.BARE
    return None if signature is None or (of_options and not _COMPLAINT.search(line.message)) else statement


def _weighed(place: int, line: Line, text: str, message: str, raised: bool) -> Statement:
    known = recognise(message, raised)
    named = known is not None and not known[0].general
    request = _REQUEST.search(message) is not None and (known is None or known[0].section in _OF_REQUESTS)
    if _FAREWELL.search(message) and not named:
        return Statement(place, line, text, request=request)
    signature, rank = known if known is not None else (None, Rank.SYMPTOM)
    if rank is Rank.SYMPTOM and _WRAPPER.search(message) and not _SIGNAL.search(message):
        signature, rank = _DEATH, Rank.WRAPPER
    return Statement(place, line, text, signature, rank, request)
