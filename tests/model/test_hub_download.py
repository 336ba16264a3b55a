from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from consumer.engine.hub import COMPLETE, find_model
from consumer.engine.load import load_models
from consumer.errors import ModelUnavailable
from consumer.settings import EngineSettings

MODEL_ID = "somebody/fsmn-vad"


class Hub(ThreadingHTTPServer):
    """A model hub on this machine that speaks ModelScope's protocol and holds one model at one revision."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder = folder
        self.requests = 0
        self.broken = False


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.requests += 1
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        path = self.server.folder / query.get("FilePath", ["."])[0]
        if self.server.broken or query.get("Revision") != ["v1"]:
            self.send_error(404)
        elif url.path == f"/api/v1/models/{MODEL_ID}/repo/files":
            files = [_entry(path) for path in self.server.folder.iterdir()]
            self._send(json.dumps({"Code": 200, "Success": True, "Data": {"Files": files}}).encode())
        elif url.path == f"/api/v1/models/{MODEL_ID}/repo" and path.is_file():
            self._send(path.read_bytes())
        else:
            self.send_error(404)

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def _entry(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"Name": path.name, "Path": path.name, "Type": "blob", "Size": len(content), "Sha256": digest}


@pytest.fixture
def hub(demo_models: Path, hub_address: Callable[[str], None]) -> Iterator[Hub]:
    server = Hub(demo_models / "fsmn-vad")
    hub_address(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_id_is_downloaded_once_and_loads(hub: Hub, engine_settings: EngineSettings) -> None:
    settings = engine_settings.model_copy(update={"vad": MODEL_ID, "vad_revision": "v1"})
    assert load_models(settings).info.vad == f"{MODEL_ID}@v1"
    asked = hub.requests
    assert asked
    assert load_models(settings).info.vad == f"{MODEL_ID}@v1"
    assert hub.requests == asked


def test_a_kept_model_of_unknown_completeness_serves_while_the_hub_does_not(hub: Hub) -> None:
    kept = find_model("engine.vad", MODEL_ID, "v1").path
    (kept / COMPLETE).unlink()
    hub.broken = True
    assert find_model("engine.vad", MODEL_ID, "v1").path == kept


def test_a_cache_of_an_older_layout_does_not_pass_for_any_revision(hub: Hub) -> None:
    """ModelScope before 1.38 kept one revision, in a folder that does not name it."""
    kept = find_model("engine.vad", MODEL_ID, "v1").path
    older = kept.parents[3] / "models" / MODEL_ID
    older.parent.mkdir(parents=True)
    kept.rename(older)
    assert find_model("engine.vad", MODEL_ID, "v1").path == older
    with pytest.raises(ModelUnavailable, match=r"at revision 'v2'.* may hold another revision"):
        find_model("engine.vad", MODEL_ID, "v2")
    (older / COMPLETE).unlink()
    asked = hub.requests
    assert find_model("engine.vad", MODEL_ID, "v1").path == older
    assert hub.requests > asked


@pytest.mark.usefixtures("hub")
def test_a_revision_the_hub_does_not_have_is_refused() -> None:
    find_model("engine.vad", MODEL_ID, "v1")
    with pytest.raises(ModelUnavailable, match=r"engine\.vad = 'somebody/fsmn-vad' at revision 'v2'"):
        find_model("engine.vad", MODEL_ID, "v2")
