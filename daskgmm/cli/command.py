"""What the commands share: options, errors in one line, and what they print."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from errno import ENAMETOOLONG
from functools import cached_property, wraps
from typing import Any

import click
from rich.console import Console

from ..config import Config
from ..errors import DaskGMMError, without_credentials
from ..events import Listener, ignore
from ..filesystem.location import public
from ..observers.console import listen_on
from ..text import printable
from .signals import raise_signals

Command = Callable[..., None]

OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace a run that the output directory already holds.")
RESUME = click.option("--resume", is_flag=True, help="Continue an interrupted run; start one if there is none.")
_QUIET = click.option("--quiet", is_flag=True, help="Print errors only.")
_DEBUG = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
_LONG_WORD = re.compile(r"(\S{200})\S{200,}(\S{50})")  # of a message, as a path may be


@dataclass(frozen=True)
class RunFlags:
    """The flags of each command that writes a run."""

    resume: bool
    overwrite: bool
    quiet: bool

    @property
    def start(self) -> dict[str, bool]:
        """What a job does about a run that is there already."""
        return {"overwrite": self.overwrite, "resume": self.resume}

    @cached_property
    def console(self) -> Console:
        """The console that the command prints to, if not quiet."""
        return make_console(self.quiet)

    @contextmanager
    def listen(self, max_iter: int, tol: float | None = None) -> Iterator[Listener]:
        """Give a listener that prints the events of a job; `tol` is what the remaining gain is compared with."""
        with listen_on(self.console, max_iter, tol) as listener:
            yield ignore if self.quiet else listener


def gather(kind: type[Any], name: str) -> Callable[[Command], Command]:
    """Have a command take its options that are fields of a dataclass as one value of this name."""
    names = [field.name for field in fields(kind)]

    def gather_options(command: Command) -> Command:
        @wraps(command)
        def run(**options: Any) -> None:
            value = kind(**{one: options.pop(one) for one in names})
            command(**options, **{name: value})

        return run

    return gather_options


def take_run_flags(command: Command) -> Command:
    """Give a command --resume, --overwrite and --quiet, as one value `flags`."""
    return RESUME(OVERWRITE(_QUIET(gather(RunFlags, "flags")(command))))


def report_errors(command: Command) -> Command:
    """Give a command --debug, and turn its exceptions into one line on stderr and an exit code."""

    @_DEBUG
    @wraps(command)
    def run(*args: Any, debug: bool, **options: Any) -> None:
        try:
            with raise_signals():
                command(*args, **options)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt as error:
            _fail(_with_notes(error, str(error) or "interrupted"), getattr(error, "exit_code", 130), debug)
        except DaskGMMError as error:
            _fail(_with_notes(error, str(error)), error.exit_code, debug)
        except Exception as error:
            if getattr(error, "errno", None) == ENAMETOOLONG:
                _fail(
                    f"{getattr(error, 'filename', None)} is longer than a path can be: choose a shorter one", 2, debug
                )
            message = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
            _fail(_with_notes(error, message), 1, debug)

    return run


def _with_notes(error: BaseException, message: str) -> str:
    return "; ".join([message, *getattr(error, "__notes__", ())])


def _fail(message: str, exit_code: int, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    words = _LONG_WORD.sub(r"\1...\2", without_credentials(message)).split()
    click.echo(f"daskgmm: {printable(' '.join(words))}", err=True)
    sys.exit(exit_code)


def make_console(quiet: bool = False) -> Console:
    """Return a console that prints lines as they are, none if quiet."""
    return Console(quiet=quiet, highlight=False, soft_wrap=True)


def echo(text: str) -> None:
    """Print lines, with nothing in them that acts on a terminal."""
    click.echo("\n".join(map(printable, text.split("\n"))))


def print_directory(console: Console, settings: Config) -> None:
    """Print where the results are."""
    console.print(printable(f"results in {public(settings.output.directory)}"), markup=False)


def report_stop(lines: Iterable[str]) -> None:
    """Say on stderr why a fit stopped before it converged."""
    for line in lines:
        click.echo(f"daskgmm: {line}", err=True)
