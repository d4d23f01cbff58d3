"""The pages and the schema of the API are served from here."""

import re

import pytest
from fastapi.testclient import TestClient

from service.report.report import report_schema


def test_the_schema_is_served(client: TestClient) -> None:
    answer = client.get("/v1/schemas/report")
    assert answer.json() == report_schema()
    assert answer.headers["content-type"] == "application/schema+json"


def test_a_browser_at_the_root_is_led_to_the_pages_of_the_api(
    client: TestClient,
) -> None:
    page = client.get("/")
    assert page.url.path == "/docs"
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_of_the_api_load_nothing_from_elsewhere(
    client: TestClient, page: str
) -> None:
    html = client.get(page).text
    assets = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert assets
    for asset in assets:
        assert asset.startswith("/")
        assert client.get(asset).status_code == 200
