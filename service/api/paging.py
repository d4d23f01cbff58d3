"""Paging: how a caller asks for a part of a list, on every route that has one."""

from typing import Annotated

from fastapi import Query

Limit = Annotated[int, Query(ge=1, le=100, description="Entries on a page.")]
LongLimit = Annotated[int, Query(ge=1, le=1_000, description="Entries on a page.")]
Cursor = Annotated[str, Query(max_length=100, description="`next_cursor` so far.")]
