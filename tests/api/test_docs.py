"""The pages for people: Swagger UI of an installed package, and nothing from another host."""

import re

import httpx2
import pytest


async def test_the_pages_load_only_files_that_we_serve(http: httpx2.AsyncClient) -> None:
    for page in ("/", "/docs"):
        answer = await http.get(page)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        linked = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
        assert linked
        for address in linked:
            assert address.startswith(("/", "data:,")), address
        for address in (found for found in linked if found.startswith("/docs/assets/")):
            assert (await http.get(address)).status_code == 200


async def test_the_pages_hold_no_inline_script_and_forbid_it(http: httpx2.AsyncClient) -> None:
    for page in ("/", "/docs"):
        answer = await http.get(page)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http:" not in policy
        assert re.findall(r"<script(?![^>]*\bsrc=)", answer.text) == []
        assert re.findall(r"\son\w+=|<style|\sstyle=", answer.text) == []


async def test_the_docs_are_swagger_ui_that_reads_openapi_3_1(http: httpx2.AsyncClient) -> None:
    script = (await http.get("/docs/assets/swagger-ui-bundle.js")).text
    version = re.search(r'PACKAGE_VERSION:"(\d+)\.', script)
    assert version is not None
    assert int(version[1]) >= 5
    assert 'url: "/openapi.json"' in (await http.get("/docs/assets/docs.js")).text


@pytest.mark.parametrize("name", ["x.js", "..%2f..%2fapp.py", "swagger_bundle.js", "%2e%2e"])
async def test_no_other_file_is_served(http: httpx2.AsyncClient, name: str) -> None:
    assert (await http.get(f"/docs/assets/{name}")).status_code == 404
