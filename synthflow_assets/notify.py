"""Sends alerts: to a webhook, and by e-mail. What they say is up to the caller."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import SplitResult, unquote, urlsplit

from synthflow_assets.errors import AlertError

TIMEOUT_SECONDS = 10.0  # for the connection, and for each answer
_SUBMISSION_PORTS = {"smtps": 465, "smtp": 587}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Alert:
    """Something that a person has to know. It holds nothing of a call."""

    kind: str  # run_failed, check_failed, or several of them
    subject: str
    text: str
    url: str | None = None  # of the page that shows more

    @property
    def body(self) -> str:
        """Subject, text and address, for places that show one text."""
        return "\n".join(filter(None, (self.subject, self.text, self.url)))


def post_to_webhook(address: str, alert: Alert) -> None:
    """Post an alert as JSON; `text` is what the incoming webhooks of Slack and Mattermost show.

    Raises:
        AlertError: it was not taken. The address, which is often a secret, is not in the message.
    """
    import requests  # only where something is to be told

    content = {"text": alert.body, "kind": alert.kind, "subject": alert.subject, "details": alert.text}
    try:
        # What the answer says beside its status is not read, so that its length does not matter.
        answer = requests.post(
            address, json={**content, "url": alert.url}, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
        )
        answer.close()
    except (requests.RequestException, ValueError) as error:
        raise AlertError(f"the webhook cannot be reached ({type(error).__name__})") from None
    if not answer.ok or answer.is_redirect:
        raise AlertError(f"the webhook answered {answer.status_code}")


def send_email(server_url: str, sender: str, recipients: Sequence[str], alert: Alert) -> None:
    """Send an alert as plain text.

    Args:
        server_url: `smtps://USER:PASSWORD@HOST:PORT`, or `smtp://...`, which is encrypted where the server offers it.
        sender: the address it comes from.
        recipients: the addresses it goes to.
        alert: what is sent.

    Raises:
        AlertError: it was not taken, or the password would have gone over the line as it is.
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
        raise AlertError(f"the mail server did not take the message ({type(error).__name__}{code})") from None


def _connect(parts: SplitResult) -> smtplib.SMTP:
    host, port = parts.hostname or "", parts.port or _SUBMISSION_PORTS.get(parts.scheme, 0)
    if parts.scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)


def _log_in(server: smtplib.SMTP, parts: SplitResult) -> None:
    server.ehlo()
    if parts.scheme == "smtp" and server.has_extn("starttls"):
        server.starttls(context=ssl.create_default_context())
    elif parts.scheme == "smtp" and parts.username and parts.hostname not in _LOOPBACK:
        raise AlertError("the mail server offers no encryption, so no password is sent to it; use smtps://")
    if parts.username:
        server.login(unquote(parts.username), unquote(parts.password or ""))
