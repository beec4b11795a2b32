"""Alerts arrive: by HTTP, by mail with and without encryption; and what cannot be delivered says why."""

import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from synthflow_assets import notify
from synthflow_assets.errors import AlertError
from synthflow_assets.notify import Alert, post_to_webhook, send_email
from tests.api.servers import drip, serve_raw
from tests.receivers import Inbox

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
ALERT = Alert("run_failed", "synthflow: run failed", "1 of 6 failed\nsee the log", "http://127.0.0.1:3000/runs/1")


class Mailbox(MessageHandler):
    """Keeps the messages that a mail server takes."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def handle_message(self, message: Message) -> None:
        self.messages.append(message)


class AnyPort(Controller):
    """A mail server on a free port, which the library does not provide for."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate of 127.0.0.1, trusted by this process."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


@pytest.fixture
def start_mail_server() -> Iterator[Callable[..., tuple[int, Mailbox]]]:
    with ExitStack() as stack:

        def start(**options: Any) -> tuple[int, Mailbox]:
            mailbox = Mailbox()
            controller = AnyPort(mailbox, hostname="127.0.0.1", port=0, **options)
            controller.start()
            stack.callback(controller.stop)
            return controller.port, mailbox

        yield start


def log_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: LoginPassword) -> AuthResult:
    return AuthResult(success=given.login == b"ada" and given.password == b"p@ss", handled=False)


@pytest.mark.parametrize("way", ["plain", "starttls", "smtps"])
def test_mail_arrives(
    start_mail_server: Callable[..., tuple[int, Mailbox]], certificate: ssl.SSLContext, way: str
) -> None:
    secure = {
        "plain": {"auth_require_tls": False},
        "starttls": {"tls_context": certificate, "require_starttls": True},
        "smtps": {"ssl_context": certificate, "auth_require_tls": False},
    }[way]
    port, mailbox = start_mail_server(authenticator=log_in, auth_required=True, **secure)
    scheme = "smtps" if way == "smtps" else "smtp"
    send_email(f"{scheme}://ada:p%40ss@127.0.0.1:{port}", "from@example.com", ["a@example.com", "b@example.com"], ALERT)
    [message] = mailbox.messages
    assert (message["From"], message["To"]) == ("from@example.com", "a@example.com, b@example.com")
    assert message["Subject"] == "synthflow: run failed"
    assert "1 of 6 failed\nsee the log\n\nhttp://127.0.0.1:3000/runs/1" in message.get_payload().replace("\r\n", "\n")


def test_a_wrong_password_is_one_line_without_it(start_mail_server: Callable[..., tuple[int, Mailbox]]) -> None:
    port, _ = start_mail_server(authenticator=log_in, auth_required=True, auth_require_tls=False)
    with pytest.raises(
        AlertError, match=r"^the mail server did not accept the message \(SMTPAuthenticationError 535\)$"
    ):
        send_email(f"smtp://ada:wrong@127.0.0.1:{port}", "from@example.com", ["a@example.com"], ALERT)


def test_a_certificate_that_is_not_trusted_is_refused(
    start_mail_server: Callable[..., tuple[int, Mailbox]],
    certificate: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, mailbox = start_mail_server(tls_context=certificate)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(AlertError, match="SSLCertVerificationError"):
        send_email(f"smtp://127.0.0.1:{port}", "from@example.com", ["a@example.com"], ALERT)
    assert mailbox.messages == []


def test_a_webhook_gets_json_with_a_text() -> None:
    with Inbox() as inbox:
        post_to_webhook(inbox.url, ALERT)
    [posted] = inbox.posted
    assert json.loads(posted) == {
        "text": "synthflow: run failed\n1 of 6 failed\nsee the log\nhttp://127.0.0.1:3000/runs/1",
        "kind": "run_failed",
        "subject": "synthflow: run failed",
        "details": "1 of 6 failed\nsee the log",
        "url": "http://127.0.0.1:3000/runs/1",
        "mrkdwn": False,
    }


def test_a_name_has_no_effect_in_a_webhook() -> None:
    """Slack and Mattermost would notify a channel, load an image, or show a link."""
    name = "![x](https://evil.example/p.png) <!channel> @here"
    with Inbox() as inbox:
        post_to_webhook(
            inbox.url, Alert("run_failed", f"{name} failed", f"of {name}", "http://127.0.0.1:3000/a?b=1&c=2")
        )
    posted = json.loads(inbox.posted[0])
    for field in ("text", "subject", "details"):
        assert not [mark for mark in ("](", "<!", "@here", "https://") if mark in posted[field]], field
    assert posted["text"].endswith("\nhttp://127.0.0.1:3000/a?b=1&amp;c=2")
    assert posted["url"] == "http://127.0.0.1:3000/a?b=1&c=2"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX:", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 "])
def test_a_webhook_that_never_ends_its_answer_is_given_up(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """Dagster ends a tick after a minute, and the next tick would send its alerts again."""
    monkeypatch.setattr(notify, "TIMEOUT_SECONDS", 0.3)
    started = time.monotonic()
    with ExitStack() as stack, pytest.raises(AlertError, match=r"^the webhook cannot be reached \(\w+\)$"):
        post_to_webhook(serve_raw(stack, drip(head)), ALERT)
    assert time.monotonic() - started < 15


def test_a_redirect_of_a_webhook_is_neither_followed_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "TIMEOUT_SECONDS", 30.0)
    head = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 100000\r\n\r\n"
    started = time.monotonic()
    with ExitStack() as stack, pytest.raises(AlertError, match=r"^the webhook answered 302$"):
        post_to_webhook(serve_raw(stack, drip(head)), ALERT)
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("head", [b"220", b"220 a\r\n250-"])
def test_a_mail_server_that_never_ends_its_reply_is_given_up(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(notify, "_MAIL_SECONDS", 0.3)

    def serve() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            drip(head)(connection)

    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(AlertError, match=r"^the mail server did not accept the message \(\w+( -?\d+)?\)$"):
            send_email(f"smtp://127.0.0.1:{server.getsockname()[1]}", "from@example.com", ["a@example.com"], ALERT)
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_a_webhook_refuses_is_one_line_without_its_address(status: int) -> None:
    with Inbox(status=status) as inbox, pytest.raises(AlertError) as caught:
        post_to_webhook(f"{inbox.url}/secret-path", ALERT)
    assert str(caught.value) == f"the webhook answered {status}"
    with pytest.raises(AlertError, match=r"^the webhook cannot be reached \(ConnectionError\)$"):
        post_to_webhook(f"{inbox.url}/secret-path", ALERT)
