"""A mail server to try the examples with: takes every mail, and prints it as `received.md` shows it.

python3 mailbox.py [PORT]
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from email import message_from_bytes
from email.policy import default

SHOWN = ("From", "To", "Subject", "Message-ID")


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    """Speak as much SMTP as taking a mail needs."""
    envelope: list[str] = []

    def say(line: str) -> None:
        writer.write(f"{line}\r\n".encode())

    say("220 mailbox")
    while line := (await reader.readline()).decode().strip():
        match line.partition(" ")[0].upper():
            case "MAIL":
                envelope = [line.partition(" BODY=")[0]]
                say("250 yes")
            case "RCPT":
                envelope.append(line)
                say("250 yes")
            case "DATA":
                say("354 go on")
                show(envelope, await content(reader))
                say("250 taken")
            case "QUIT":
                say("221 bye")
                break
            case _:
                say("250 yes")
    writer.close()


async def content(reader: StreamReader) -> bytes:
    """The lines up to a single dot; a dot in front of a line is doubled on the way (RFC 5321 section 4.5.2)."""
    lines = []
    while (line := await reader.readline()) not in (b".\r\n", b""):
        lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
    return b"".join(lines)


def show(envelope: list[str], mail: bytes) -> None:
    """Print envelope, headers and text."""
    message = message_from_bytes(mail, policy=default)
    headers = [f"{name}: {message[name]}" for name in SHOWN if name in message]
    text = message.get_content().replace("\r\n", "\n")
    sys.stdout.write("\n".join([*envelope, *headers, "", text]) + "\n")
    sys.stdout.flush()


async def main(port: int) -> None:
    """Take mail until stopped."""
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1025))
