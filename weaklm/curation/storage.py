"""A curated set as a folder: tables as Parquet, what was done as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from weaklm.atomic import atomic_folder
from weaklm.certificate import Certificate
from weaklm.errors import DataError
from weaklm.exchange import check_text, write_parquet


def write(folder: str | Path, tables: Mapping[str, pd.DataFrame], facts: Mapping[str, Any]) -> Path:
    """Write tables and facts to a folder, whole or not at all, and return it; an older one is replaced."""
    check_text(tables["data"])
    with atomic_folder(folder) as temporary:
        for name, table in tables.items():
            write_parquet(table, temporary / f"{name}.parquet")
        text = json.dumps(facts, indent=2, ensure_ascii=False)
        (temporary / "curation.json").write_text(text + "\n", encoding="utf-8")
    return Path(folder)


def read(folder: str | Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return the tables and facts of a folder; DataError where it holds no curated set, or a damaged one."""
    folder = Path(folder)
    for name in ("curation.json", "data.parquet", "decisions.parquet"):
        if not (folder / name).is_file():
            raise DataError(f"{folder} holds no curated set: it has no {name}")
    facts = json.loads((folder / "curation.json").read_text(encoding="utf-8"))
    tables = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    sizes = {name: len(table) for name, table in tables.items()}
    if set(sizes.values()) != {facts["n"]}:
        raise DataError(f"{folder} is damaged: its tables have {sizes} rows, and {facts['n']} were written")
    return tables, facts


def certificate_of(facts: Mapping[str, Any]) -> Certificate:
    """Return the certificate that ``to_dict`` gave.

    >>> from weaklm.certificate import LabelUse, certify
    >>> certificate = certify([0.9], [1], ["a"], LabelUse())
    >>> certificate_of(certificate.to_dict()) == certificate
    True
    """
    known = {name: value for name, value in facts.items() if name != "reason"}
    return Certificate(**(known | {"label_ids": tuple(facts["label_ids"])}))
