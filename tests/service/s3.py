"""A local S3 on a real socket."""

import re
import secrets
import subprocess
import sys
from pathlib import Path

import httpx


class S3:
    """A local S3 on a real socket, in a process of its own; and a look into it."""

    scope = "test/20250101/us-east-1/s3/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("s3_server.py"))]
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **pipe)
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.tell("start")

    def tell(self, word: str) -> None:
        """Have it start or stop, and wait until it did."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"
        self.away = word == "stop"

    def bucket(self) -> str:
        """Make a bucket."""
        name = f"tunegate-{secrets.token_hex(6)}"
        self.ask("PUT", name)
        return name

    def put(self, path: str, content: bytes) -> None:
        """Write an object, behind the back of whoever else uses the bucket."""
        self.ask("PUT", path, content=content)

    def remove(self, path: str) -> None:
        """Remove an object, likewise."""
        self.ask("DELETE", path)

    def keys(self, bucket: str) -> list[str]:
        """List a bucket."""
        return re.findall("<Key>(.*?)</Key>", self.ask("GET", bucket))

    def ask(self, method: str, path: str, content: bytes = b"") -> str:
        """Ask as a client whose signature nobody checks."""
        headers = {"authorization": self.signed}
        url = f"{self.url}/{path}"
        answer = httpx.request(method, url, content=content, headers=headers)
        return answer.raise_for_status().text

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()
