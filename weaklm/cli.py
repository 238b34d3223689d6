"""``python -m weaklm``: one verb a stage, each the same as the Project method of that name.

With ``--json`` stdout holds one JSON document; progress and messages go to stderr. Exit codes: 0 done, 1 failure,
2 wrong usage or settings, 3 a gate was not met, 130 interrupted.
"""

import json
import logging
import math
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weaklm import __version__
from weaklm.errors import GateError, SettingsError, WeaklmError

if TYPE_CHECKING:
    from weaklm.batches import Purpose
    from weaklm.project import Project

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Folder = Annotated[Path, typer.Option("--project", "-p", help="The project folder.")]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout.")]
Split = Annotated[str | None, typer.Option(help="train, valid, test ... or held-out (the default).")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of this step; repeatable.")
]
Columns = Annotated[
    list[str] | None, typer.Option("--column", metavar="OURS=YOURS", help="Standard name = your column; repeatable.")
]
BaseModel = Annotated[str | None, typer.Option(help="The base model: a folder or a Hugging Face name.")]

HERE = Path()

_UsageError: Any = typer.BadParameter.__base__  # some versions of typer carry their own click, some import it


def main() -> None:
    """Run the command line and exit with its code."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("weaklm").setLevel(logging.INFO)
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does, so that lfs/ and slices/ beside you are found
    try:
        code = app(standalone_mode=False) or 0
    except _UsageError as error:
        error.show()
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except GateError as error:
        print(f"gate not met: {error}", file=sys.stderr)
        code = 3
    except (WeaklmError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2 if isinstance(error, SettingsError) else 1
    if code == 130:  # some versions of typer turn Ctrl-C into this code themselves
        print("\ninterrupted; what was finished is kept, and the same command goes on from there", file=sys.stderr)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Weak supervision for better LLMs: label, curate, fine-tune, rescore, repeat.

    \b
    The loop, verb by verb:
      init  import  apply  lfs  suggest  fit  batch  labels  report  curate  train  generate  rescore  compare
    or all at once: run. To see it work on shipped data: demo.

    \b
    Examples:
      python -m weaklm demo
      python -m weaklm init copilot --column instruction=questions
      python -m weaklm import answers.csv --source llama3-8b -p copilot
      python -m weaklm run -p copilot --base-model meta-llama/Meta-Llama-3-8B-Instruct

    \b
    Exit codes: 0 done, 1 failure, 2 wrong usage or settings, 3 a gate was not met, 130 interrupted.
    """
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def init(folder: Path, column: Columns = None, as_json: Json = False) -> None:
    """Make a project folder.

    \b
    Examples:
      python -m weaklm init copilot
      python -m weaklm init copilot --column instruction=questions --column context=rc_title_text
    """
    from weaklm.project import Project

    project = Project.create(folder, columns=_pairs(column, "--column"))
    _show({"folder": str(project.folder)}, as_json, f"made {project.folder}: put your functions into lfs/ and slices/")


@app.command("import")
def import_(
    path: Path,
    source: Annotated[str | None, typer.Option(help="The model that wrote the responses.")] = None,
    split: Annotated[str | None, typer.Option(help="The split of all rows; else by a hash of the instruction.")] = None,
    column: Columns = None,
    keep: Annotated[list[str] | None, typer.Option(help="A further column to keep; repeatable. Default: all.")] = None,
    format: Annotated[str | None, typer.Option(help="Such as sharegpt, where the file's rows leave a doubt.")] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Import the responses of a CSV, Parquet, JSON or JSONL file.

    Of chats (messages, ShareGPT), prompt-completion pairs, Alpaca, Argilla and Label Studio files, too.

    \b
    Examples:
      python -m weaklm import train.csv --source llama3-8b --split train
      python -m weaklm import chats.jsonl --source llama3-8b --format sharegpt
      python -m weaklm import all.parquet --column source=model --column human_label=label --keep domain
    """
    imported = _open(project).add_responses(
        path, source=source, split=split, columns=_pairs(column, "--column"), keep=keep or None, format=format
    )
    _show(imported, as_json)


@app.command()
def batch(
    n: int,
    out: Annotated[Path, typer.Option("--out", "-o", help="The CSV file to write.")] = Path("batch.csv"),
    purpose: Annotated[str, typer.Option(help="learn, certify or debug.")] = "learn",
    split: Annotated[str | None, typer.Option(help="Draw from this split only.")] = None,
    source: Annotated[str | None, typer.Option(help="Draw from this model source only.")] = None,
    drawn_from: Annotated[float, typer.Option(min=0, max=1, help="With certify: the least score.")] = 0.5,
    function: Annotated[str | None, typer.Option(help="With debug: the function to look at.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other rows.")] = 0,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Draw N rows for people to label.

    Writes them to a CSV file with empty columns label (ACCEPT or REJECT) and annotator: fill in as many as you like,
    from the top, and give the file to `labels`. The chance of each row to be drawn is remembered, so that the labels
    can train, calibrate and estimate.

    \b
    Examples:
      python -m weaklm batch 50
      python -m weaklm batch 100 --purpose certify --drawn-from 0.8 -o certify.csv
      python -m weaklm batch 20 --purpose debug --function says_sorry
    """
    if purpose == "debug" and function is None:
        raise typer.BadParameter("--purpose debug needs --function, the labeling function to look at")
    drawn = _open(project).batch(
        n,
        purpose=_purpose(purpose),
        split=split,
        source=source,
        drawn_from=drawn_from,
        function=function,
        random_state=seed,
    )
    path = drawn.to_csv(out)
    _show(
        drawn.to_dict() | {"path": str(path)},
        as_json,
        f"{drawn}, in {path}; fill in label and annotator, then run labels {path}",
    )


@app.command()
def batches(project: Folder = HERE, as_json: Json = False) -> None:
    """List the batches: what each is for, and how much of it is labelled.

    \b
    Example:
      python -m weaklm batches
    """
    made = _open(project).batches()
    _show(made, as_json, made.to_string(index=False) if len(made) else "no batch yet; draw one with batch N")


@app.command()
def labels(
    path: Path,
    format: Annotated[str | None, typer.Option(help="argilla or label_studio, for their exports.")] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Add human labels from a file.

    A CSV, JSONL or Parquet file with columns id, label (ACCEPT or REJECT) and annotator, or what Argilla or Label
    Studio exported.

    \b
    Examples:
      python -m weaklm labels experts.csv
      python -m weaklm labels annotations.json --format label_studio
    """
    from weaklm.exchange import read_labels

    n_labels = _open(project).add_labels(path if format is None else read_labels(path, format))
    _show({"n_labels": n_labels}, as_json, f"added {n_labels:,} human labels")


@app.command()
def lfs(
    functions: Annotated[
        Path | None, typer.Argument(help="A file or folder of functions to check; else the project's.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Responses to try them on; else the shipped ones.")] = None,
    column: Columns = None,
    split: Split = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Check a file of functions, or show what each labeling function of the project does.

    A check names what is wrong (exit code 1), what each function reads, how often it votes and how it runs; with human
    labels in the data also how often people agree. Without a file: coverage, overlaps and conflicts of the project's
    votes, and their accuracy where people labelled.

    \b
    Examples:
      python -m weaklm lfs my_rules.py
      python -m weaklm lfs my_rules.py --data answers.csv --column human_label=label
      python -m weaklm lfs
      python -m weaklm lfs --split train --json
    """
    if functions is not None:
        from weaklm.checks import check

        checkup = check(functions, _responses(data, column))
        _show(checkup, as_json)
        if not checkup.is_sound:
            raise typer.Exit(1)
        return
    if data is not None or column:
        raise typer.BadParameter("--data and --column go with a file of functions to check")
    opened = _open(project)
    opened.apply()
    summary, lints = opened.lf_summary(split), opened.lints(split)
    _show(summary.reset_index(names="function"), as_json, f"{summary.to_string()}\n\n{lints}")


@app.command()
def suggest(
    accept: Annotated[int | None, typer.Option(help="Write the suggestion of this number into the project.")] = None,
    name: Annotated[str | None, typer.Option(help="With --accept: the function's name.")] = None,
    number: Annotated[int, typer.Option("--number", "-n", help="How many at most.")] = 10,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Suggest labeling functions from the human labels.

    Phrases and thresholds that go with REJECT or ACCEPT on labelled training rows, each with the lower bound of its
    precision after all that was tried. --accept writes one as source into lfs/suggested.py of the project.

    \b
    Examples:
      python -m weaklm suggest
      python -m weaklm suggest --accept 0 --name sends_elsewhere
    """
    opened = _open(project)
    opened.apply()
    found = opened.suggest(number)
    if accept is None:
        _show(found.to_frame(), as_json, repr(found))
        return
    if not 0 <= accept < len(found):
        raise typer.BadParameter(f"--accept {accept}: there are {len(found)} suggestions, counted from 0")
    path = opened.folder / "lfs" / "suggested.py"
    function = found.accept(accept, path, name)
    _show({"function": function.name, "path": str(path)}, as_json, f"wrote {function.name} to {path}; run apply next")


@app.command()
def apply(project: Folder = HERE, as_json: Json = False) -> None:
    """Apply the labeling functions.

    Only votes that are not there yet are computed.

    \b
    Example:
      python -m weaklm apply -p copilot
    """
    _show(_open(project).apply(), as_json)


@app.command()
def fit(
    weak_only: Annotated[bool, typer.Option("--weak-only", help="Leave the human labels out.")] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Fit label model and quality model; score the responses.

    \b
    Examples:
      python -m weaklm fit
      python -m weaklm fit --weak-only
    """
    _show(_open(project).fit(human_labels=not weak_only), as_json)


@app.command()
def report(
    split: Split = None,
    source: Annotated[str | None, typer.Option(help="Only this model source.")] = None,
    discover: Annotated[bool, typer.Option("--discover", help="Search for slices that nobody wrote.")] = False,
    fail_under: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with 3 when the accept rate is lower, as in 0.8.")
    ] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Report the quality: overall, by slice, by source.

    As text here, as HTML and JSON in the project's reports folder.

    \b
    Examples:
      python -m weaklm report
      python -m weaklm report --split valid --source llama3-8b --fail-under 0.8
    """
    from weaklm.project import check_gate

    opened = _open(project)
    made = opened.report(split=split, source=source, discover=discover, target=fail_under)
    _show(made, as_json)
    _place(opened.last("report"), "report.html")
    check_gate(made, fail_under)


@app.command()
def curate(
    label: Annotated[list[str] | None, typer.Option(help="A decision to keep; repeatable.")] = None,
    confidence_threshold: Annotated[float | None, typer.Option(help="Keep rows at least this confident.")] = None,
    max_bad_rate: Annotated[float | None, typer.Option(help="Keep what is certified to be no worse.")] = None,
    settings: Set = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Choose the training rows.

    Every row keeps the reason why it is in or out.

    \b
    Examples:
      python -m weaklm curate
      python -m weaklm curate --label ACCEPT --confidence-threshold 0.8
      python -m weaklm curate --max-bad-rate 0.1
    """
    options = _settings(settings)
    options |= {"labels": label} if label else {}
    options |= {"confidence_threshold": confidence_threshold} if confidence_threshold is not None else {}
    options |= {"max_bad_rate": max_bad_rate} if max_bad_rate is not None else {}
    curated = _open(project).curate(**options)
    _show(curated.summary(), as_json, repr(curated))


@app.command()
def train(base_model: BaseModel = None, settings: Set = None, project: Folder = HERE, as_json: Json = False) -> None:
    """Fine-tune a base model with QLoRA on the curated rows.

    An interrupted training goes on where it stopped.

    \b
    Examples:
      python -m weaklm train --base-model meta-llama/Meta-Llama-3-8B-Instruct
      python -m weaklm train --base-model ./my-model --set epochs=2 --set learning_rate=1e-4
    """
    _show(_open(project).train(base_model, **_settings(settings)), as_json)


@app.command()
def generate(
    model: str,
    split: Split = None,
    source: Annotated[str | None, typer.Option(help="The name of the new source.")] = None,
    settings: Set = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Let a model answer the instructions of a split.

    MODEL is a training's id, a folder or a Hugging Face name.

    \b
    Examples:
      python -m weaklm generate 3f2a9c0d1b7e4a55
      python -m weaklm generate ./my-model --split valid --source my-model --set temperature=0.7
    """
    name = _open(project).generate(model, split=split, source=source, **_settings(settings))
    _show({"source": name}, as_json, f"generated and scored the answers of {name}")


@app.command()
def rescore(
    source: Annotated[str | None, typer.Option(help="Only this model source.")] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Score the responses that have no score yet.

    \b
    Example:
      python -m weaklm rescore --source my-model
    """
    n_rows = _open(project).rescore(source)
    _show({"n_rows": n_rows}, as_json, f"scored {n_rows:,} responses")


@app.command()
def compare(
    base: str,
    tuned: str,
    others: Annotated[list[str] | None, typer.Argument(help="Further sources, each compared with BASE.")] = None,
    split: Split = None,
    second_opinion: Annotated[
        bool, typer.Option("--second-opinion", help="Let a model of other functions judge, too.")
    ] = False,
    fail_if_worse: Annotated[bool, typer.Option("--fail-if-worse", help="Exit with 3 when TUNED is worse.")] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Compare sources on the instructions that both answered.

    \b
    Examples:
      python -m weaklm compare llama3-8b llama3-8b-tuned
      python -m weaklm compare llama3-8b llama3-8b-tuned llama3-70b --fail-if-worse
    """
    from weaklm.project import check_not_worse

    opened = _open(project)
    made = opened.compare(base, tuned, *(others or ()), split=split, second_opinion=second_opinion)
    _show(made, as_json)
    _place(opened.last("compare"), "comparison.html")
    if fail_if_worse:
        check_not_worse(made)


@app.command()
def explain(row_id: str, project: Folder = HERE, as_json: Json = False) -> None:
    """Say why a response has its score and its place.

    Its votes, the features that moved the score, the decision with its reason, and the runs behind them.

    \b
    Example:
      python -m weaklm explain 6f1d0c2b9a8e7f34
    """
    _show(_open(project).explain(row_id), as_json)


@app.command()
def blame(function: str, project: Folder = HERE, as_json: Json = False) -> None:
    """Say what a labeling function does to the training rows.

    The labels that it tips; and, by running the models and the curation without it, the scores and rows that change.

    \b
    Example:
      python -m weaklm blame says_sorry
    """
    _show(_open(project).blame(function), as_json)


@app.command()
def lineage(
    adapter: Annotated[str | None, typer.Argument(help="A training's id; else the newest.")] = None,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Say what an adapter was made from: settings, rows, and the code of every function.

    \b
    Example:
      python -m weaklm lineage 3f2a9c0d1b7e4a55
    """
    _show(_open(project).lineage(adapter), as_json)


@app.command()
def export(
    path: Path,
    format: Annotated[str | None, typer.Option(help="Needed where the ending leaves a choice.")] = None,
    spreadsheet_safe: Annotated[bool, typer.Option(help="CSV that no spreadsheet takes for formulas.")] = False,
    conversational: Annotated[bool, typer.Option(help="Prompts and answers as messages.")] = False,
    bare: Annotated[bool, typer.Option("--bare", help="Only what the format has; not to be read back whole.")] = False,
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Write the curated rows to a file.

    Formats: csv, parquet, messages, prompt_completion, alpaca, sharegpt, kto, dpo, argilla, label_studio. Further
    columns stand in a field of their own that trainers pass over, so that `import` reads the same rows again.

    \b
    Examples:
      python -m weaklm export train.jsonl --format messages
      python -m weaklm export pairs.jsonl --format dpo --conversational
      python -m weaklm export train.parquet
    """
    options = {"spreadsheet_safe": spreadsheet_safe, "conversational": conversational, "lossless": not bare}
    n_rows = _open(project).export(path, format, **options)
    _show({"path": str(path), "n_rows": n_rows}, as_json, f"wrote {n_rows:,} rows to {path}")


@app.command()
def run(base_model: BaseModel = None, project: Folder = HERE, as_json: Json = False) -> None:
    """Do every step of the loop, skipping what is up to date.

    \b
    Examples:
      python -m weaklm run
      python -m weaklm run --base-model ./my-model
    """
    _show(_open(project).run(base_model), as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to make the demo project.")] = Path("demo-project"),
    seed: Annotated[int, typer.Option(help="Another seed is another run of the whole demo.")] = 0,
    base_model: BaseModel = None,
    as_json: Json = False,
) -> None:
    """Run the whole loop on the shipped data.

    With a small stand-in model made on the spot: no GPU, no network.

    \b
    Examples:
      python -m weaklm demo
      python -m weaklm demo my-demo --seed 1
      python -m weaklm demo --base-model meta-llama/Meta-Llama-3-8B-Instruct
    """
    from weaklm.demo.loop import run_demo

    _show(run_demo(folder, seed=seed, base_model=base_model, progress=sys.stderr.isatty()), as_json)


def _responses(path: Path | None, column: list[str] | None) -> Any:
    if path is None:
        from weaklm.demo.dataset import load

        return load(0).responses
    from weaklm.data import read

    return read(path, columns=_pairs(column, "--column"))


def _purpose(text: str) -> "Purpose":
    from typing import get_args

    from weaklm.batches import Purpose

    for purpose in get_args(Purpose):
        if text == purpose:
            return purpose
    raise typer.BadParameter(f"--purpose {text}: expected one of {', '.join(get_args(Purpose))}")


def _open(folder: Path) -> "Project":
    from weaklm.project import Project

    return Project(folder, progress=sys.stderr.isatty())


def _pairs(values: list[str] | None, option: str) -> dict[str, str]:
    for value in values or ():
        if "=" not in value:
            raise typer.BadParameter(f"{option} {value}: expected OURS=YOURS, such as instruction=questions")
    pairs = (value.split("=", 1) for value in values or ())
    return {ours.strip(): theirs.strip() for ours, theirs in pairs}


def _settings(values: list[str] | None) -> dict[str, Any]:
    """Read KEY=VALUE as TOML does; a bare word is a string."""
    settings = {}
    for key, text in _pairs(values, "--set").items():
        try:
            settings[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key] = text
    return settings


def _show(result: Any, as_json: bool, text: str | None = None) -> None:
    if as_json:
        print(json.dumps(_finite(_plain(result)), ensure_ascii=False, allow_nan=False))
    else:
        print(str(result) if text is None else text)


def _plain(result: Any) -> Any:
    if isinstance(result, Mapping):
        return result
    if hasattr(result, "iterrows"):  # a frame, without importing pandas to ask
        return json.loads(result.to_json(orient="records"))
    return result.to_dict() if hasattr(result, "to_dict") else asdict(result)


def _finite(value: Any) -> Any:
    """Return the value with null in place of numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _place(folder: Path, file: str) -> None:
    print(f"saved: {folder / file}", file=sys.stderr)
