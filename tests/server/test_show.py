"""What `shortlist query` prints of replies, without a server."""

import pytest

from protos.retrieval.v1 import retrieval_pb2 as pb
from server.commands.question import Question
from server.commands.reasons import reason
from server.commands.show import show_similar

ITEM = pb.ExplainedItem(item_id=7, type=pb.INTERACTION_TYPE_VIEW, title="Tray")


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (pb.Evidence(source="led", because=ITEM, contribution=0.25), "0.250 of it from 'Tray' (viewed)"),
        (pb.Evidence(source="two_tower", because=ITEM, contribution=0.25), "would lose 0.250 without 'Tray' (viewed)"),
        (pb.Evidence(source="similar", because=ITEM, contribution=0.25), "like 'Tray' (viewed)"),
        (
            pb.Evidence(source="item_interaction", because=ITEM, target_type=pb.INTERACTION_TYPE_CART),
            "'Tray' (viewed) leads to the cart",
        ),
        (
            pb.Evidence(source="pdn", direct=0.5, paths=[pb.Path(trigger=ITEM, contribution=0.25)]),
            "= direct 0.500 + 0.250 via 'Tray' (viewed)",
        ),
        (pb.Evidence(source="popular", score=3), ""),
    ],
    ids=lambda value: value.source if isinstance(value, pb.Evidence) else "",
)
def test_a_reason_is_in_the_words_of_its_source(piece: pb.Evidence, expected: str) -> None:
    """Each source's evidence means something else, and says so."""
    assert reason(piece) == expected


@pytest.mark.parametrize(("asked", "stands_in"), [("FR", False), ("ZZ", True)])
def test_items_like_one_say_whose_they_are(capsys: pytest.CaptureFixture[str], asked: str, *, stands_in: bool) -> None:
    """The heading names the country that answered, and a line says when it is not the one asked for."""
    report = pb.SourceReport(source="pdn", method="neighbours")
    show_similar(Question(asked), "a", pb.SimilarItemsResponse(source=report, country="FR"))
    printed = capsys.readouterr().out
    assert printed.startswith("0 items like a in FR\n")
    assert ("the bundle does not have ZZ: FR stands in" in printed) == stands_in
