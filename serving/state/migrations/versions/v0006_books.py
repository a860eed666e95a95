"""What the page filters and orders by, filled from the list in force."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_FROM_LINE = (
    *("account_id", "as_of", "rank", "book_rank", "name", "csm", "tier", "limit", "ask"),
    *("this_week", "probability", "readiness_date", "expected_arr", "seat_utilization"),
)


def upgrade() -> None:
    """Make the table, and fill it."""
    books = op.create_table(
        "books",
        sa.Column("account_id", sa.String, primary_key=True),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("book_rank", sa.Integer),
        sa.Column("name", sa.String),
        sa.Column("csm", sa.String),
        sa.Column("segment", sa.String),
        sa.Column("tier", sa.Integer),
        sa.Column("limit", sa.String),
        sa.Column("ask", sa.Boolean),
        sa.Column("this_week", sa.Boolean),
        sa.Column("probability", sa.Float),
        sa.Column("readiness_date", sa.Date),
        sa.Column("expected_arr", sa.Float),
        sa.Column("seat_utilization", sa.Float),
    )
    lines = sa.table("scores", *(sa.column(name) for name in _FROM_LINE))
    drawn = sa.table("portraits", sa.column("account_id"), sa.column("segment"))
    runs = sa.table("runs", sa.column("as_of"))
    newest = sa.select(sa.func.max(runs.c.as_of)).scalar_subquery()
    joined = lines.outerjoin(drawn, lines.c.account_id == drawn.c.account_id)
    listed = (
        sa.select(*(lines.c[name] for name in _FROM_LINE), drawn.c.segment)
        .select_from(joined)
        .where(lines.c.as_of == newest, lines.c.rank.is_not(None))
    )
    op.execute(sa.insert(books).from_select([*_FROM_LINE, "segment"], listed))
