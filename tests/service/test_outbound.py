from collections.abc import Sequence

import httpx
import pytest

from detectors.errors import InputError
from service.outbound import check_url, is_public

PUBLIC = "93.184.215.14"


def to(*addresses: str) -> object:
    return lambda host, port: list(addresses)


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_the_public_internet_is_called_at_the_address_looked_at(address: str) -> None:
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return [address]

    target = check_url("https://hooks.example.com/in?a=1", resolve=resolve)
    with httpx.Client() as client:
        request = target.request(client, "POST", content=b"{}")
    assert asked == [("hooks.example.com", 443)]
    assert request.url.host == address
    assert request.url.raw_path == b"/in?a=1"
    assert request.headers["host"] == "hooks.example.com"
    assert request.extensions["sni_hostname"] == "hooks.example.com"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.192",
        "168.63.129.16",
        "100.100.100.200",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "nonsense",
    ],
)
def test_our_own_network_is_not_called(address: str) -> None:
    assert not is_public(address)
    for found in (to(address), to(PUBLIC, address)):
        with pytest.raises(InputError, match="public internet"):
            check_url("https://innocent.example.com/", resolve=found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "file:///etc/passwd",
        "gopher://hooks.example.com/",
        "//hooks.example.com/",
        "https://",
        "https:///path",
        "https://user:secret@hooks.example.com/",
        "https://hooks.example.com\\@169.254.169.254/",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com/\r\nX-Injected: 1",
        "https://hooks.example.com/\x00",
        "https://xn--\u00e9.example.com/",
        "https://[::1/",
        "https://" + "a" * 2_000,
    ],
)
def test_a_url_that_can_mislead_is_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"^url: ") as caught:
        check_url(url, resolve=to(PUBLIC))  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "localhost"]
)
def test_numbers_written_otherwise_are_the_same_numbers(host: str) -> None:
    with pytest.raises(InputError):
        check_url(f"https://{host}/")


def test_a_name_without_an_address_is_named() -> None:
    def nothing(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    for resolve in (nothing, to()):
        with pytest.raises(InputError, match="no address"):
            check_url("https://nowhere.example.com/", resolve=resolve)  # type: ignore[arg-type]


def test_an_operator_can_allow_what_is_inside() -> None:
    target = check_url("http://127.0.0.1:8080/hook", private=True)
    assert (target.address, target.url.port) == ("127.0.0.1", 8080)
