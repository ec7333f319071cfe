"""A pipeline files a plan: the command, over TLS, to the program as it is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from starlette.testclient import TestClient

from orchestrator.web.app import application
from orchestrator.web.desk import Desk
from tests.api.desk import Answer, machine, subscription
from tests.web.served import Served
from tests.web.world import World


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """One new client, besides those of the site."""
    (tmp_path / "nouveau.yaml").write_text(yaml.safe_dump(subscription("nouveau", [machine("app-1")])))
    return tmp_path


def token(world: World, name: str, *more: str) -> str:
    return world.done("token", "add", name, *more).out.split("token: ")[1].split()[0]


def upload(world: World, served: Served, files: Path, secret: str, *more: str, url: str = "") -> Answer:
    told = more or ("--author", "oscar")
    arguments = ("plan", "--out", str(files / "plan.json"), "--upload", url or served.url, *told, str(files))
    trusted = {"REQUESTS_CA_BUNDLE": str(served.authority), "ORCHESTRATOR_TOKEN": secret}
    return world.desk.run(*arguments, environment=trusted)


def test_a_pipeline_files_a_plan_and_reads_what_became_of_it(
    world: World, served: Served, web_desk: Desk, files: Path
) -> None:
    secret = token(world, "pipeline", "--scope", "plans", "--scope", "read")
    link = "https://forge.example/hosting/merge_requests/12"
    answer = upload(world, served, files, secret, "--author", "oscar", "--link", link)
    assert answer.code == 0, answer
    assert secret not in answer.out + answer.err
    page = answer.err.split("filed: ")[1].strip()
    assert page.startswith(f"{served.url}/plans/")
    number = page.rpartition("/")[2]
    with TestClient(application(web_desk), base_url=web_desk.settings.origin) as client:
        headers = {"Authorization": f"Bearer {secret}"}
        listed = client.get("/api/v1/plans", headers=headers).json()["items"][0]
        assert (listed["state"], listed["made_by"], listed["filed_by"], listed["link"]) == (
            "waiting",
            "oscar",
            "token pipeline",
            link,
        )
        whole = client.get(f"/api/v1/plans/{number}", headers=headers).json()
        assert [item["machine"] for item in whole["plan"]["machines"] if item["changes"]] == ["app-1"]
        assert client.get("/api/v1/plans/999999", headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("scopes", "said"),
    [
        (("--scope", "read"), "this token is not for plans"),
        (("--scope", "plans", "--client", "dupont"), "nothing of"),
    ],
)
def test_a_token_for_something_else_files_nothing(
    world: World, served: Served, files: Path, scopes: tuple[str, ...], said: str
) -> None:
    secret = token(world, f"other-{len(scopes)}", *scopes)
    answer = upload(world, served, files, secret)
    assert answer.code == 1 and said in answer.err, answer


def test_a_stranger_a_wrong_address_and_a_missing_token_are_told(
    world: World, served: Served, files: Path
) -> None:
    assert "send a valid token" in upload(world, served, files, "x" * 40).err
    plain = served.url.replace("https://", "http://")
    assert "no address of the Interface" in upload(world, served, files, "x", url=plain).err
    untrusted = world.desk.run(
        "plan",
        "--out",
        str(files / "p"),
        "--upload",
        served.url,
        "--author",
        "oscar",
        str(files),
        environment={"ORCHESTRATOR_TOKEN": "x"},
    )
    assert untrusted.code == 1 and "its certificate is not trusted" in untrusted.err
    assert "ORCHESTRATOR_TOKEN is not set" in upload(world, served, files, "").err
    nobody = world.desk.run("plan", "--out", str(files / "p"), "--upload", served.url, str(files))
    assert nobody.code == 1 and "--upload needs --author" in nobody.err
    nowhere = world.desk.run("plan", "--upload", served.url, str(files))
    assert nowhere.code == 1 and "save it with --out" in nowhere.err


def test_what_is_no_plan_is_told_as_a_problem(world: World, web_desk: Desk) -> None:
    secret = token(world, "rubbish", "--scope", "plans")
    with TestClient(application(web_desk), base_url=web_desk.settings.origin) as client:
        headers = {"Authorization": f"Bearer {secret}"}

        def refused(body: bytes, status: int, author: str = "oscar") -> str:
            answer = client.post("/api/v1/plans", content=body, headers=headers, params={"author": author})
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            return answer.text

        for body in (b"", b"{}", json.dumps({"saved": "orchestrator plan"}).encode()):
            assert "not a saved plan" in refused(body, 409)
        assert "not UTF-8" in refused(b"\xff", 422)
        for nobody in ("", "  "):
            assert "author" in refused(b"{}", 422, nobody)
        large = client.post("/api/v1/plans", content=b" " * (32 * 1024 * 1024 + 1), headers=headers)
        assert large.status_code == 413, large.text
        assert client.get("/api/v1/plans", headers=headers, params={"state": "outdated"}).status_code == 403
