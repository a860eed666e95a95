"""A company of two accounts, small enough to check by hand."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.config.settings import Settings, TablesConfig
from data.ingest import table_loader

NOW = datetime(2024, 6, 1, tzinfo=UTC)
CSV = {
    "events": """account_id,user_id,timestamp,event,feature,quantity,event_id
acme,u1,2024-03-01T09:30:00Z,view,reports,1,e1
acme,u2,2024-03-01T10:30:00+01:00,view,reports,2.5,e2
beta,,2024-03-02 00:00:00.250+00,api_call,,,e3
""",
    "subscriptions": """account_id,effective_date,licensed_seats,plan,usage_limit,mrr,status
beta,2024-02-01,5,team,1000,99.5,paid
acme,2024-01-01,10,team,,200,trial
acme,2024-02-01,12,team,,240,Paid
""",
    "accounts": """account_id,created_date,name,industry
beta,2024-01-15,Beta,steel
acme,2023-12-01,Acme,retail
""",
    "users": """user_id,account_id,created_at,department
u2,acme,2024-01-02T08:00:00Z,sales
u1,acme,,finance
""",
}


@dataclass(frozen=True)
class Company:
    """Tables in a folder; tests replace single files."""

    folder: Path

    def put(self, name: str, content: str | bytes | pl.DataFrame) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pl.DataFrame):
            content.write_parquet(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
        return path

    def frame(self, table: str) -> pl.DataFrame:
        return pl.read_csv(self.folder / f"{table}.csv", infer_schema=False)

    def frames(self) -> dict[str, pl.DataFrame]:
        return {table: self.frame(table) for table in CSV}

    def settings(self, columns: dict[str, Any] | None = None, **tables: Any) -> Settings:
        sources = {table: f"{table}.csv" for table in CSV} | tables
        return Settings.model_validate(
            {"base": self.folder, "state": "state", "tables": sources, "columns": columns or {}}
        )

    def read(self, columns: dict[str, Any] | None = None, **tables: Any) -> table_loader.Tables:
        return table_loader.load_tables(self.settings(columns, **tables), NOW)

    def load(self, config: TablesConfig | None = None, **frames: Any) -> table_loader.Tables:
        """Load the tables from frames in memory, some of them replaced."""
        return table_loader.tables_from_frames(**{**self.frames(), **frames}, tables=config)

    def log(self, **tables: Any) -> pl.DataFrame:
        return valid_events(self.read(**tables))

    def quarantine(self, table: str, text: str) -> dict[str, int]:
        """Return the reject counts of a table with this content, without a quarantine limit."""
        self.put(f"{table}.csv", text)
        tables = self.read(max_quarantine_share=1)
        if table == "events":
            return tables.events[0].count_rejects()
        return dict(getattr(tables, table).quarantine)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def valid_events(tables: table_loader.Tables) -> pl.DataFrame:
    """Return all valid events of all partitions."""
    return pl.concat(part.valid_rows().collect() for part in tables.events)


@pytest.fixture
def company(tmp_path: Path) -> Company:
    company = Company(tmp_path)
    for table, text in CSV.items():
        company.put(f"{table}.csv", text)
    return company
