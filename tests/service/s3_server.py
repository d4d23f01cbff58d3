"""A local S3 over HTTP that comes and goes as it is told; what it holds it keeps.

Reads a line, `start` or `stop`, and answers `done`; the port is its argument.
"""

import sys

from moto.server import ThreadedMotoServer

if __name__ == "__main__":
    server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
    for line in sys.stdin:
        if line == "start\n":
            server.start()
        else:
            server.stop()
        sys.stdout.write("done\n")
        sys.stdout.flush()
