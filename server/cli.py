"""The command line `shortlist`. A command imports what it needs when it runs: `serve` must not load numpy or gRPC."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from server import exit_codes
from server.settings import Settings, SettingsError, load_settings, read_environment, render_settings
from server.text import visible

EXIT_CODES = """Exit codes: 0 ok · 1 a bug of ours · 2 wrong usage or settings · 3 bundle refused · 4 port taken ·
5 start timed out · 8 no server answers · 9 the server refused the request · 10 sample user not found ·
11 the server is not serving."""

app = typer.Typer(
    help=f"Low-latency candidate retrieval: serve bundles, query them, look into them.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[Path | None, typer.Option(help="TOML file with settings.", show_default="none")]
RootOption = Annotated[Path | None, typer.Option(help="Folder that holds the bundles.", show_default="build/bundles")]
BundleArgument = Annotated[
    Path, typer.Argument(help="A version's directory, or a bundle's directory with a CURRENT file.")
]
ITEM_HELP = "a key, or id:NUMBER"
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.callback()
def _options(
    *, debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a bug of ours.")] = False
) -> None:
    del debug  # `main` looks for it: a bug may show before the options are parsed


@app.command()
def serve(
    config: ConfigOption = None,
    bundle_root: RootOption = None,
    bundle_name: Annotated[str | None, typer.Option(help="Which bundle of the root to serve.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 = any free one.", show_default="50051")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; 0 = one per core.", show_default="0")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of /metrics; 0 = any, -1 = none.", show_default="9464")
    ] = None,
    inspector_port: Annotated[
        int | None, typer.Option(help="Port of the inspector's page; 0 = any, -1 = none.", show_default="9465")
    ] = None,
    *,
    print_config: Annotated[bool, typer.Option(help="Print the settings with their origins, and stop.")] = False,
) -> None:
    """Serve a published bundle until SIGTERM; SIGHUP loads the version that CURRENT names by then.

    Settings come from defaults, then the TOML file, then SHORTLIST_* variables, then these options.
    """
    settings = _settings(
        config,
        bundle_root=bundle_root,
        bundle_name=bundle_name,
        host=host,
        port=port,
        workers=workers,
        metrics_port=metrics_port,
        inspector_port=inspector_port,
    )
    if print_config:
        sys.stdout.write(render_settings(settings))
        return
    from server.commands.serve import serve as run_server  # noqa: PLC0415 - see the module's docstring

    raise typer.Exit(run_server(settings))


@app.command()
def query(
    country: Annotated[str, typer.Option(help="Country code as in the bundle, for example FR.")],
    user: Annotated[
        str | None, typer.Option(help="A sample user of the bundle: their timeline is the history.")
    ] = None,
    items: Annotated[str | None, typer.Option(help="History as comma-separated item keys, oldest first.")] = None,
    item_ids: Annotated[str | None, typer.Option(help="History as comma-separated numeric ids, oldest first.")] = None,
    history: Annotated[
        str | None, typer.Option(help=f"History as comma-separated TYPE:ITEM, oldest first; ITEM is {ITEM_HELP}.")
    ] = None,
    similar: Annotated[str | None, typer.Option(help=f"Ask for items like this one instead: {ITEM_HELP}.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many candidates.")] = 10,
    profile: Annotated[str, typer.Option(help="Profile of the server's settings.", show_default="default")] = "",
    merchant: Annotated[list[str] | None, typer.Option(help="Only this merchant; may be repeated.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Only this category; may be repeated.")] = None,
    price: Annotated[str | None, typer.Option(help="Only prices LOW:HIGH, either may be left out.")] = None,
    exclude: Annotated[str | None, typer.Option(help=f"Leave these out, comma-separated: {ITEM_HELP}.")] = None,
    seed: Annotated[str | None, typer.Option(help=f"The item that the user looks at: {ITEM_HELP}.")] = None,
    feature: Annotated[list[str] | None, typer.Option(help="A feature NAME=VALUE; may be repeated.")] = None,
    address: Annotated[str, typer.Option(help="Server to ask.")] = "127.0.0.1:50051",
    bundle_root: Annotated[Path, typer.Option(help="Where --user finds the sample users.")] = Path("build/bundles"),
    timeout: Annotated[float, typer.Option(help="Deadline of the call, seconds.")] = 5.0,
    *,
    include_history: Annotated[bool, typer.Option(help="Allow items of the history in the answer.")] = False,
    explain: Annotated[bool, typer.Option(help="Say for each candidate why it was found.")] = False,
    modules: Annotated[bool, typer.Option(help="Show item_interaction's lists, too.")] = False,
    compare: Annotated[bool, typer.Option(help="Show the answers of all sources side by side.")] = False,
    json: JsonOption = False,
) -> None:
    """Ask a running server for candidates and print them with their titles.

    Without --user, --items, --item-ids and --history the history is empty, and the answer is not personal.
    """
    if sum(given is not None for given in (user, items, item_ids, history, similar)) > 1:
        _fail("give one of --user, --items, --item-ids, --history and --similar", exit_codes.USAGE)
    from server.commands import query as command  # noqa: PLC0415 - see the module's docstring

    question = command.Question(
        country=country,
        user=user,
        items=items,
        item_ids=item_ids,
        history=history,
        k=k,
        address=address,
        bundle_root=bundle_root,
        timeout_s=timeout,
        include_history=include_history,
        profile=profile,
        merchants=tuple(merchant or ()),
        categories=tuple(category or ()),
        price=price,
        exclude=exclude,
        seed=seed,
        features=tuple(feature or ()),
        similar=similar,
        explain=explain,
        modules=modules,
        compare=compare,
    )
    try:
        command.query(question, as_json=json)
    except command.QueryError as error:
        _fail(str(error), error.exit_code)


@app.command()
def health(
    address: Annotated[str, typer.Option(help="Server to ask.")] = "127.0.0.1:50051",
    service: Annotated[str, typer.Option(help="Service to ask for.", show_default="all of them")] = "",
    timeout: Annotated[float, typer.Option(help="Deadline of the call, seconds.")] = 2.0,
) -> None:
    """Ask a server's gRPC health: SERVING and 0, or why not and 8 (no answer) or 11 (not serving)."""
    from server.commands import health as command  # noqa: PLC0415 - see the module's docstring

    try:
        typer.echo(command.health(address, service, timeout))
    except command.HealthError as error:
        _fail(str(error), error.exit_code)


@app.command()
def inspect(bundle: BundleArgument, *, json: JsonOption = False) -> None:
    """Show what is in a bundle: countries, indices, recall curves, offline metrics. Reads only the manifest."""
    from index_store.errors import BundleError  # noqa: PLC0415 - see the module's docstring
    from server.commands import inspect as command  # noqa: PLC0415

    try:
        command.inspect(bundle, as_json=json)
    except BundleError as error:
        _fail(str(error), exit_codes.BUNDLE_REFUSED)


@app.command()
def verify(bundle: BundleArgument) -> None:
    """Check every MUST of the bundle format, golden requests included."""
    from index_store.errors import BundleError  # noqa: PLC0415 - see the module's docstring
    from server.commands import verify as command  # noqa: PLC0415

    try:
        command.verify(bundle)
    except BundleError as error:
        _fail(str(error), exit_codes.BUNDLE_REFUSED)


def main() -> None:
    """Entry point of the console script: whatever happens, it ends in one line and an exit code of the table above."""
    try:
        app()
    except Exception as error:  # what comes here has no better place: it is a bug of ours
        if "--debug" in sys.argv:
            raise
        bug = f"{type(error).__name__}: {error}"
        typer.echo(f"shortlist: a bug of ours: {visible(bug)}; run `shortlist --debug ...` for the traceback", err=True)
        sys.exit(exit_codes.FAILED)


def _settings(config: Path | None, **overrides: object) -> Settings:
    try:
        return load_settings(config, read_environment(), overrides)
    except SettingsError as error:
        _fail(str(error), exit_codes.USAGE)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"shortlist: {visible(message)}", err=True)
    raise typer.Exit(code)
