"""The evaluate step: all sources and baselines on test users; metrics.json and report.md."""

import msgspec

from shortlist_training.drawing import draw
from shortlist_training.evaluate import Learned, evaluate
from shortlist_training.histories import distinct_rows
from shortlist_training.pdn.serving_loss import Grid, greedy_report
from shortlist_training.records import Evaluation, GreedyReport, SourceReport, TrainReport
from shortlist_training.report import evaluation_markdown
from shortlist_training.report_greedy import GREEDY_PLOT, greedy_plot
from shortlist_training.sources.pdn import PdnSource
from shortlist_training.steps.learning import Ingested, Progress, load_sources
from shortlist_training.timelines import incidence
from shortlist_training.workspace import EVALUATE, Workspace, needs


def evaluate_step(work: Workspace, progress: Progress) -> Evaluation:
    """Measure on test users; write metrics.json and report.md."""
    project = work.loaded.project
    for need in needs(EVALUATE, project.sources()):
        work.require(need)
    work.begin(EVALUATE)
    ingested = Ingested(work)
    histories = ingested.histories
    done = iter(range(1_000))
    steps = len(project.evaluate.ease_lambdas) + 4 + len(project.sources())
    learned = learned_models(ingested)
    evaluation = evaluate(
        incidence([distinct_rows(history) for history in histories.training()], histories.items),
        ingested.held_out("validation"),
        ingested.held_out("test"),
        learned,
        project.evaluate,
        project.seed,
        lambda label: progress(label, next(done), steps),
    )
    evaluation = msgspec.structs.replace(evaluation, greedy=_greedy(ingested, learned))
    work.save_json("metrics.json", evaluation)
    write_report(work, evaluation)
    _plot(work)
    work.finish(EVALUATE)
    return evaluation


def _greedy(ingested: Ingested, learned: Learned) -> GreedyReport | None:
    """Measure on test users what PDN loses at the numbers of triggers and neighbours that are published."""
    source = learned.sources.get("pdn")
    if not isinstance(source, PdnSource):
        return None
    project, test = ingested.work.loaded.project, ingested.held_out("test")
    published = Grid([source.settings.triggers], [source.settings.neighbours])
    return greedy_report(source.paths(test.known), test, published, project.evaluate.bootstrap, project.seed)


def _plot(work: Workspace) -> None:
    for source in work.loaded.project.sources():
        greedy = work.json(f"train_{source}.json", SourceReport).greedy
        if greedy is not None:
            draw(greedy_plot(greedy), work.path(f"{GREEDY_PLOT}.png"))


def learned_models(ingested: Ingested) -> Learned:
    """Read LED and the sources back."""
    work = ingested.work
    return Learned(
        work.array("led_vectors.npy"),
        work.array("led_biases.npy"),
        work.array("svd_vectors.npy"),
        work.array("led_country_biases.npy"),
        ingested.histories.countries,
        load_sources(ingested),
        work.loaded.project.led.history_weights(),
    )


def rewrite_report(work: Workspace) -> None:
    """Write report.md again, now that there are more costs."""
    write_report(work, work.json("metrics.json", Evaluation))


def write_report(work: Workspace, evaluation: Evaluation) -> None:
    """Write report.md with what is known now, the costs of the steps so far among it."""
    project = work.loaded.project
    reports = {source: work.json(f"train_{source}.json", SourceReport) for source in project.sources()}
    led = work.json("train.json", TrainReport)
    text = evaluation_markdown(evaluation, led.best_epoch, project.name, reports, work.costs())
    work.path("report.md").write_text(text, encoding="utf-8")
