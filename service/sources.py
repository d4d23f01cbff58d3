"""Sources: datasets that a customer names by URL, fetched into the store.

What a URL may begin with is the operator's list. The web is asked as in
`service.outbound`: each address is looked at before it is called, at every redirect
anew. Buckets are read with the service's own rights, so the list must name the bucket,
with `{tenant}` in it where tenants are not to see each other's.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

import anyio
import fsspec
import httpx
from anyio import CancelScope, to_thread

from detectors.errors import InputError
from service.outbound import (
    MAX_URL_CHARS,
    NoAddress,
    Resolve,
    Target,
    check_unasked,
    check_url,
    resolve_host,
)
from service.settings import Settings
from service.storage.datasets import BLOCK_BYTES, Datasets, Incoming, Upload
from service.storage.disk import free_bytes
from service.storage.objects import EXTRAS

MAX_REDIRECTS: Final = 5
MOVED: Final = (301, 302, 303, 307, 308)
PASSING: Final = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that may answer otherwise a little later."""

WEB: Final = ("https", "http")
LASTING: Final = (FileNotFoundError, PermissionError, IsADirectoryError)
"""What a bucket's client raises where another try would do no better."""

QUIET_SECONDS: Final = 30.0
"""Longest silence of a server; the whole has `fetch_seconds`."""

WAITS: Final = (1.0, 4.0, 16.0)
"""Seconds between one try and the next."""

HEADERS: Final = {
    "User-Agent": "tunegate-fetch/1",
    "Accept-Encoding": "identity",  # its bytes are what is screened, as they are
}


class SourceError(InputError):
    """A URL leads to no dataset that could be fetched.

    `passing`: another try may do.
    """

    def __init__(
        self, said: str, code: str = "source_unavailable", *, passing: bool = False
    ) -> None:
        super().__init__(said)
        self.code = code
        self.passing = passing


class Sources:
    """Fetches datasets for tenants. `resolve` and `transport` replace the network."""

    def __init__(
        self,
        settings: Settings,
        datasets: Datasets,
        *,
        resolve: Resolve = resolve_host,
        transport: httpx.AsyncBaseTransport | None = None,
        waits: Sequence[float] = WAITS,
    ) -> None:
        self._settings = settings
        self._datasets = datasets
        self._resolve = resolve
        self._transport = transport
        self._waits = waits

    async def fetch(self, url: str, tenant: str) -> Upload:
        """Store what a URL leads to, bounded in bytes, disk and seconds.

        What may pass is tried again within those seconds. SourceError where the URL may
        not be asked, leads nowhere or to too much.
        """
        seconds = self._settings.fetch_seconds
        try:
            with anyio.fail_after(seconds):
                return await self._try(url, tenant)
        except SourceError:
            raise
        except InputError as error:
            raise SourceError(str(error), "source_refused") from error
        except TimeoutError as error:
            said = f"url: it took longer than {seconds:g} seconds: send the file itself"
            raise SourceError(said, "source_timeout") from error

    async def _try(self, url: str, tenant: str) -> Upload:
        for wait in self._waits:
            try:
                return await self._store(url, tenant)
            except SourceError as error:
                if not error.passing:
                    raise
            await anyio.sleep(wait)
        return await self._store(url, tenant)

    async def _store(self, url: str, tenant: str) -> Upload:
        web = check_source(url, self._settings.fetch_sources, tenant) in WEB
        self._check_room()
        incoming = await to_thread.run_sync(self._datasets.incoming)
        try:
            found = self._web(url, tenant) if web else _bucket(url, self._most)
            async with aclosing(found) as blocks:
                async for block in blocks:
                    self._bound(incoming.size_bytes + len(block))
                    self._check_room()
                    await to_thread.run_sync(incoming.write, block)
            return await to_thread.run_sync(incoming.close)
        except BaseException:
            await _abort(incoming)
            raise

    async def _web(self, url: str, tenant: str) -> AsyncGenerator[bytes, None]:
        async with self._client() as client:
            for _ in range(MAX_REDIRECTS + 1):
                check_source(url, self._settings.fetch_sources, tenant)
                target = await self._look_at(url)
                async with _answer(client, target) as answer:
                    if answer.status_code in MOVED:
                        url = _next(target, answer)
                        continue
                    self._check(answer)
                    async for block in answer.aiter_raw(BLOCK_BYTES):
                        yield block
                    return
        raise SourceError(f"url: more than {MAX_REDIRECTS} redirects: name the last")

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=QUIET_SECONDS,
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve the name anew
            transport=self._transport,
        )

    async def _look_at(self, url: str) -> Target:
        private = self._settings.fetch_private
        look = partial(check_url, private=private, schemes=WEB, resolve=self._resolve)
        try:
            return await to_thread.run_sync(look, url, abandon_on_cancel=True)
        except NoAddress as error:
            raise SourceError(f"{error}: check it", passing=True) from error

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code != 200:
            passing = answer.status_code in PASSING
            hint = "submit again later" if passing else "check it, or make a new one"
            said = f"url: its server answered {answer.status_code}: {hint}"
            raise SourceError(said, passing=passing)
        length = answer.headers.get("content-length", "")
        if length.isdecimal():
            self._bound(int(length[:20]))

    def _bound(self, size_bytes: int) -> None:
        if size_bytes > self._most:
            raise _too_large(self._most)

    def _check_room(self) -> None:
        least = self._settings.min_free_bytes
        folders = (self._settings.data_dir, self._datasets.folder)
        if least and free_bytes(*folders) < least:
            said = "The service is short of disk: submit again later."
            raise SourceError(said, "disk_full", passing=True)

    @property
    def _most(self) -> int:
        return self._settings.max_upload_bytes


def check_source(url: str, allowed: Sequence[str], tenant: str) -> str:
    """Return the scheme of a URL; InputError where none of the list allows it."""
    scheme, mark, rest = url.partition("://")
    if not mark or len(url) > MAX_URL_CHARS or not url.isprintable():
        raise InputError(f"url: expected scheme://, at most {MAX_URL_CHARS} characters")
    place = unquote(rest.split("?")[0])
    if ".." in place.split("/") or (scheme.lower() not in WEB and _odd(rest)):
        raise InputError("url: its path has parts that can mislead")
    known = [each.replace("{tenant}", tenant) for each in allowed]
    plain = f"{scheme.lower()}://{rest}"
    if not any(plain.startswith(each) and plain != each for each in known):
        raise InputError(
            "url: datasets are not fetched from there; the operator lists places in "
            "TUNEGATE_FETCH_SOURCES"
        )
    return scheme.lower()


def check_link(url: str, settings: Settings, tenant: str) -> None:
    """Refuse a URL that need not be asked to be refused: InputError."""
    if check_source(url, settings.fetch_sources, tenant) in WEB:
        check_unasked(url, private=settings.fetch_private, schemes=WEB)


def _odd(rest: str) -> bool:
    """Say whether a bucket's path has marks that fsspec reads as more than a path."""
    return "::" in rest or "//" in rest or any(mark in rest for mark in "?#*[]\\")


def _next(target: Target, answer: httpx.Response) -> str:
    try:
        return str(target.url.join(answer.headers["location"]))
    except (KeyError, httpx.InvalidURL, ValueError) as error:
        raise SourceError("url: it is redirected to no URL") from error


@asynccontextmanager
async def _answer(
    client: httpx.AsyncClient, target: Target
) -> AsyncIterator[httpx.Response]:
    try:
        request = target.request(client, "GET", headers=HEADERS)
        answer = await client.send(request, stream=True)
        try:
            yield answer
        finally:
            await answer.aclose()
    except httpx.HTTPError as error:
        said = f"url: its server could not be read ({type(error).__name__})"
        raise SourceError(f"{said}: submit again later", passing=True) from error


async def _bucket(url: str, most: int) -> AsyncGenerator[bytes, None]:
    """Read an object; SourceError where its client cannot, whatever that raises."""
    try:
        file = await _apart(_open, url, most)
        with file:
            while block := await _apart(file.read, BLOCK_BYTES):
                yield block
    except InputError:
        raise
    except Exception as error:  # each client has errors of its own
        said = f"url: it could not be read ({type(error).__name__}): check it"
        passing = not isinstance(error, LASTING)
        raise SourceError(said, passing=passing) from error


async def _apart(act: Callable[..., Any], *given: object) -> Any:
    """Ask a client that blocks, in a thread that nobody waits for once time is over.

    A bucket that says nothing for minutes holds up neither the fetch, nor the end of
    the process.
    """
    answer: Future[Any] = Future()
    answer.set_running_or_notify_cancel()

    def ask() -> None:
        try:
            answer.set_result(act(*given))
        except BaseException as error:  # told to whoever waits
            answer.set_exception(error)

    threading.Thread(target=ask, name="bucket", daemon=True).start()
    return await asyncio.wrap_future(answer)


def _open(url: str, most: int) -> Any:
    scheme, path = url.split("://", 1)
    # False: no token of ours goes out.
    options: dict[str, Any] = {"token": False} if scheme == "hf" else {}  # nosec B105
    try:
        found = fsspec.filesystem(scheme, **options)
    except (ImportError, ValueError) as error:
        extra = EXTRAS.get(scheme, "")
        hint = f"needs pip install 'tunegate[{extra}]'" if extra else "is not known"
        raise InputError(f"url: {scheme}:// {hint}") from error
    found.invalidate_cache()  # of what was there, or was not, at an earlier fetch
    if (found.size(path) or 0) > most:
        raise _too_large(most)
    return found.open(path, "rb")


def _too_large(most: int) -> SourceError:
    said = f"url: the dataset is over {most} bytes: split it"
    return SourceError(said, "source_too_large")


async def _abort(incoming: Incoming) -> None:
    with CancelScope(shield=True):
        await to_thread.run_sync(incoming.abort)
