"""A local S3 over HTTP that comes and goes as it is told; what it holds it keeps.

Says its port, reads a line, `start` or `stop`, and answers `done`.
"""

import socket
import sys

from moto.server import ThreadedMotoServer


def say(text: str) -> None:
    """Write a line that is read at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    say(str(port))
    for line in sys.stdin:
        if line == "start\n":
            server.start()
        else:
            server.stop()
        say("done")
