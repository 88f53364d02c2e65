"""The commands, and how errors become one message and an exit code.

A command's function is as long as its options: each is declared where typer reads it, once, with its help.
"""

import atexit
import gc
import logging
import sys
from typing import NoReturn

import typer
from rich.console import Console

from redflower.cli.calibrate import calibrate
from redflower.cli.columns import columns
from redflower.cli.demo import demo
from redflower.cli.explore import explore
from redflower.cli.fetch import fetch
from redflower.cli.field import field
from redflower.cli.infer import infer
from redflower.cli.law import law
from redflower.cli.models import cite, models
from redflower.cli.neighbours import neighbours
from redflower.cli.plot import plot
from redflower.cli.prepare import prepare
from redflower.cli.run import run
from redflower.cli.runs import runs
from redflower.cli.sightline import sightline
from redflower.cli.simulate import simulate
from redflower.cli.skymap import sky_map
from redflower.cli.spectra import spectra
from redflower.cli.stops import EXIT_STOPPED, NOTHING_KEPT, stop_was_told
from redflower.cli.surveys import surveys
from redflower.cli.train import train
from redflower.cli.usage import is_empty, is_usage_error, usage_message
from redflower.cli.validate import validate
from redflower.compile_cache import keep_compiled_programs
from redflower.errors import InputError, RedflowerError
from redflower.files import DISK_ERRORS
from redflower.platforms import compute_platform
from redflower.progress import be_quiet, say
from redflower.provenance import VERSION

EXIT_INPUT = 2
#: Options of every command; they may stand before it or behind it.
SAYING = ("--quiet", "-q", "--verbose", "-v")
EVERYWHERE = "With every command: --quiet says errors and results only, --verbose also what is done inside."

app = typer.Typer(
    name="redflower",
    help=(
        "Dust reddening E(B-V) and distance of stars at |b| > 20 deg, from Gaia + Pan-STARRS1 (+ 2MASS) and a "
        "normalising flow of dust-free stars (FLOWER, O'Callaghan et al. 2025).\n\n"
        "All at once: redflower run TABLE OUT. Step by step: prepare RAW STARS --for inference; infer STARS OUT --model MODEL. "
        "Start with: redflower demo."
    ),
    # Not "rich": it would take the units in brackets for markup.
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    demo,
    run,
    simulate,
    fetch,
    spectra,
    prepare,
    train,
    infer,
    runs,
    calibrate,
    validate,
    sightline,
    neighbours,
    field,
    plot,
    explore,
    columns,
    surveys,
    law,
    models,
    cite,
):
    app.command(epilog=EVERYWHERE)(command)
app.command(name="map", epilog=EVERYWHERE)(sky_map)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"redflower {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
    ),
    quiet: bool = typer.Option(
        False, "--quiet", "-q", help="Say errors and results only: no progress, no notes."
    ),
    verbose: bool = typer.Option(
        False, "--verbose", "-v", help="Also say what is done inside, with the time."
    ),
) -> None:
    if quiet and verbose:
        raise InputError("--quiet and --verbose exclude each other.")
    if quiet:
        be_quiet()
        logging.getLogger("redflower").setLevel(logging.ERROR)
    if verbose:
        logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
        logging.getLogger("redflower").setLevel(logging.DEBUG)


def main() -> None:
    """Run the command line; a user's error is one message on stderr and exit code 2."""
    _collect_seldom()
    keep_compiled_programs()
    try:
        code = app(args=_in_front(sys.argv[1:]), standalone_mode=False, prog_name="redflower")
    except RedflowerError as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        code = EXIT_STOPPED
    except (
        typer.Abort
    ) as stop:  # what some versions of typer make of Ctrl-C, and all of a file that ends too soon
        if isinstance(stop.__cause__, EOFError):
            raise stop.__cause__ from None
        code = EXIT_STOPPED
    except (RuntimeError, AssertionError):
        try:
            compute_platform()
        except RedflowerError as error:
            _refuse(str(error))
        raise
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        _refuse(
            f"{error.filename or 'the output'} cannot be written: {error.strerror}. Make room, or write to another disk; then "
            "give the command again."
        )
    except Exception as error:
        if not is_usage_error(error):
            raise
        if is_empty(error):
            sys.exit(EXIT_INPUT)  # the help was shown
        _refuse(usage_message(error))
    if code == EXIT_STOPPED and not stop_was_told():
        say(f"stopped; {NOTHING_KEPT}")
    sys.exit(code if isinstance(code, int) else 0)


def _collect_seldom() -> None:
    """Search seldom for garbage: what is imported and traced stays, and each search through it would cost a new run a second."""
    gc.set_threshold(100_000, 20, 20)
    atexit.register(gc.freeze)


def _in_front(arguments: list[str]) -> list[str]:
    """Move the options of every command in front of it, where typer looks for them."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    said = [one for one in arguments[:end] if one in SAYING]
    return [*said, *(one for one in arguments[:end] if one not in SAYING), *arguments[end:]]


def _refuse(message: str) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {message}", markup=False)
    sys.exit(EXIT_INPUT)
