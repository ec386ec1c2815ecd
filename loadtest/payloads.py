"""Requests as JSON for tools that are not ours: the sample users of a bundle, as k6 and ghz read them.

python -m loadtest.payloads BUNDLE --out build/load/requests.json
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format

from loadtest.workload import requests_of
from protos.retrieval.v1 import retrieval_pb2 as pb


def main(
    bundle: Annotated[Path, typer.Argument(help="A version's directory, or a bundle's with a CURRENT file.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("build/load/requests.json"),
    count: Annotated[int, typer.Option(help="How many requests.", min=1)] = 1000,
    k: Annotated[int, typer.Option("-k", help="Candidates of each.", min=1)] = 100,
    max_history: Annotated[int, typer.Option(help="Newest interactions of each user.", min=0)] = 20,
    profile: Annotated[str, typer.Option(help="Profile; empty = the server's default.")] = "",
    seed: Annotated[int, typer.Option(help="The same seed draws the same requests.")] = 7,
) -> None:
    """Write the requests as one JSON array; 64-bit ids as strings, as protobuf's JSON has them."""
    current = bundle / "CURRENT"
    version = bundle / current.read_text(encoding="utf-8").strip() if current.exists() else bundle
    drawn = requests_of(version, count=count, k=k, max_history=max_history, profile=profile, seed=seed)
    messages = [json_format.MessageToDict(pb.RetrieveRequest.FromString(each)) for each in drawn]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(messages), encoding="utf-8")
    typer.echo(f"{len(messages)} requests in {out}")


if __name__ == "__main__":
    typer.run(main)
