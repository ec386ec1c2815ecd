"""Answers as tables: one answer with its reasons, items like one, sources side by side."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.commands.question import Question
from server.commands.reasons import leads, reason
from server.text import visible

_DETAILS = ("item_key", "title", "merchant", "category")


def show_answer(question: Question, request: pb.RetrieveRequest, response: pb.RetrieveResponse) -> None:
    """Print who was answered, what, why if that was asked, and how."""
    console = Console()
    _show_heading(console, question, request, response)
    sources = [source.source for source in response.sources]
    named_sources = [_found_by(candidate, sources) for candidate in response.candidates]
    # the reasons say it, too
    extra = {"found by": named_sources} if len(sources) > 1 and not question.explain else {}
    console.print(_candidate_table(response.candidates, extra))
    if question.explain:
        _show_reasons(console, response)
    if question.modules:
        _show_modules(console, response)
    for source in response.sources:
        _say(console, _report(source))
    _say(console, f"fused in {response.fuse_us} µs · bundle {visible(response.bundle_version)}")


def show_similar(question: Question, item: str, response: pb.SimilarItemsResponse) -> None:
    """Print the items like one."""
    console = Console()
    title = Text(f"{len(response.candidates)} items like {visible(item)}", style="bold")
    console.print(title.append(f" in {visible(response.country)}", style="not bold"), soft_wrap=True)
    if response.country != question.country:
        console.print(Text(_moved(question, response.country), style="yellow"), soft_wrap=True)
    console.print(_candidate_table(response.candidates, {}))
    _say(console, f"{_report(response.source)} · bundle {visible(response.bundle_version)}")


def show_comparison(
    question: Question,
    request: pb.RetrieveRequest,
    fused: pb.RetrieveResponse,
    alone: Mapping[str, pb.RetrieveResponse],
) -> None:
    """Print the answer of the profile and that of each source, a column each; what is only popular stays away."""
    console = Console()
    _show_heading(console, question, request, fused)
    table = Table()
    table.add_column("#", justify="right")
    columns = [[_name(candidate) for candidate in fused.candidates]]
    table.add_column(visible(fused.profile))
    for source, response in alone.items():
        table.add_column(source)
        own = [candidate for candidate in response.candidates if source in _found_by(candidate, _names(response))]
        columns.append([_name(candidate) for candidate in own])
    for place in range(max(len(column) for column in columns)):
        cells = (Text(column[place] if place < len(column) else "") for column in columns)
        table.add_row(str(place + 1), *cells)
    console.print(table)
    for source, response in alone.items():
        for report in response.sources:
            if report.source == source:
                _say(console, _report(report))


def _show_heading(
    console: Console, question: Question, request: pb.RetrieveRequest, response: pb.RetrieveResponse
) -> None:
    who = f"user {question.user}" if question.user else "this history"
    title = Text(f"{len(response.candidates)} candidates in {visible(response.country)}", style="bold")
    rest = f" for {visible(who)}, profile {visible(response.profile)}"
    console.print(title.append(rest, style="not bold"), soft_wrap=True)
    if request.history:
        known = len(request.history) - min(response.unknown_items, len(request.history))
        console.print(f"history: {len(request.history)} interactions, {known} in the catalogue", soft_wrap=True)
    fallback = _fallback(question, response)
    if fallback:
        console.print(Text(fallback, style="yellow"), soft_wrap=True)
    if response.backfilled:
        _say(console, f"the last {response.backfilled} are only popular: the sources had no more")


def _fallback(question: Question, response: pb.RetrieveResponse) -> str:
    said = {
        pb.FALLBACK_EMPTY_HISTORY: "not personal: the history is empty",
        pb.FALLBACK_UNKNOWN_HISTORY: "not personal: no item of the history is in the catalogue",
        pb.FALLBACK_COUNTRY: _moved(question, response.country),
        pb.FALLBACK_SOURCE_FAILED: "an encoder failed: the other sources answered",
        pb.FALLBACK_SOURCE_MISSING: "the bundle lacks a source that was asked for: the others answered",
    }
    return said.get(response.fallback, "")


def _moved(question: Question, country: str) -> str:
    return f"the bundle does not have {visible(question.country)}: {visible(country)} stands in"


def _candidate_table(candidates: Sequence[pb.Candidate], extra: Mapping[str, Sequence[Sequence[str]]]) -> Table:
    table = Table()
    table.add_column("#", justify="right")
    columns = [name for name in _DETAILS if any(getattr(candidate.details, name) for candidate in candidates)]
    for name in columns or ["item_id"]:
        table.add_column(name.removeprefix("item_"))
    table.add_column("score", justify="right")
    for name in extra:
        table.add_column(name, overflow="fold")
    for place, candidate in enumerate(candidates):
        cells = [getattr(candidate.details, name) for name in columns] or [str(candidate.item_id)]
        last = (Text(", ".join(values[place])) for values in extra.values())
        # a Text, because a str would be read as markup: a title may have brackets
        table.add_row(str(place + 1), *(Text(visible(cell)) for cell in cells), f"{candidate.score:.3f}", *last)
    return table


def _show_reasons(console: Console, response: pb.RetrieveResponse) -> None:
    for place, candidate in enumerate(response.candidates, start=1):
        console.print(Text(f"{place:>3} {_name(candidate)}", style="bold"), soft_wrap=True)
        for piece in candidate.evidence:
            _say(
                console, f"      {piece.source:<17}#{piece.rank:<4}{piece.score:.3f}  {visible(reason(piece))}".rstrip()
            )


def _show_modules(console: Console, response: pb.RetrieveResponse) -> None:
    for module in response.modules:
        console.print(Text(visible(leads(module.because, module.target_type)), style="bold"), soft_wrap=True)
        for place, candidate in enumerate(module.candidates, start=1):
            _say(console, f"{place:>3} {_name(candidate)}  {candidate.score:.3f}")


def _report(source: pb.SourceReport) -> str:
    name = visible(source.source)
    if not source.method:
        return f"{name}: did not run ({_degradation(source)})"
    how = f"{name}: {source.candidates} of {source.found} found, by {visible(source.method)}"
    if source.plan not in ("", "none"):
        how += f" with {visible(source.plan)}"
    if source.degradation:
        how += f" ({_degradation(source)})"
    return f"{how}, encode {source.encode_us} µs, search {source.search_us} µs"


def _degradation(source: pb.SourceReport) -> str:
    return pb.Degradation.Name(source.degradation).removeprefix("DEGRADATION_").lower().replace("_", " ")


def _found_by(candidate: pb.Candidate, sources: Sequence[str]) -> list[str]:
    return [source for bit, source in enumerate(sources) if candidate.source_mask >> bit & 1]


def _names(response: pb.RetrieveResponse) -> list[str]:
    return [source.source for source in response.sources]


def _name(candidate: pb.Candidate) -> str:
    return visible(candidate.details.title or candidate.details.item_key or str(candidate.item_id))


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
