"""Send alerts to a webhook or by e-mail."""

from __future__ import annotations

import smtplib
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import SplitResult, unquote, urlsplit

from synthflow_assets.errors import AlertError
from synthflow_assets.texts import chat

TIMEOUT_SECONDS = 10.0  # for the connection, and for each response
_MAIL_SECONDS = 20.0  # for all replies of a mail server
_SUBMISSION_PORTS = {"smtps": 465, "smtp": 587}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Alert:
    """A message for a person. It contains no data of a call."""

    kind: str  # run_failed, check_failed, or both
    subject: str
    text: str
    url: str | None = None  # a page with details

    @property
    def chat_text(self) -> str:
        """Subject, text and URL as one text for a chat. Only the URL is a link."""
        url = (self.url or "").replace("&", "&amp;")
        return "\n".join(filter(None, (chat(self.subject), chat(self.text), url)))


def post_to_webhook(address: str, alert: Alert) -> None:
    """Post an alert as JSON. Incoming webhooks of Slack and Mattermost show its `text`.

    Args:
        address: URL of the webhook.
        alert: the message.

    Raises:
        AlertError: the webhook did not accept it. The message omits the URL, which often contains a secret.
    """
    import requests  # late: it takes time to import

    from synthflow_assets.api.connections import CuttableAdapter, DirectSession

    # The subject and details are escaped too, because receivers pass them on to a chat.
    content = {
        "text": alert.chat_text,
        "kind": alert.kind,
        "subject": chat(alert.subject),
        "details": chat(alert.text),
        "mrkdwn": False,  # for Slack
    }
    adapter = CuttableAdapter(max_connections=1, header_seconds=TIMEOUT_SECONDS)
    try:
        with DirectSession() as session:
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            # The body of the response is never read, however long it is.
            response = session.post(
                address, json={**content, "url": alert.url}, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
            )
            response.close()
    except (requests.RequestException, OSError, ValueError) as error:
        raise AlertError(f"the webhook cannot be reached ({type(error).__name__})") from None
    if not response.ok or response.is_redirect:
        raise AlertError(f"the webhook answered {response.status_code}")


def send_email(server_url: str, sender: str, recipients: Sequence[str], alert: Alert) -> None:
    """Send an alert as plain text.

    Args:
        server_url: `smtps://USER:PASSWORD@HOST:PORT`, or `smtp://...`, which is encrypted if the server supports it.
        sender: e-mail address.
        recipients: e-mail addresses.
        alert: the message.

    Raises:
        AlertError: the server did not accept it, or the password would have been sent without encryption.
    """
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Subject"] = " ".join(alert.subject.split())
    message.set_content("\n\n".join(filter(None, (alert.text, alert.url))))
    parts = urlsplit(server_url)
    try:
        with _connect(parts) as server:
            _log_in(server, parts)
            server.send_message(message)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        code = f" {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else ""
        raise AlertError(f"the mail server did not accept the message ({type(error).__name__}{code})") from None


class _Server(smtplib.SMTP):
    """A mail server that must send all its replies in time: the time-out of the library bounds each read."""

    _end: float | None = None  # in seconds of the monotonic clock

    def getreply(self) -> tuple[int, bytes]:
        """Return the next reply; at the deadline, the connection is shut down."""
        from synthflow_assets.api.connections import shut_down

        if self._end is None:
            self._end = time.monotonic() + _MAIL_SECONDS
        timer = threading.Timer(self._end - time.monotonic(), shut_down, [self.sock])
        timer.start()
        try:
            return super().getreply()
        finally:
            timer.cancel()


class _SecureServer(_Server, smtplib.SMTP_SSL):
    pass


def _connect(parts: SplitResult) -> smtplib.SMTP:
    host, port = parts.hostname or "", parts.port or _SUBMISSION_PORTS.get(parts.scheme, 0)
    if parts.scheme == "smtps":
        return _SecureServer(host, port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
    return _Server(host, port, timeout=TIMEOUT_SECONDS)


def _log_in(server: smtplib.SMTP, parts: SplitResult) -> None:
    server.ehlo()
    if parts.scheme == "smtp" and server.has_extn("starttls"):
        server.starttls(context=ssl.create_default_context())
    elif parts.scheme == "smtp" and parts.username and parts.hostname not in _LOOPBACK:
        raise AlertError("the mail server offers no encryption, so the password was not sent; use smtps://")
    if parts.username:
        server.login(unquote(parts.username), unquote(parts.password or ""))
