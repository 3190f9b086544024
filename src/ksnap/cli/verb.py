"""How a function becomes a verb: it gains the options that every verb has, and its errors become exit codes.

A verb's function takes an `Invocation` first; `connected` verbs talk to the server, `local` ones do not.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from ksnap.cli.exits import Exit, exit_for_code
from ksnap.cli.invocation import Invocation, Target
from ksnap.cli.screen import Output, Screen
from ksnap.errors import JobCancelled, KsnapError

P = ParamSpec("P")
Verb = Callable[Concatenate[Invocation, P], None]

_OUTPUT = inspect.Parameter(
    "output",
    inspect.Parameter.KEYWORD_ONLY,
    default=Output.TABLE,
    annotation=Annotated[Output, typer.Option("--output", help="How data is written to stdout.", show_choices=True)],
)
_OUTPUT_SHORT = _OUTPUT.replace(
    annotation=Annotated[
        Output, typer.Option("--output", "-o", help="How data is written to stdout.", show_choices=True)
    ]
)
_TARGET = (
    inspect.Parameter(
        "server",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            str | None,
            typer.Option("--server", metavar="URL", help="Server to talk to; else KSNAP_SERVER or the last login's."),
        ],
    ),
    inspect.Parameter(
        "ca_file",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            Path | None,
            typer.Option("--ca-file", metavar="FILE", help="PEM file of the CA that signed the server's certificate."),
        ],
    ),
    inspect.Parameter(
        "insecure",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, typer.Option("--insecure", help="Do not check the server's certificate: unsafe.")],
    ),
)


def group(summary: str) -> typer.Typer:
    """A group of verbs; alone it shows its help."""
    return typer.Typer(
        help=summary, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False
    )


def connected(app: typer.Typer, name: str) -> Callable[[Verb[P]], Verb[P]]:
    """Register a verb that talks to the server."""
    return _register(app, name, extra=_TARGET)


def local(app: typer.Typer, name: str) -> Callable[[Verb[P]], Verb[P]]:
    """Register a verb that needs no server."""
    return _register(app, name, extra=())


def program(app: typer.Typer, name: str) -> Callable[[Verb[P]], Verb[P]]:
    """Register a program that runs on: it has no data to write, hence no --output."""
    return _register(app, name, extra=(), output=False)


def _register(
    app: typer.Typer, name: str, *, extra: tuple[inspect.Parameter, ...], output: bool = True
) -> Callable[[Verb[P]], Verb[P]]:
    def register(function: Verb[P]) -> Verb[P]:
        own = list(inspect.signature(function).parameters.values())[1:]
        taken = any("-o" in _declarations(each) for each in own)
        parameters = [*own, *extra, *([_OUTPUT if taken else _OUTPUT_SHORT] if output else [])]

        @wraps(function)
        def entry(**given: Any) -> None:
            screen = Screen(given.pop("output", Output.TABLE))
            target = Target(**{each.name: given.pop(each.name) for each in extra})
            _perform(function, screen, target, given)

        entry.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # read by inspect.signature
        entry.__annotations__ = {each.name: each.annotation for each in parameters}
        app.command(name)(entry)
        return function

    return register


def _perform(function: Verb[...], screen: Screen, target: Target, given: dict[str, Any]) -> None:
    """Run one verb; whatever ksnap reports as failed becomes a text and an exit code."""
    invocation = Invocation(screen, target)
    try:
        function(invocation, **given)
    except JobCancelled as error:
        screen.error(error)
        raise typer.Exit(Exit.CANCELLED) from None
    except KsnapError as error:
        screen.error(error)
        raise typer.Exit(exit_for_code(error.code)) from None
    except KeyboardInterrupt:
        screen.note("cancelled")
        raise typer.Exit(Exit.CANCELLED) from None
    finally:
        invocation.close()


def _declarations(parameter: inspect.Parameter) -> tuple[str, ...]:
    """The option names of a parameter written as Annotated[..., typer.Option(...)]."""
    for each in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(each, typer.models.OptionInfo):
            return (str(each.default), *(each.param_decls or ()))
    return ()
